"""The table of what the campaign did, docs/reliability.md."""

from __future__ import annotations

import dataclasses
import datetime
import subprocess
from pathlib import Path

from tests.support import ROOT

HEAD = """# Reliability

What was done to runs and to files, how often, and what came out. `python -m tests.campaign` does it
and writes this page; a short form of most rows runs with the tests. A loss is a result that is
silently another one, a crash, a hang, or something that was saved and is gone.

| Row | What was done | Times | What came out | Losses | Date, commit, options |
|---|---|---|---|---|---|
"""


@dataclasses.dataclass(frozen=True)
class Row:
    """What came out of one job: `times` is what was really done."""

    name: str
    what: str
    times: int
    outcome: str
    losses: int


def write(path: Path, rows: list[Row], options: str) -> None:
    """Put rows into the page; those of other names stay as they are."""
    lines = {}
    if path.exists():
        lines = {line.split(" | ")[0]: line for line in _rows_of(path.read_text())}
    when = f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}, {_commit()}, `{options}`"
    for row in rows:
        cells = (row.what, f"{row.times:,}", row.outcome, str(row.losses), when)
        first = f"| {row.name}"
        lines[first] = " | ".join([first, *(cell.replace("|", "/") for cell in cells)]) + " |"
    path.write_text(HEAD + "\n".join(lines[name] for name in sorted(lines)) + "\n")


def _rows_of(text: str) -> list[str]:
    table = [line for line in text.splitlines() if line.startswith("| ")]
    return [line for line in table if not line.startswith("| Row ")]


def _commit() -> str:
    done = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True
    )
    return done.stdout.strip() or "unknown"
