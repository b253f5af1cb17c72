"""Files that are written whole or not at all, and finding out beforehand whether that will work."""

from __future__ import annotations

import os
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np


def replace_file(path: Path, write: Callable[[Path], Any]) -> None:
    """Replace `path` in one move, after `write` has filled a temporary file beside it.

    Args:
        path: in a directory that exists.
        write: gets the path of the temporary file, which has the suffix of `path`.

    Raises:
        OSError: as the operating system says; `path` is as it was then.
    """
    descriptor, name = tempfile.mkstemp(
        dir=path.parent, prefix=f".{path.name}-", suffix=path.suffix
    )
    os.close(descriptor)
    temporary = Path(name)
    try:
        write(temporary)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o644)  # mkstemp makes it private; others may want to read it
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def save_arrays(path: Path, arrays: Mapping[str, Any], *, compressed: bool = True) -> None:
    """Write arrays by name as one file, which `numpy.load` reads.

    Raises:
        OSError: as `replace_file`.
    """

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:  # a path would get .npz added to its name
            (np.savez_compressed if compressed else np.savez)(file, **arrays)

    replace_file(path, write)


UNREADABLE = (
    OSError,
    ValueError,
    TypeError,
    KeyError,
    EOFError,
    zipfile.BadZipFile,
    zlib.error,
)
"""What reading arrays by name raises where a file is something else, or damaged."""


def nearest_existing(directory: Path) -> Path:
    """`directory`, or the nearest one above it that exists."""
    return next(path for path in (directory, *directory.absolute().parents) if path.exists())


def probe(directory: Path) -> None:
    """Write to `directory`, or where it would be made, and leave nothing there.

    The permission bits alone don't tell whether that works: root, read-only mounts.

    Raises:
        OSError: as the operating system says.
    """
    with tempfile.TemporaryFile(dir=nearest_existing(directory)):
        pass
