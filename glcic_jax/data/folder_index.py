"""What the files of a large folder were found to be, kept for the next start.

Names are listed in seconds, but the size of a photograph stands in its file: to open a million of
them takes minutes. The index remembers each one's height and width beside its length and the time
of its last change, so that a file that was replaced or is new is opened again. It lies in the
user's cache directory; without one, or with a damaged index, every file is opened.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from glcic_jax.cpu.caches import user_cache
from glcic_jax.runtime.files import load_arrays, save_arrays

LEAST_FILES = 10_000
"""Smaller folders are opened file by file each time, which takes a second or two."""

_THREADS = 16
_CHUNK = 256
_MOST = 2**63 - 1
"""Times before 1970 and after 2262 don't fit into 64 bits; their last 63 tell them apart."""
_FORMAT = 1
"""Part of the index's name: an index of another format is never read."""

_log = logging.getLogger("glcic_jax")

Found = tuple[int, int] | str
"""Height and width in pixels, or what is wrong with a file."""


def sizes_of(
    root: str, split: str, paths: Sequence[str], read: Callable[[str], Found]
) -> list[Found]:
    """What each file holds, opening only those that the index does not know as they are.

    Args:
        root: absolute path of the folder.
        split: whose files these are; each split of a folder has an index of its own.
        paths: in the folder, with / between the parts.
        read: opens the file at an absolute path.
    """
    places = [os.path.join(root, path) for path in paths]
    with ThreadPoolExecutor(_THREADS) as pool:
        if len(paths) < LEAST_FILES:
            return list(pool.map(read, places))
        parts = (places[start : start + _CHUNK] for start in range(0, len(places), _CHUNK))
        stamps = [stamp for part in pool.map(_stamps, parts) for stamp in part]
        stamp_Nx3 = np.array(stamps, np.int64)
        index = _place(root, split)
        found = _known(index, paths, stamp_Nx3)
        unknown = [number for number, size in enumerate(found) if size is None]
        for number, size in zip(
            unknown, pool.map(lambda number: read(places[number]), unknown), strict=True
        ):
            found[number] = size
    sizes = [size for size in found if size is not None]
    if unknown and index is not None:
        _save(index, paths, stamp_Nx3, sizes)
    return sizes


def _stamps(places: Sequence[str]) -> list[tuple[int, int, int]]:
    """Length in bytes, and the times in nanoseconds at which the contents and anything about the
    file were last changed, of which programs may set the first; -1 where there is no file."""
    stamps = []
    for place in places:
        try:
            status = os.stat(place)
            times = status.st_mtime_ns & _MOST, status.st_ctime_ns & _MOST
            stamps.append((status.st_size, *times))
        except OSError:
            stamps.append((-1, -1, -1))
    return stamps


def _place(root: str, split: str) -> Path | None:
    """Where the index of a split lies; None where there is no cache directory."""
    cache = user_cache("folders")
    if cache is None:
        return None
    name = hashlib.sha256(os.fsencode(f"{root}\0{split}")).hexdigest()[:32]
    return cache / f"{name}-{_FORMAT}.npz"


def _known(index: Path | None, paths: Sequence[str], stamp_Nx3: np.ndarray) -> list[Found | None]:
    """The size of each file that is as it was when it was last opened."""
    found: list[Found | None] = [None] * len(paths)
    if index is None:
        return found
    try:
        with index.open("rb") as file:
            arrays = load_arrays(file)
        names = arrays["paths"].tobytes().decode("utf-8", "surrogateescape").split("\0")
        sizes = [(int(height), int(width)) for height, width in arrays["sizes"]]
        before = dict(zip(names, zip(arrays["stamps"].tolist(), sizes, strict=True), strict=True))
    except Exception as error:  # none yet, or damaged, which can raise almost anything
        _log.debug("%s: %s", index, error)
        return found
    for number, (path, stamp) in enumerate(zip(paths, stamp_Nx3.tolist(), strict=True)):
        then = before.get(path)
        if then is not None and then[0] == stamp:
            found[number] = then[1]
    return found


def _save(index: Path, paths: Sequence[str], stamp_Nx3: np.ndarray, sizes: list[Found]) -> None:
    """Only what could be read: what could not is opened again, as it may be by then."""
    good = [number for number, size in enumerate(sizes) if not isinstance(size, str)]
    names = "\0".join(paths[number] for number in good).encode("utf-8", "surrogateescape")
    arrays = {
        "paths": np.frombuffer(names, np.uint8),
        "stamps": stamp_Nx3[good],
        "sizes": np.array([sizes[number] for number in good], np.int64).reshape(-1, 2),
    }
    try:
        save_arrays(index, arrays, compressed=False)
    except OSError as error:  # no room, say: the next start opens the files again
        _log.debug("%s: %s", index, error)
