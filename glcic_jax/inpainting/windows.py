"""Windows cut out of arrays on the host, and run through a compiled program in fixed batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

_PIXELS_A_BATCH = 40_000
_AT_ONCE = 2
"""Batches that run at the same time: one is cut out, or does what few threads can share, while the
other computes."""


def batch_size(side: int) -> int:
    """How many windows of `side` pixels go through a program at a time: a power of 2, at most 8."""
    count = 8
    while count > 1 and count * side**2 > _PIXELS_A_BATCH:
        count //= 2
    return count


def cut(array_HxWxC: np.ndarray, top: int, left: int, side: int) -> np.ndarray:
    """window_SxSxC; zeros beyond the array, on any side."""
    height, width = array_HxWxC.shape[:2]
    window = np.zeros((side, side, *array_HxWxC.shape[2:]), array_HxWxC.dtype)
    rows = slice(max(top, 0), max(min(top + side, height), 0))
    columns = slice(max(left, 0), max(min(left + side, width), 0))
    window[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left] = (
        array_HxWxC[rows, columns]
    )
    return window


def cut_repeated(array_HxWxC: np.ndarray, top: int, left: int, side: int) -> np.ndarray:
    """window_SxSxC; beyond the array its border repeats."""
    rows, columns = (
        np.clip(np.arange(start, start + side), 0, length - 1)
        for start, length in zip((top, left), array_HxWxC.shape, strict=False)
    )
    return array_HxWxC[rows[:, None], columns]


def in_batches(
    program: Callable[..., Any], items: Sequence[Any], windows: Callable[[Any], tuple], count: int
) -> Iterator[tuple[Any, np.ndarray]]:
    """Run a program over many windows, always `count` at a time.

    Args:
        program: from arrays with a batch axis to one such array.
        items: what the windows are of.
        windows: the arrays of one item, without a batch axis.
        count: windows in a batch; the last batch repeats its last window.

    Yields:
        Each item with its result, without a batch axis.
    """

    def run(first: int) -> Iterator[tuple[Any, np.ndarray]]:
        part = list(items[first : first + count])
        arrays = [windows(item) for item in part]
        arrays += arrays[-1:] * (count - len(part))
        results = np.asarray(program(*(np.stack(column) for column in zip(*arrays, strict=True))))
        return zip(part, results, strict=False)

    firsts = range(0, len(items), count)
    if len(firsts) == 1:
        yield from run(0)
        return
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for results in pool.map(run, firsts):
            yield from results
