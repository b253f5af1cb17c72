"""Convolutions in C for CPUs, compiled on the machine that they run on.

The arithmetic is in `outputs.c` and `kernel_gradient.c`, and `xla.c` makes it callable from XLA's
programs. `library.py` compiles and loads all of it, `convolutions.py` makes operations of JAX of
it, and `caches.py` says where what is compiled for this machine is kept. `networks/operators.py`
decides when they are used.
"""
