"""How this process gets large blocks of memory from the system."""

from __future__ import annotations

import ctypes
import os
import platform

_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1
"""Parameters of glibc's `mallopt`."""
_LARGE = 2 << 20


def give_back_large_blocks() -> bool:
    """Return freed blocks of 2 MB or more to the system at once, where glibc allocates them.

    By itself glibc keeps blocks of up to 32 MB for reuse, once such a one was freed. Fills of many
    sizes then leave gaps that fit no later one. It is for whoever owns the process: every
    allocation in it is concerned. Variables of glibc's own (`MALLOC_MMAP_THRESHOLD_`) go before.

    Returns:
        Whether something was set.
    """
    if platform.libc_ver()[0] != "glibc" or "MALLOC_MMAP_THRESHOLD_" in os.environ:
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(_MMAP_THRESHOLD, _LARGE) and mallopt(_TRIM_THRESHOLD, 10 * _LARGE))
