"""A generator as filling needs it: normalisation folded into its layers."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from glcic_jax.inpainting import geometry
from glcic_jax.inpainting.partial import chain
from glcic_jax.networks.folding import Folded, fold
from glcic_jax.networks.interface import Generator


class Prepared(NamedTuple):
    """A generator ready for inference: static shape, folded layers, the training set's mean."""

    generator: Generator
    folded: dict[str, Folded]
    mean_pixel: jax.Array
    margins: tuple[int, ...]
    """Cells around a tile of each layer's input, see `geometry.margins`."""
    blends: bool = False
    """Whether fills are blended into their surroundings, see `blending.py`."""

    @property
    def cell(self) -> int:
        """Pixels that a cell, a pixel of the coarsest feature map, is wide."""
        return self.generator.multiple


def prepare(generator: Generator, variables: Any, *, blends: bool = False) -> Prepared:
    """Fold the normalisation into the layers of a generator that has `layers`.

    Nothing is remembered between calls: folding takes a millisecond, and variables may change.
    """
    mean_pixel = jnp.asarray(variables["constants"]["mean_pixel"])
    margins = geometry.margins(chain(generator), generator.multiple)
    folded = _fold(generator, variables)
    return Prepared(generator, folded, mean_pixel, tuple(margins), blends)


_fold = jax.jit(fold, static_argnums=0)
