"""Many threads that fill with several generators at once: each fill is what one thread gets."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import skimage.data

from glcic_jax import inpaint_fn, load_generator
from glcic_jax.inpainting.generator_files import names

from .table import Row

THREADS = 16


def run(
    work: Path,  # noqa: ARG001
    fills: int,
    distinct: int = 24,
    sources: tuple[str, ...] = (*names(), *names()),
) -> Iterator[Row]:
    """One row: fills of so many images by generators of these names.

    The shipped ones twice by default. The second time a generator has other weights, so that a fill
    by the wrong one shows.
    """
    equal = 0
    generators = [
        _loaded(name, changed=sources.index(name) < number) for number, name in enumerate(sources)
    ]
    jobs = [make_fill(seed) for seed in range(distinct)]

    def fill(index: int) -> np.ndarray:
        generator, variables = generators[index % len(generators)]
        return inpaint_fn(generator, variables, *jobs[index % distinct])

    order = np.random.default_rng(0).permutation(fills)
    with concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
        found = dict(zip(order.tolist(), pool.map(fill, order.tolist()), strict=True))
    alone: dict[tuple[int, int], np.ndarray] = {}
    for index, filled in found.items():
        key = (index % len(generators), index % distinct)
        if key not in alone:
            alone[key] = fill(index)
        equal += bool(np.array_equal(filled, alone[key]))
    what = (
        f"fills by {THREADS} threads at once, of {len(generators)} generators "
        f"({', '.join(sources)}; a second one with other weights), against those of one thread"
    )
    yield Row("7 threads", what, fills, f"{equal:,} equal bit for bit", fills - equal)


def _loaded(name: str, *, changed: bool) -> tuple[Any, Any]:
    generator, variables = load_generator(name)
    factor = 0.9 if changed else 1.0
    return generator, jax.tree.map(lambda leaf: np.float32(factor) * leaf, variables)


def make_fill(
    seed: int, sizes: tuple[int, int] = (40, 120), largest: int = 23
) -> tuple[np.ndarray, np.ndarray]:
    """A crop of a photograph, uint8 image_HxWx3, and a mask_HxW of one to three rectangles.

    Sides of rectangles are `largest` pixels at most, and 8 less than the image's.
    """
    draw = np.random.default_rng(seed)
    photo = skimage.data.chelsea() if seed % 2 else skimage.data.coffee()
    height, width = draw.integers(sizes[0], np.minimum(sizes[1], photo.shape[:2]) + 1)
    y, x = (draw.integers(0, limit + 1) for limit in np.array(photo.shape[:2]) - (height, width))
    mask = np.zeros((height, width), bool)
    for _ in range(draw.integers(1, 4)):
        top, left = draw.integers(0, height - 8), draw.integers(0, width - 8)
        rows, columns = (draw.integers(1, min(largest, side - 8) + 1) for side in mask.shape)
        mask[top : top + rows, left : left + columns] = True
    return photo[y : y + height, x : x + width], mask
