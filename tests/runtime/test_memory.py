"""Large blocks of memory go back to the system."""

from __future__ import annotations

import platform

import pytest

HELD = """
import ctypes, sys
from glcic_jax.runtime.memory import give_back_large_blocks

class Blocks(ctypes.Structure):
    names = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"
    _fields_ = [(name, ctypes.c_size_t) for name in names.split()]

libc = ctypes.CDLL(None)
libc.mallinfo2.restype = Blocks
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
done = sys.argv[1] == "yes" and give_back_large_blocks()
libc.free(libc.malloc(30 << 20))
before = libc.mallinfo2()
block = libc.malloc(20 << 20)
print(done, libc.mallinfo2().hblks - before.hblks)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_a_block_is_the_systems_own_after_a_larger_one_was_freed(run_python):
    """By itself glibc takes it out of what it keeps from then on."""
    assert run_python("-c", HELD, "yes").stdout.split() == ["True", "1"]
    assert run_python("-c", HELD, "no").stdout.split() == ["False", "0"]


def test_who_has_chosen_is_left_alone(run_python):
    done = run_python("-c", HELD, "yes", MALLOC_MMAP_THRESHOLD_="1000000")
    assert done.stdout.split()[0] == "False"
