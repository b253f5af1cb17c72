"""Whole images completed from coarse to fine: pure functions, to be used inside other programs.

A hole deeper than the network was trained for (`model.deepest`) is completed in the halved image
first, or in the half of that; the result, doubled, is where the network starts from at the next
size. A hole that is not so deep is completed in one pass. Photographs are completed in the same way
by windows, `photographs.py`, with the same result.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from glcic_jax.imaging.depths import halve_stages, hole_stages, most_halvings
from glcic_jax.imaging.fills import harmonic_fills
from glcic_jax.imaging.levels import halve, start_from_half
from glcic_jax.imaging.values import composite, continue_mirrored
from glcic_jax.networks.interface import Generator


def padding_multiple(generator: Generator, height: int, width: int) -> int:
    """What height and width of an image are rounded up to a multiple of, in pixels."""
    return generator.multiple * 2 ** most_halvings(height, width, generator.deepest)


def complete(
    generator: Generator, variables: Any, image_BxHxWx3: jax.Array, mask_BxHxWx1: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """The network's raw output and the completed image.

    Args:
        generator: static under `jit`.
        variables: as `load_generator` returns them.
        image_BxHxWx3: float32 in [0, 1]. Any H and W: the image is continued by its mirror image,
            as far as the generator asks for, and then by repeating the border.
        mask_BxHxWx1: float32, 1 is the hole.

    Returns:
        Two float32 image_BxHxWx3 in [0, 1]; the second equals the input outside the hole.
    """
    height, width = image_BxHxWx3.shape[1:3]
    most = most_halvings(height, width, generator.deepest)
    return complete_halved(generator, variables, image_BxHxWx3, mask_BxHxWx1, most)


def complete_halved(
    generator: Generator,
    variables: Any,
    image_BxHxWx3: jax.Array,
    mask_BxHxWx1: jax.Array,
    most: int,
) -> tuple[jax.Array, jax.Array]:
    """As `complete`, of images that are halved at most `most` times; H and W may be symbolic."""
    height, width = image_BxHxWx3.shape[1:3]
    multiple, margin = generator.multiple * 2**most, generator.mirror_margin
    image, mask = (continue_mirrored(x, margin, multiple) for x in (image_BxHxWx3, mask_BxHxWx1))
    own = (slice(None), slice(margin, margin + height), slice(margin, margin + width))
    found = _first(generator, variables, image, mask, own, most)
    padded: Any
    if found is None:  # only a generator with a `deepest` need know of a start
        padded = generator.apply(variables, image, mask, train=False)
    else:
        start, stage = found
        padded = generator.apply(variables, image, mask, train=False, start_BxHxWx3=start)
        padded = _unless_left(generator, padded, start, stage)
    output = padded[own]
    return output, composite(output, image_BxHxWx3, mask_BxHxWx1)


def first_completion(
    generator: Generator, variables: Any, image_BxHxWx3: jax.Array, mask_BxHxWx1: jax.Array
) -> jax.Array | None:
    """What the network starts from at the image's own size: training reads it.

    Args:
        generator: static under `jit`.
        variables: what completes the halved images.
        image_BxHxWx3: float32 in [0, 1]; H and W divide by `padding_multiple`.
        mask_BxHxWx1: float32, 1 is the hole.

    Returns:
        float32 image_BxHxWx3 in [0, 1]; anything outside the holes. None: the generator's own fill.
    """
    batch, height, width, _ = image_BxHxWx3.shape
    whole = (slice(0, batch), slice(0, height), slice(0, width))
    most = most_halvings(height, width, generator.deepest)
    found = _first(generator, variables, image_BxHxWx3, mask_BxHxWx1, whole, most)
    return None if found is None else found[0]


def _first(
    generator: Generator,
    variables: Any,
    image_BxHxWx3: jax.Array,
    mask_BxHxWx1: jax.Array,
    own: tuple[slice, ...],
    most: int,
) -> tuple[jax.Array, jax.Array] | None:
    """As `first_completion`, and the stages, of a continued image; `own` cuts out that before."""
    if most == 0:
        return None
    stage = hole_stages(mask_BxHxWx1[own], generator.deepest, most)
    pad = [
        (part.start, whole - part.stop)
        for part, whole in zip(own[1:], image_BxHxWx3.shape[1:3], strict=True)
    ]
    # Holes of the mirror image are surroundings only; what is padded belongs to its hole.
    mode = "constant" if generator.mirror_margin else "edge"
    stage_BxHxWx1 = jnp.pad(stage, ((0, 0), *pad, (0, 0)), mode=mode)
    mean_pixel = variables["constants"]["mean_pixel"]
    smooth = harmonic_fills(image_BxHxWx3, mask_BxHxWx1, mean_pixel, most + 1)
    start = _start(generator, variables, image_BxHxWx3, mask_BxHxWx1, stage_BxHxWx1, smooth)
    return start, stage_BxHxWx1


def _unless_left(
    generator: Generator, output: jax.Array, start: jax.Array, stage: jax.Array
) -> jax.Array:
    """The output, but the start where a network that does not refine leaves it as it is."""
    return output if generator.refines else jnp.where(stage > 1, start, output)


def _start(
    generator: Generator,
    variables: Any,
    image_BxHxWx3: jax.Array,
    mask_BxHxWx1: jax.Array,
    stage_BxHxWx1: jax.Array,
    smooths: list[jax.Array],
) -> jax.Array:
    """A smooth fill where holes are completed here first, the doubled half where they are not.

    `stage_BxHxWx1` as of `depths.hole_stages`, as seen from this size: a hole of stage 0 is
    completed at a finer size only. `smooths`: the fill at this size, and at all smaller ones.
    """
    smooth, *smaller = smooths
    if not smaller:
        return smooth
    is_deeper = stage_BxHxWx1 > 1

    def from_half() -> jax.Array:
        image, mask = halve(image_BxHxWx3, mask_BxHxWx1)
        stage = halve_stages(jnp.maximum(stage_BxHxWx1 - 1, 0), mask)
        start = _start(generator, variables, image, mask, stage, smaller)
        output: Any = generator.apply(variables, image, mask, train=False, start_BxHxWx3=start)
        output = _unless_left(generator, output, start, stage)
        half = composite(jnp.where(stage > 0, output, start), image, mask)
        return composite(start_from_half(half, image_BxHxWx3, mask_BxHxWx1), smooth, is_deeper)

    return jax.lax.cond(jnp.any(is_deeper), from_half, lambda: smooth)
