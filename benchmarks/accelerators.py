"""A CUDA GPU: whether both libraries see one, and how fast it multiplies and copies."""

from __future__ import annotations

import functools
import gc
import os
import sys
import time
from collections.abc import Callable
from typing import Any, Literal

from benchmarks.extras import require_torch
from glcic_jax.errors import UserError

Device = Literal["cpu", "cuda"]
Dtype = Literal["float32", "bfloat16"]

PRECISION = (
    "float32 products and convolutions use TensorFloat-32 on both sides: JAX by default, PyTorch "
    "with float32 matmul precision 'high' and cudnn.allow_tf32"
)
_SIDE = 8192
_COPIED_BYTES = 2**30
_REPEATS = 5
_CALLS = 10


def require_cuda() -> None:
    """Raise a `UserError` unless JAX and PyTorch both see a CUDA GPU.

    JAX takes memory as it needs it from then on, because PyTorch lives on the same GPU.
    """
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    require_jax_cuda()
    require_torch_cuda()


def require_jax_cuda() -> None:
    """Raise a `UserError` unless JAX's default device is a CUDA GPU."""
    import jax

    try:
        found = bool(jax.devices("cuda")) and jax.default_backend() == "gpu"
    except RuntimeError:
        found = False
    if not found:
        raise UserError(
            "JAX sees no CUDA device here; on a machine with an NVIDIA GPU run: pip install "
            "'jax[cuda13]' (and leave JAX_PLATFORMS unset); or give --device cpu"
        )


def require_torch_cuda() -> None:
    """Raise a `UserError` unless PyTorch is there, built for CUDA, and sees a GPU."""
    require_torch()
    import torch

    if torch.version.cuda is None:
        raise UserError(
            f"PyTorch {torch.__version__} here is built without CUDA; install a build that has "
            "it, or give --device cpu"
        )
    if not torch.cuda.is_available():
        raise UserError(
            f"PyTorch {torch.__version__} sees no CUDA device here; it needs a driver for CUDA "
            f"{torch.version.cuda}; or give --device cpu"
        )


def use_tensor_float_32() -> None:
    """Let PyTorch round as JAX does, see `PRECISION`, and choose the fastest convolutions."""
    import torch

    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True


def describe(device: Device) -> dict[str, Any]:
    """The name of a device and what it can do at most, as `peaks` and `bandwidths` measure it."""
    import jax

    measured = peaks(device)
    copies = bandwidths(device)
    free_memory(device)
    return {
        "device": jax.devices()[0].device_kind,
        "peak_flops": {dtype: max(found.values()) for dtype, found in measured.items()},
        "peak_flops_by_library": measured,
        "bandwidth": max(copies.values()),
        "bandwidth_by_library": copies,
    }


def peaks(device: Device, side: int = _SIDE) -> dict[str, dict[str, float]]:
    """Operations a second of a large square matrix product, by type and library.

    The best of several, of random numbers: zeros take less power and so run faster.
    """
    import jax
    import jax.numpy as jnp
    import torch

    found: dict[str, dict[str, float]] = {}
    for dtype in ("bfloat16", "float32"):
        arrays = jax.random.normal(jax.random.key(0), (2, side, side), jnp.dtype(dtype))
        tensors = torch.randn(2, side, side, device=device).to(getattr(torch, dtype))
        seconds = {
            "jax": _best_seconds(
                functools.partial(jax.jit(jnp.matmul), *arrays), jax.block_until_ready
            ),
            "torch": _best_seconds(
                functools.partial(torch.matmul, *tensors), lambda _: synchronize(device)
            ),
        }
        found[dtype] = {name: 2.0 * side**3 / each for name, each in seconds.items()}
    return found


def bandwidths(device: Device, size: int = _COPIED_BYTES) -> dict[str, float]:
    """Bytes a second, read and written ones added, of a large copy in memory, by library."""
    import jax
    import jax.numpy as jnp
    import torch

    array = jnp.zeros(size // 4, jnp.float32)
    # XLA would leave out a plain copy.
    plus_one = jax.jit(lambda x: x + 1)
    source = torch.zeros(size // 4, device=device)
    target = torch.empty_like(source)
    seconds = {
        "jax": _best_seconds(lambda: plus_one(array), jax.block_until_ready),
        "torch": _best_seconds(lambda: target.copy_(source), lambda _: synchronize(device)),
    }
    return {name: 2.0 * size / each for name, each in seconds.items()}


def synchronize(device: str) -> None:
    """Wait until PyTorch's work on the device is done."""
    if device == "cuda":
        import torch

        torch.cuda.synchronize()


def free_memory(device: str) -> None:
    """Give back what PyTorch keeps of the GPU's memory, and forget all compiled programs."""
    import jax

    gc.collect()
    jax.clear_caches()
    # What was never imported holds nothing, and importing it takes seconds.
    if "torch._dynamo" in sys.modules:
        sys.modules["torch._dynamo"].reset()
    if device == "cuda" and "torch" in sys.modules:
        sys.modules["torch"].cuda.empty_cache()


def _best_seconds(run: Callable[[], Any], wait: Callable[[Any], Any]) -> float:
    """Of one `run`, where several are under way at once; `wait` waits for the last one's result."""
    wait(run())
    best = float("inf")
    for _ in range(_REPEATS):
        started = time.perf_counter()
        for _ in range(_CALLS):
            result = run()
        wait(result)
        best = min(best, (time.perf_counter() - started) / _CALLS)
    return best
