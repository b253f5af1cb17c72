"""Files that are written whole or not at all, and finding out beforehand whether that will work."""

from __future__ import annotations

import contextlib
import lzma
import math
import os
import struct
import tempfile
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from glcic_jax.errors import UserError

_ALWAYS_UNPACKED = 64 << 20
_MOST_COMPRESSION = 20
"""Weights hardly shrink, so a file that grows more is not one of ours."""


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


def load_arrays(file: IO[bytes]) -> dict[str, np.ndarray]:
    """The inverse of `save_arrays`, of an open file from elsewhere.

    NumPy believes the shape that an array declares, and would make room for terabytes; the size of
    each array, and of all of them beside the file's, is looked at first.

    Raises:
        ValueError: an array is larger than its bytes, or all are many times larger than the file.
        Exception: one of `UNREADABLE`: not such a file.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    with zipfile.ZipFile(file) as members:
        unpacked = sum(member.file_size for member in members.infolist())
        if unpacked > max(_ALWAYS_UNPACKED, _MOST_COMPRESSION * size):
            raise ValueError(f"its {size:,} bytes would unpack to {unpacked:,}")
        for member in members.infolist():
            with members.open(member) as stored:
                _require_whole(member, stored)
    file.seek(0)
    with np.load(file) as arrays:
        return {name: arrays[name] for name in arrays.files}


def _require_whole(member: zipfile.ZipInfo, stored: IO[bytes]) -> None:
    version = np.lib.format.read_magic(stored)
    if version == (1, 0):
        shape, _, dtype = np.lib.format.read_array_header_1_0(stored)
    else:
        shape, _, dtype = np.lib.format.read_array_header_2_0(stored)
    if math.prod(shape) * dtype.itemsize > member.file_size - stored.tell():
        raise ValueError(f"the array {member.filename} is cut short")


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Inside, what the operating system says against a file of a run is a `UserError`."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"can't write {path}: {error.strerror or error}; what is saved stays. Make room there, "
            "or make it writable, then give the same command again"
        ) from error


UNREADABLE = (
    OSError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    EOFError,
    RuntimeError,  # nested too deeply; a compression that is not known
    SyntaxError,
    lzma.LZMAError,
    struct.error,
    tokenize.TokenError,
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
