"""Which image files a folder has, and which split each belongs to.

Where the folder has a directory `train`, `validation` (or `val`, `valid`) or `test`, that directory
is the split. A split without a directory is a share of `train`; without any of these directories,
of the whole tree. A file's share is decided by a hash of its path in the folder: a tenth is for
validation, a tenth for testing, the rest for training, the same on every machine.
"""

from __future__ import annotations

import collections
import contextlib
import contextvars
import hashlib
import logging
import os
import unicodedata
from collections.abc import Iterator, Mapping, Sequence

from glcic_jax.errors import UserError

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff")
"""File names that are read, in either case."""

PASSED_OVER = (
    *(".avif", ".bmp", ".gif", ".heic", ".heif", ".jfif", ".jp2", ".jxl", ".pgm", ".ppm", ".psd"),
    *(".arw", ".cr2", ".cr3", ".dng", ".nef", ".orf", ".raf", ".rw2"),
)
"""File names of photographs that are not read, in either case: they are counted."""

DIRECTORIES = {
    "train": ("train",),
    "validation": ("validation", "val", "valid"),
    "test": ("test",),
}
"""Names of the directories that are splits, in either case."""

_log = logging.getLogger("glcic_jax")
_told: set[tuple[str, str]] = set()
_walked: contextvars.ContextVar[dict[str, list[str]] | None] = contextvars.ContextVar(
    "walked", default=None
)


@contextlib.contextmanager
def one_walk() -> Iterator[None]:
    """Inside, each folder is walked once, however many splits of it are listed."""
    token = _walked.set({})
    try:
        yield
    finally:
        _walked.reset(token)


def list_images(root: str) -> list[str]:
    """Paths of all image files below a folder, in the order of their names.

    Photographs of kinds that are not read are counted by kind in a warning, once for each folder.

    Raises:
        UserError: the folder does not exist, is a file, or has no images.
    """
    walked = _walked.get()
    if walked is None:
        return _walk(root)
    if root not in walked:
        walked[root] = _walk(root)
    return list(walked[root])


def _walk(root: str) -> list[str]:
    if not os.path.isdir(root):
        what = "is a file" if os.path.exists(root) else "does not exist"
        raise UserError(f"folder:{root} {what}; give a directory with images")
    paths: list[str] = []
    others: collections.Counter[str] = collections.Counter()
    for path in _files(root):
        suffix = os.path.splitext(path)[1].lower()
        if suffix in SUFFIXES:
            paths.append(path)
        elif suffix in PASSED_OVER:
            others[suffix] += 1
    if not paths:
        also = f"; it has {_counted(others)}, which are not read" if others else ""
        raise UserError(
            f"folder:{root} has no images; expected files that end in {', '.join(SUFFIXES)}{also}"
        )
    if others and (root, _counted(others)) not in _told:
        _told.add((root, _counted(others)))
        _log.warning(
            "%s: passed over %s, which are not read; save them as JPEG, PNG, WebP or TIFF to use "
            "them",
            root, _counted(others),
        )  # fmt: skip
    return sorted(paths)


def split_paths(root: str, split: str) -> list[str]:
    """Paths in the folder, sorted, of the image files that belong to a split.

    Raises:
        UserError: the folder does not exist, is a file, has no images or none in this split.
    """
    paths = list_images(root)
    chosen = paths_of_split(paths, split)
    if not chosen:
        raise UserError(
            f"folder:{root} has {len(paths)} images but none for the split {split}; "
            f"put images of that split in {root}/{split}, or add more images to the folder"
        )
    return chosen


def paths_of_split(paths: Sequence[str], split: str) -> list[str]:
    """Those of a folder's paths that belong to a split, in their order; it takes linear time."""
    tops = [_split_of_directory(path.split("/")[0]) if "/" in path else None for path in paths]
    pool = list(paths)
    # What has a directory of its own takes no share of the rest.
    taken = set(tops)
    if taken != {None}:
        own = [path for path, top in zip(paths, tops, strict=True) if top == split]
        if own and split != "train":
            return own
        pool = [path for path, top in zip(paths, tops, strict=True) if top == "train"]
    return [path for path in pool if _split_of_hash(path, taken) == split]


def _counted(others: Mapping[str, int]) -> str:
    return ", ".join(f"{others[suffix]} {suffix}" for suffix in sorted(others))


def _split_of_directory(name: str) -> str | None:
    for split, names in DIRECTORIES.items():
        if name.lower() in names:
            return split
    return None


def _split_of_hash(path: str, taken: set[str | None]) -> str:
    # One spelling of accented letters: file systems differ in it.
    text = unicodedata.normalize("NFC", path).encode("utf-8", "surrogateescape")
    tenth = int.from_bytes(hashlib.sha256(text).digest()[:8], "big") % 10
    split = {0: "validation", 1: "test"}.get(tenth, "train")
    return "train" if split in taken else split


def _files(root: str) -> Iterator[str]:
    """Files under `root`, hidden ones left out, with / between the parts; links are followed, each
    directory once."""
    seen = set()
    for here, directories, files in os.walk(root, followlinks=True):
        status = os.stat(here)
        if (status.st_dev, status.st_ino) in seen:
            directories.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        directories[:] = sorted(name for name in directories if not name.startswith("."))
        inside = os.path.relpath(here, root).replace(os.sep, "/")
        start = "" if inside == "." else f"{inside}/"
        yield from (start + name for name in files if not name.startswith("."))
