"""Convolutions in C for CPUs, compiled on the machine that they run on.

`convolutions.c` is the arithmetic, `xla.c` makes it callable from XLA's programs, `library.py`
compiles and loads both, `convolutions.py` makes operations of JAX out of them, and `caches.py` says
where what is compiled for this machine is kept. `networks/operators.py` decides when they are used.
"""
