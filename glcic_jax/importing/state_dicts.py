"""Arrays out of files that PyTorch wrote, without running what they say."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from glcic_jax.errors import UserError

_REFUSED = (
    OSError,
    pickle.UnpicklingError,
    zipfile.BadZipFile,
    RuntimeError,
    EOFError,
    ValueError,
    KeyError,
    IndexError,
    TypeError,
    AttributeError,
    UnicodeDecodeError,
    OverflowError,
    MemoryError,
    ImportError,
)
"""What `torch.load` raises where a file is damaged, something else, or has code in it."""


def read_state_dict(path: Path) -> dict[str, np.ndarray]:
    """The tensors of a state dict by name, float32.

    A dictionary with a state dict as its entry `model` is read as that. The prefix `module.`, which
    networks get that train on several devices, is taken off. Counts of batches are left out: batch
    normalisation with a fixed momentum doesn't read them.

    Args:
        path: a file that `torch.save` wrote.

    Raises:
        UserError: PyTorch is missing, the file can't be read, holds other things than tensors, or
            numbers that are not finite.
    """
    try:
        import torch
    except ImportError as error:
        raise UserError(
            f"{path} is a file of PyTorch, which is not installed: pip install 'glcic-jax[torch]'"
        ) from error
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except _REFUSED as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(
            f"{path} is not a file of tensors alone that torch.save wrote, or it is damaged; what "
            f"else it holds was not run ({first})"
        ) from error
    tensors = _state_dict(found)
    if not tensors:
        raise UserError(
            f"{path} holds no state dict, tensors by name, but {_described(found)}; save "
            "model.state_dict() with torch.save"
        )
    if all(name.startswith("module.") for name in tensors):
        tensors = {name.removeprefix("module."): tensor for name, tensor in tensors.items()}
    return {
        name: _array(path, name, tensor)
        for name, tensor in tensors.items()
        if not name.endswith("num_batches_tracked")
    }


def _state_dict(found: Any) -> dict[str, Any] | None:
    """What was found as tensors by name; None if it is something else."""
    import torch

    if isinstance(found, Mapping) and isinstance(found.get("model"), Mapping):
        found = found["model"]
    if not isinstance(found, Mapping):
        return None
    named = all(
        isinstance(name, str) and isinstance(tensor, torch.Tensor) for name, tensor in found.items()
    )
    return dict(found) if named else None


def _array(path: Path, name: str, tensor: Any) -> np.ndarray:
    try:
        return tensor.detach().float().numpy()
    except _REFUSED as error:
        raise UserError(f"{path}: {name} is no plain array of numbers ({error})") from error


def _described(found: Any) -> str:
    if isinstance(found, Mapping):
        return f"a dictionary with {', '.join(map(repr, list(found)[:3])) or 'nothing in it'}"
    return type(found).__name__
