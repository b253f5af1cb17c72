"""The holes that training cuts, of the kinds and sizes that a configuration names."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from glcic_jax.config.settings import MaskConfig, mask_folder, pixels
from glcic_jax.imaging.folder_masks import moved_masks
from glcic_jax.imaging.masks import (
    freeform_masks,
    pixel_masks,
    rectangle_masks,
    several_rectangle_masks,
    split_keys,
    uniform,
    uniform_int,
)
from glcic_jax.imaging.photograph_masks import blob_masks, lettering_masks, speck_masks

_KINDS = ("rectangle", "rectangles", "freeform", "pixels", "blobs", "specks", "text")
"""What `MaskConfig.kind` "mixed" chooses from, in the order of `MaskConfig.shares`."""
FOLDER = "folder"
"""The kind of the masks that a user has drawn."""
_SPECKS = 4
"""As many specks as rectangles or strokes, times this."""
_LETTERS = (0.15, 0.6)
"""Smallest and largest height of letters, of the local window."""


def drawn_kinds(config: MaskConfig) -> tuple[str, ...]:
    """The kinds of hole that are drawn at all."""
    return tuple(kind for kind, _ in _shares(config))


def _shares(config: MaskConfig) -> list[tuple[str, float]]:
    """The kinds that are drawn, and how often relative to the others."""
    has_folder = mask_folder(config) != ""
    if not config.kind.startswith("mixed"):
        return [(FOLDER if has_folder else config.kind, 1.0)]
    shares, folder_share = config.shares, 1.0
    if len(shares) in (5, 8):
        shares, folder_share = shares[:-1], shares[-1]
    pairs = list(zip(_KINDS, shares, strict=False))
    pairs += [(FOLDER, folder_share)] if has_folder else []
    return [(kind, share) for kind, share in pairs if share > 0]


def training_masks(
    keys_B: jax.Array, image_size: int, config: MaskConfig, cover_NxSxS: jax.Array | None = None
) -> jax.Array:
    """One hole (or group of holes) an image, of the configured kind.

    All holes of an image lie inside one square of `config.local_window` of the image side, so
    that a local window can contain them (GLCIC, section 3.2); a single rectangle lies anywhere, and
    masks of a folder may be larger.

    Args:
        keys_B: typed keys of shape (B,).
        image_size: side S of the image in pixels.
        config: kind, sizes and counts.
        cover_NxSxS: uint8, the masks of the folder, see `folder_masks`; only if there is one.

    Returns:
        float32 mask_BxSxSx1 of zeros and ones.
    """
    drawn = _shares(config)
    if not config.kind.startswith("mixed"):
        return _masks_of_kind(drawn[0][0], keys_B, image_size, config, cover_NxSxS)
    choice_keys_B, mask_keys_B = split_keys(keys_B)
    ends_K = jnp.cumsum(jnp.asarray([share for _, share in drawn]))
    place_Bx1 = uniform(choice_keys_B, (1,)) * ends_K[-1]
    choice_Bx1 = jnp.sum(place_Bx1 >= ends_K[:-1], -1, keepdims=True)
    mask_BxSxSx1 = jnp.zeros((keys_B.shape[0], image_size, image_size, 1))
    for number, (kind, _) in enumerate(drawn):
        kind_BxSxSx1 = _masks_of_kind(kind, mask_keys_B, image_size, config, cover_NxSxS)
        is_chosen_Bx1x1x1 = (choice_Bx1 == number)[..., None, None]
        mask_BxSxSx1 = jnp.where(is_chosen_Bx1x1x1, kind_BxSxSx1, mask_BxSxSx1)
    return mask_BxSxSx1


def _masks_of_kind(
    kind: str,
    keys_B: jax.Array,
    image_size: int,
    config: MaskConfig,
    cover_NxSxS: jax.Array | None,
) -> jax.Array:
    if kind == FOLDER:
        if cover_NxSxS is None:
            raise ValueError(f"masks of {config.kind} were not given")
        scales = (config.min_scale, config.max_scale)
        return moved_masks(keys_B, cover_NxSxS, scales, config.max_turn)
    window = pixels(config.local_window, image_size)
    region_keys_B, hole_keys_B = split_keys(keys_B)
    region_Bx2 = uniform_int(region_keys_B, (2,), 0, image_size - window + 1)
    counts = (config.min_count, config.max_count)
    sides = (pixels(config.min_side, image_size), pixels(config.max_side, image_size))
    match kind:
        case "rectangle":
            return rectangle_masks(hole_keys_B, image_size, sides, config.side_scale)
        case "rectangles":
            return several_rectangle_masks(
                hole_keys_B, image_size, sides, counts, region_Bx2, window
            )
        case "freeform":
            brush = (config.min_brush * image_size, config.max_brush * image_size)
            return freeform_masks(hole_keys_B, image_size, brush, counts, region_Bx2, window)
        case "pixels":
            missing = (config.min_missing, config.max_missing)
            return pixel_masks(hole_keys_B, image_size, missing, region_Bx2, window)
        case "blobs":
            mask_BxPxPx1 = blob_masks(hole_keys_B, window, sides)
        case "specks":
            largest = pixels(config.max_brush, image_size)
            counts = (config.min_count, _SPECKS * config.max_count)
            mask_BxPxPx1 = speck_masks(hole_keys_B, window, (1, min(largest, window)), counts)
        case "text":
            heights = (_LETTERS[0] * window, _LETTERS[1] * window)
            mask_BxPxPx1 = lettering_masks(hole_keys_B, window, heights)
        case _:
            raise ValueError(f"unknown kind of mask {kind!r}")
    return _placed(mask_BxPxPx1, region_Bx2, image_size)


def _placed(mask_BxPxPx1: jax.Array, corner_Bx2: jax.Array, image_size: int) -> jax.Array:
    """Masks of a window, at their places in an image: mask_BxSxSx1."""

    def one(mask_PxPx1: jax.Array, corner_2: jax.Array) -> jax.Array:
        empty = jnp.zeros((image_size, image_size, 1))
        return jax.lax.dynamic_update_slice(empty, mask_PxPx1, (corner_2[0], corner_2[1], 0))

    return jax.vmap(one)(mask_BxPxPx1, corner_Bx2)
