"""Arrays out of files that PyTorch wrote, without running what they say."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from glcic_jax.errors import UserError

_REFERENCE = re.compile(r"GLOBAL ([\w.]+)|function call to ([\w.]+)")
"""How PyTorch names what a file would have it import."""


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
    _require_whole(path)
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # of many kinds, where a file is damaged, another, or has code in it
        refers = _REFERENCE.search(str(error))
        what = f"it refers to {refers[1] or refers[2]}" if refers else "or it is damaged"
        raise UserError(
            f"{path} is not a state dict that torch.save wrote, {what}; nothing in it was run"
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


def _require_whole(path: Path) -> None:
    """PyTorch itself does not look at the checksums of a file."""
    try:
        with path.open("rb") as file:
            if not zipfile.is_zipfile(file):
                return
            with zipfile.ZipFile(file) as archive:
                names, damaged = archive.namelist(), archive.testzip()
    except OSError as error:
        raise UserError(f"{path} can't be read: {error.strerror or error}") from error
    except Exception as error:  # as many kinds as there are ways to damage a ZIP file
        raise UserError(f"{path} is damaged ({type(error).__name__})") from error
    if damaged is not None:
        raise UserError(f"{path} is damaged: its part {damaged} is not what was written")
    if any(name.endswith(".npy") for name in names):
        raise UserError(
            f"{path} is a file of NumPy's, not of PyTorch's; a generator that glcic-jax wrote "
            "needs no import"
        )


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
    if not tensor.is_floating_point():
        raise UserError(f"{path}: {name} holds {tensor.dtype}; expected floating-point numbers")
    try:
        return tensor.detach().float().numpy()
    except (RuntimeError, TypeError, NotImplementedError, MemoryError) as error:
        raise UserError(f"{path}: {name} is no plain array of numbers") from error


def _described(found: Any) -> str:
    import torch

    if isinstance(found, Mapping):
        others = [
            name
            for name, value in found.items()
            if not (isinstance(name, str) and isinstance(value, torch.Tensor))
        ]
        return f"a dictionary with {', '.join(map(repr, others[:3])) or 'nothing in it'}"
    return type(found).__name__
