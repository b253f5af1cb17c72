"""What someone who repairs photographs waits for: fills of several kinds, whole commands, a folder.

Each case is a process of its own, one after the other. Photographs are those that come with
scikit-image, enlarged; only the holes' surroundings are computed, whatever is on them.
"""

from __future__ import annotations

import dataclasses
import functools
import io
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, get_args

import cv2
import numpy as np
import skimage.data
from PIL import Image
from rich.console import Console
from rich.table import Table

from benchmarks import report
from glcic_jax.commands.command_line import parse, run
from glcic_jax.errors import UserError

_ROOT = Path(__file__).resolve().parent.parent
Case = Literal[
    "first",
    "specks",
    "scratch",
    "wide",
    "pixels",
    "texture",
    "wide-texture",
    "sizes",
    "command",
    "folder",
    "page",
]


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Seconds and memory of repairs with a generator that comes with the package.

    first: a 16 px hole in a new process, programs cached. specks: 300 of 1 to 6 px on 3 megapixels.
    scratch: 5 px wide across 2000 x 1500. wide: 128 px in 12 megapixels. pixels: half of 481 x 321.
    texture, wide-texture: 64 and 128 px in a megapixel, with the texture of the surroundings.
    sizes: 80 images of random sizes from 70 to 900 px without a cache. command: glcic-jax fill of a
    12-megapixel JPEG with a 100 px hole. folder: 100 photographs of a megapixel, 40 px holes. page:
    a 100 px hole in a megapixel by glcic-jax serve, then 500 photographs of other sizes.
    """

    cases: tuple[Case, ...] = get_args(Case)
    """What to measure."""
    generator: str = "photographs"
    """A name, a file or a run's directory."""
    calls: int = 5
    """Later calls of each kind of hole."""
    json: Path | None = None
    """File to write all samples to."""


def main() -> None:
    """Measure, print a table, write JSON."""
    arguments = parse(Arguments, description=Arguments.__doc__)
    report.check_output(arguments.json)
    report.check_counts(arguments, "calls")
    table = Table("case", "seconds", "peak memory", "remarks")
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        cache = str(Path(folder) / "compiled")
        for case in arguments.cases:
            no_cache = case == "sizes"
            if case in ("first", "command"):
                _measure(case, arguments, cache)  # fills the cache
            results[case] = found = _measure(case, arguments, "" if no_cache else cache)
            seconds = ", ".join(f"{value:.2f}" for value in found["seconds"])
            table.add_row(case, seconds, f"{found['peak_bytes'] / 1e6:.0f} MB", found["remarks"])
    console = Console(width=110)
    console.print(table)
    console.print(report.machine())
    report.write_json(arguments.json, {"generator": arguments.generator, "results": results})


def _measure(case: str, arguments: Arguments, cache: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.repairs", "--case", case, arguments.generator]
    environment = os.environ | {"JAX_COMPILATION_CACHE_DIR": cache}
    environment["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.05"
    done = subprocess.run(
        [*command, str(arguments.calls)],
        cwd=_ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"status {done.returncode}"]
        raise UserError(f"{case} failed: {lines[-1]}")
    return json.loads(done.stdout.splitlines()[-1])


# --- In the process of a case ---------------------------------------------------------------------


def _enlarged(height: int, width: int) -> np.ndarray:
    return cv2.resize(skimage.data.coffee(), (width, height), interpolation=cv2.INTER_CUBIC)


def _square(size: tuple[int, int], side: int, top: int, left: int) -> np.ndarray:
    mask = np.zeros(size, bool)
    mask[top : top + side, left : left + side] = True
    return mask


def _specks(size: tuple[int, int]) -> np.ndarray:
    rng, mask = np.random.default_rng(0), np.zeros(size, bool)
    for _ in range(300):
        rows, columns = rng.integers(1, 7, 2)
        top, left = (int(rng.integers(0, length - 6)) for length in size)
        mask[top : top + rows, left : left + columns] = True
    return mask


def _scratch(size: tuple[int, int]) -> np.ndarray:
    mask = np.zeros(size, np.uint8)
    return cv2.line(mask, (0, 100), (size[1] - 1, size[0] - 100), 1, 5) > 0


_HOLES: dict[str, tuple[tuple[int, int], Callable[[tuple[int, int]], np.ndarray]]] = {
    "specks": ((1500, 2000), _specks),
    "scratch": ((1500, 2000), _scratch),
    "wide": ((3000, 4000), lambda size: _square(size, 128, 1000, 2000)),
    "texture": ((1000, 1000), lambda size: _square(size, 64, 500, 400)),
    "wide-texture": ((1000, 1000), lambda size: _square(size, 128, 500, 400)),
    "pixels": ((321, 481), lambda size: np.random.default_rng(0).random(size) < 0.5),
}


def run_case(case: str, generator: str, calls: int) -> dict[str, Any]:
    """Seconds, peak memory in bytes and remarks of one case, measured in this process."""
    if case in _HOLES:
        seconds, remarks = _fills(case, generator, calls)
    else:
        seconds, remarks = _OTHERS[case](generator)
    peaks = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    peak = max(resource.getrusage(who).ru_maxrss for who in peaks) * 1024
    return {"seconds": seconds, "peak_bytes": peak, "remarks": remarks}


def _fills(case: str, generator: str, calls: int) -> tuple[list[float], str]:
    from glcic_jax import inpaint_fn, load_generator

    network, variables = load_generator(generator)
    size, draw = _HOLES[case]
    photo, mask = _enlarged(*size), draw(size)
    seconds: list[float] = []
    fill = functools.partial(inpaint_fn, network, variables, texture="texture" in case)
    for _ in range(calls + 1):
        started = time.perf_counter()
        fill(photo, mask)
        seconds.append(time.perf_counter() - started)
    return seconds[1:], "later calls"


def _first(generator: str) -> tuple[list[float], str]:
    photo = skimage.data.astronaut()
    started = time.perf_counter()
    from glcic_jax import inpaint_fn, load_generator

    network, variables = load_generator(generator)
    inpaint_fn(network, variables, photo, _square(photo.shape[:2], 16, 100, 200))
    return [time.perf_counter() - started], "imports and loading included"


def _sizes(generator: str) -> tuple[list[float], str]:
    from glcic_jax import inpaint_fn, load_generator

    network, variables = load_generator(generator)
    rng, seconds, after_20 = np.random.default_rng(0), [], 0
    for number in range(80):
        height, width = (int(side) for side in rng.integers(70, 901, 2))
        side = int(rng.integers(4, min(height, width) // 2))
        top, left = (int(rng.integers(0, length - side)) for length in (height, width))
        photo, mask = _enlarged(height, width), _square((height, width), side, top, left)
        started = time.perf_counter()
        inpaint_fn(network, variables, photo, mask)
        seconds.append(time.perf_counter() - started)
        after_20 = _resident() if number == 19 else after_20
    slow = sum(value > 1 for value in seconds)
    grown = (_resident() - after_20) / 1e6
    return [sum(seconds)], f"{slow} calls over 1 s; {grown:+.0f} MB after the 20th"


def _resident(process: int | str = "self") -> int:
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def _command(generator: str) -> tuple[list[float], str]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        Image.fromarray(_enlarged(3000, 4000)).save(folder / "photo.jpg", quality=92)
        Image.fromarray(_square((3000, 4000), 100, 1000, 2000)).save(folder / "mask.png")
        return _fill(folder, generator, "photo.jpg", "--mask", "mask.png", "--output", "done.jpg")


def _folder(generator: str) -> tuple[list[float], str]:
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in ("scans", "masks"):
            (folder / part).mkdir()
        photo = Image.fromarray(_enlarged(868, 1152))
        for number in range(100):
            top, left = int(rng.integers(0, 828)), int(rng.integers(0, 1112))
            photo.save(folder / f"scans/{number:02}.jpg", quality=90)
            mask = Image.fromarray(_square((868, 1152), 40, top, left))
            mask.save(folder / f"masks/{number:02}.png")
        seconds, _ = _fill(folder, generator, "scans", "--masks", "masks", "--output", "done")
    return seconds, f"{100 / seconds[0]:.1f} photographs a second"


def _page(generator: str) -> tuple[list[float], str]:
    command = [sys.executable, "-m", "glcic_jax", "serve", "--port", "0", "--generator", generator]
    rng = np.random.default_rng(0)
    with subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            address = server.stdout.readline().split(" at ")[1].split(" (")[0]
            first = _ask(address, (868, 1152), 100)
            seconds = [_ask(address, (868, 1152), 100) for _ in range(3)]
            sizes: list[int] = []
            for _ in range(500):
                height, width = (int(side) for side in rng.integers(70, 700, 2))
                _ask(address, (height, width), int(rng.integers(4, min(height, width) // 2)))
                sizes.append(_resident(server.pid))
        finally:
            server.terminate()
    grown = (sizes[-1] - sizes[len(sizes) // 10]) / 1e6
    return seconds, f"first {first:.2f} s; {grown:+.0f} MB from the 50th to the 500th of 500 sizes"


def _ask(address: str, size: tuple[int, int], side: int) -> float:
    """Seconds from sending a photograph and its mask to having the answer."""
    files = []
    for array in (_enlarged(*size), _square(size, side, size[0] // 4, size[1] // 4)):
        buffer = io.BytesIO()
        Image.fromarray(array).save(buffer, "PNG", compress_level=1)
        files.append(buffer.getvalue())
    body = len(files[0]).to_bytes(4, "big") + b"".join(files)
    request = urllib.request.Request(f"{address}/fill", body, {"X-Glcic-Jax": "1"})
    started = time.perf_counter()
    with urllib.request.urlopen(request, timeout=120) as answer:
        answer.read()
    return time.perf_counter() - started


def _fill(folder: Path, generator: str, *words: str) -> tuple[list[float], str]:
    command = [sys.executable, "-m", "glcic_jax", "fill", *words, "--generator", generator]
    environment = os.environ | {"PYTHONPATH": str(_ROOT)}
    started = time.perf_counter()
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=True
    )
    seconds = time.perf_counter() - started
    inside = re.findall(r"repaired in ([\d.]+) s", done.stdout)
    return [seconds], f"whole process; {inside[0]} s from opening the file" if inside else ""


_OTHERS = {
    "first": _first,
    "sizes": _sizes,
    "command": _command,
    "folder": _folder,
    "page": _page,
}


if __name__ == "__main__":
    if sys.argv[1:2] == ["--case"]:
        print(json.dumps(run_case(sys.argv[2], sys.argv[3], int(sys.argv[4]))))
    else:
        run(main)
