"""How long a folder of photographs takes to open, by its number of files: linear is a ratio of
their numbers. Names alone, then every file's header, then a start that finds them in the index."""

from __future__ import annotations

import dataclasses
import os
import tempfile
import time
from pathlib import Path

from benchmarks import report
from glcic_jax.commands.command_line import parse, run
from glcic_jax.errors import UserError


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Seconds of opening the training split of a small and a large folder, and their ratio."""

    small: int = 20_000
    """Files of the small folder; of less than 10,000 in a split there is no index."""
    large: int = 200_000
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
    if arguments.small >= arguments.large:
        raise UserError(f"--large is {arguments.large}; it must be more than --small")
    samples: dict[int, dict[str, list[float]]] = {arguments.small: {}, arguments.large: {}}
    with tempfile.TemporaryDirectory() as place:
        os.environ["XDG_CACHE_HOME"] = str(Path(place, "cache"))
        for count in samples:
            _fill(Path(place, str(count)), count)
        for _ in range(arguments.rounds):
            for count, taken in samples.items():
                for what, seconds in _open(Path(place, str(count))).items():
                    taken.setdefault(what, []).append(seconds)
    rows = []
    for what in samples[arguments.large]:
        small, large = (min(taken[what]) for taken in samples.values())
        rows.append((what, f"{small:.3f}", f"{large:.3f}", f"{large / small:.1f}"))
    report.publish(
        "Seconds to open the training split of a folder",
        ("", f"{arguments.small:,} files", f"{arguments.large:,} files", "ratio"),
        rows,
        notes=(f"files: {arguments.large / arguments.small:.1f} times as many",),
    )
    report.write_json(arguments.json, {"seconds": samples})


def _open(root: Path) -> dict[str, float]:
    """Seconds by what is done."""
    from glcic_jax.cpu.caches import user_cache
    from glcic_jax.data.crops import CropSettings
    from glcic_jax.data.folder import Folder
    from glcic_jax.data.folder_files import split_paths

    crops = CropSettings(image_size=256, min_scale=1.0, max_scale=1.5)
    for index in (user_cache("folders") or root).glob("*.npz"):
        index.unlink()
    whats = {
        "names": lambda: split_paths(str(root), "train"),
        "first start": lambda: Folder(str(root), "train", crops),
        "next start": lambda: Folder(str(root), "train", crops),
    }
    seconds = {}
    for what, do in whats.items():
        started = time.perf_counter()
        do()
        seconds[what] = time.perf_counter() - started
    return seconds


def _fill(root: Path, count: int) -> None:
    """So many copies of a small photograph, 1,000 in a directory."""
    import skimage.data
    from PIL import Image

    first = root / "train" / "album0" / "0.jpg"
    first.parent.mkdir(parents=True)
    Image.fromarray(skimage.data.chelsea()[:64, :64]).save(first)
    whole = first.read_bytes()
    for number in range(1, count):
        path = root / "train" / f"album{number // 1000}" / f"{number}.jpg"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(whole)


if __name__ == "__main__":
    run(main)
