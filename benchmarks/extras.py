"""Packages that only the benchmarks need, and what to say where they are missing."""

from __future__ import annotations

import importlib.util

from glcic_jax.errors import UserError


def require_torch() -> None:
    """Raise a `UserError` that names the command if PyTorch is not installed."""
    if importlib.util.find_spec("torch") is None:
        raise UserError("PyTorch is not installed; run: pip install '.[benchmarks]'")


def require_libtpu() -> None:
    """Raise a `UserError` that names the command if the TPU compiler is not installed."""
    if importlib.util.find_spec("libtpu") is None:
        raise UserError(
            "libtpu, the compiler for TPUs, is not installed; run: pip install '.[tpu]' "
            "(Linux on x86-64; no TPU is needed)"
        )


def require_onnxruntime() -> None:
    """Raise a `UserError` that names the command if ONNX Runtime or ONNX is not installed."""
    if any(importlib.util.find_spec(name) is None for name in ("onnx", "onnxruntime")):
        raise UserError("ONNX Runtime is not installed; run: pip install '.[export,benchmarks]'")
