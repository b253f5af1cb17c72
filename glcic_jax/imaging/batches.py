"""Compiled functions over any number of examples, in calls of one shape."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np


def in_fixed_batches(function: Callable[..., Any], rows: int, *arrays: np.ndarray) -> Any:
    """Apply a compiled function to any number of examples, `rows` at a time.

    A compiled program may order its additions by the batch size, so that an image's last bits, and
    now and then a rounded value, would follow from the size of the batch around it. Here every call
    has the same shape, the tail being padded by repeating the last example and cut off again, so
    results don't depend on how the caller batches; nor is anything compiled twice.

    Args:
        function: of as many arrays of shapes (rows, ...); returns a pytree of such arrays.
        rows: examples in each call.
        arrays: of any shapes (N, ...) with one N, at least 1.

    Returns:
        The pytree with NumPy arrays of shapes (N, ...).
    """
    count = len(arrays[0])
    outputs = []
    for start in range(0, count, rows):
        chunk = [array[start : start + rows] for array in arrays]
        missing = rows - len(chunk[0])
        if missing:
            chunk = [np.concatenate([part, part[-1:].repeat(missing, 0)]) for part in chunk]
        outputs.append(function(*chunk))
    return jax.tree.map(lambda *parts: np.concatenate(parts)[:count], *outputs)
