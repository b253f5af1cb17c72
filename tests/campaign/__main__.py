"""`python -m tests.campaign [rows]`: run rows of the campaign and write docs/reliability.md."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.support import ROOT

from . import damage, disk, endurance, fuzz, kills, table, threads, two_processes

ROWS = {
    "kills": lambda work, options: kills.run(work, options.repeats or 20, options.cases),
    "damage": lambda work, options: damage.run(work, options.repeats or 1),
    "disk": lambda work, _: disk.run(work),
    "job": lambda work, options: two_processes.run(work, options.repeats or 10),
    "endurance": lambda work, options: endurance.run(work, options.steps, options.fills),
    "fuzz": lambda work, options: fuzz.run(work, options.minutes, options.cases),
    "threads": lambda work, options: threads.run(work, options.repeats or 1000),
}


def main() -> int:
    """Run what the command line names; the status is 1 where there were losses."""
    parser = argparse.ArgumentParser(prog="python -m tests.campaign", description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="row", help=f"of {', '.join(ROWS)}; none: all")
    parser.add_argument("--repeats", type=int, help="kills, rounds or fills; each row has its own")
    parser.add_argument("--cases", nargs="*", help="of kills and fuzz: only these")
    parser.add_argument("--minutes", type=float, default=1.0, help="of fuzzing, for each kind")
    parser.add_argument("--steps", type=int, default=10_000, help="of endurance")
    parser.add_argument("--fills", type=int, default=2_000, help="of endurance")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "reliability.md")
    options = parser.parse_args()
    unknown = set(options.rows) - ROWS.keys()
    if unknown:
        parser.error(f"there is no row {sorted(unknown)[0]}; choose among {', '.join(ROWS)}")
    losses = 0
    for name in options.rows or ROWS:
        with tempfile.TemporaryDirectory() as work:
            for row in ROWS[name](Path(work), options):
                print(f"{row.name}: {row.times} times, {row.losses} losses; {row.outcome}")
                losses += row.losses
                table.write(options.output, [row], _told(sys.argv[1:]))
    return int(losses > 0)


def _told(arguments: list[str]) -> str:
    hidden = {"--output"}
    shown = [
        word
        for before, word in zip(["", *arguments], arguments, strict=False)
        if word not in hidden and before not in hidden
    ]
    return " ".join(shown) or "all rows"


if __name__ == "__main__":
    sys.exit(main())
