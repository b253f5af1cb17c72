"""Where the package keeps what can be made again: in the user's cache directory."""

from __future__ import annotations

import os
import platform
import zlib
from pathlib import Path


def user_cache(name: str) -> Path | None:
    """The directory `name` of this package in the user's cache directory (`XDG_CACHE_HOME`, by
    default `~/.cache`), made if need be; None where it can't be: no home directory, or a read-only
    one."""
    try:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        directory = Path(base, "glcic_jax", name)
        directory.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):
        return None
    return directory


def instruction_sets() -> str:
    """A short name of this machine's kind of CPU, as part of a file's name: what is compiled for
    one must not run on another, and different machines may share a home directory."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        flags = next(line for line in lines if line.startswith(("flags", "Features")))
    except (OSError, StopIteration):
        flags = platform.processor()
    return f"{platform.machine()}-{zlib.crc32(flags.encode()):08x}"
