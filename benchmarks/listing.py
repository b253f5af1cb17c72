"""How the time to list a folder's split grows with its files: linear is a ratio of their numbers.

Empty files: the split reads names only. What opening them costs, `benchmarks.data` measures.
"""

from __future__ import annotations

import dataclasses
import tempfile
import time
from pathlib import Path

from benchmarks import report
from glcic_jax.commands.command_line import parse, run


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Seconds of listing the training split of a small and a large folder, and their ratio."""

    small: int = 5_000
    """Files of the small folder."""
    large: int = 50_000
    """Files of the large folder."""
    rounds: int = 5
    """Turns of each; the fastest counts."""
    json: Path | None = None
    """File to write all samples to."""


def main() -> None:
    """Measure, print, write JSON."""
    arguments = parse(Arguments, description=Arguments.__doc__)
    report.check_output(arguments.json)
    report.check_counts(arguments, "small", "large", "rounds")
    from glcic_jax.data.folder_files import split_paths

    samples: dict[int, list[float]] = {arguments.small: [], arguments.large: []}
    with tempfile.TemporaryDirectory() as place:
        for count in samples:
            _fill(Path(place, str(count)), count)
        for _ in range(arguments.rounds):
            for count, seconds in samples.items():
                started = time.perf_counter()
                split_paths(str(Path(place, str(count))), "train")
                seconds.append(time.perf_counter() - started)
    for count, seconds in samples.items():
        print(f"{count:,} files: {min(seconds):.3f} s")
    small, large = (min(seconds) for seconds in samples.values())
    ratio, files = large / small, arguments.large / arguments.small
    print(f"{ratio:.1f} times as long for {files:.1f} times the files")
    report.write_json(arguments.json, {"seconds": samples, "ratio": ratio, "files": files})


def _fill(root: Path, count: int) -> None:
    for number in range(count):
        path = root / f"album{number // 1000}" / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


if __name__ == "__main__":
    run(main)
