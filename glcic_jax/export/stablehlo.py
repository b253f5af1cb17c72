"""A generator as StableHLO, for images of any size on any platform: what `jax.export` serializes.

The program is `inpainting/coarse_to_fine.complete`, with sizes that are symbols.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import export

from glcic_jax.imaging.depths import SMALLEST
from glcic_jax.inpainting.coarse_to_fine import complete_halved
from glcic_jax.networks.interface import Generator

PLATFORMS = ("cpu", "cuda", "tpu")


def stablehlo_program(generator: Generator, variables: Any, levels: int) -> export.Exported:
    """The whole completion: image (N, H, W, 3) and mask (N, H, W, 1) to the completed image.

    Args:
        generator: of any size.
        variables: as `load_generator` returns them.
        levels: most halvings of an image; not read where `generator.deepest` is 0.
    """
    levels = levels if generator.deepest else 0

    def complete(image: jax.Array, mask: jax.Array) -> jax.Array:
        mask = (mask > 0.5).astype(jnp.float32)

        def halved(most: int) -> Any:
            return lambda: complete_halved(generator, variables, image, mask, most)[1]

        if levels == 0:
            return halved(0)()
        height, width = (jnp.asarray(length) for length in image.shape[1:3])
        most = _most_halvings(height, width, generator.deepest, levels)
        return jax.lax.switch(most, [halved(number) for number in range(levels + 1)])

    batch, height, width = export.symbolic_shape("N, H, W")
    image = jax.ShapeDtypeStruct((batch, height, width, 3), jnp.float32)
    mask = jax.ShapeDtypeStruct((batch, height, width, 1), jnp.float32)
    return export.export(jax.jit(complete), platforms=PLATFORMS)(image, mask)


def _most_halvings(height: jax.Array, width: jax.Array, deepest: float, levels: int) -> jax.Array:
    """`depths.most_halvings` of a size that is known when the program is compiled."""
    short, long = jnp.minimum(height, width), jnp.maximum(height, width)
    fit = sum((short >= SMALLEST * 2 ** (n + 1)).astype(jnp.int32) for n in range(levels))
    needed = sum((long > deepest * 2**n).astype(jnp.int32) for n in range(levels))
    return jnp.minimum(fit, needed)
