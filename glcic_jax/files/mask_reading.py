"""Read a mask in any form that people have, and say in one line what was done."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, BinaryIO

import cv2
import numpy as np
from PIL import Image, ImageColor, ImageOps

from glcic_jax.errors import UserError
from glcic_jax.files.image_opening import open_image
from glcic_jax.files.mask_forms import from_array

_SUSPICIOUS = 0.7
"""Share of holes from which on a mask may be meant the other way round."""
DOUBT = ". That is "
"""Stands in the line of a mask that may not be meant so."""
_WIDEST_GROWTH = 1000
_FEW = 4
_RIM = 52
"""Pixels around a square of 12, the smallest window that a network completes at a time. Who knows
less of a photograph has nothing to continue."""


def read_mask(
    source: str | Path | BinaryIO | Any,
    photograph: Any = None,
    *,
    colour: str | None = None,
    tolerance: int = 0,
    invert: bool = False,
    grow: int = 0,
    max_pixels: int | None = None,
) -> tuple[np.ndarray, str]:
    """The hole that a mask shows.

    Args:
        source: an image file, an open binary stream of one, a PIL image, or an array: 0/1, 0/255,
            bool, 16-bit, palette, soft, RGB, with alpha. "alpha": where the photograph is
            transparent. None together with `colour`.
        photograph: what the mask is for: an array (H, W) or (H, W, C), a PIL image, or its height
            and width. A mask of the same shape but another resolution is resized to it. Needed for
            "alpha" and `colour`.
        colour: the hole is painted over the photograph in this colour: "#ff00ff" or a CSS name.
        tolerance: largest difference in a channel, 0 to 255, at which a pixel has that colour.
        invert: the mask shows what is known.
        grow: pixels by which the hole is widened.
        max_pixels: of a mask file, against decompression bombs; None: Pillow's limit.

    Returns:
        bool mask_HxW, True is the hole, and a line that says how it was read.

    Raises:
        UserError: what can't be read, is no mask, is empty, full or nearly full, or has another
            shape.
    """
    if not (isinstance(grow, (int, np.integer)) and 0 <= grow <= _WIDEST_GROWTH):
        raise UserError(f"--grow {grow}: give 0 to {_WIDEST_GROWTH} whole pixels")
    name, hole, said = _shown_hole(source, photograph, colour, tolerance, max_pixels)
    if photograph is not None:
        hole, resized = _resized(hole, _size(photograph), name)
        said += resized
    if invert:
        hole, said = ~hole, f"{said}; inverted"
    share = _check_extent(hole, name, said, invert=invert)
    warning = "" if invert else _suspicion(hole)
    if grow:
        known = (~hole).astype(np.uint8)
        hole = cv2.distanceTransform(known, cv2.DIST_L2, cv2.DIST_MASK_PRECISE) <= grow
        said += f"; widened by {grow} px"
        if hole.all():
            raise UserError(f"{name} leaves no pixel known when widened by {grow} px; give less")
    _check_known(hole, name, said, invert=invert)
    line = f"{name}: {said}; {int(hole.sum()):,} pixels ({_percent(share)}) are the hole{warning}"
    return np.ascontiguousarray(hole), line


def read_sources(
    source: str | Path | BinaryIO | Any, photograph: Any, max_pixels: int | None = None
) -> np.ndarray:
    """Where a mask allows texture to be copied from: bool source_HxW; arguments as of `read_mask`.

    Raises:
        UserError: what can't be read, is no mask, has another shape, or allows nothing.
    """
    try:
        name, allowed, _ = _shown_hole(source, photograph, None, 0, max_pixels)
        allowed, _ = _resized(allowed, _size(photograph), name)
    except UserError as error:
        raise UserError(f"source mask: {error}") from error
    if not allowed.any():
        raise UserError(
            f"source mask: {name} is black all over; white is where texture may be copied from"
        )
    return np.ascontiguousarray(allowed)


def _shown_hole(
    source: Any, photograph: Any, colour: str | None, tolerance: int, max_pixels: int | None
) -> tuple[str, np.ndarray, str]:
    """Name, bool hole_HxW and what was done."""
    if colour is not None:
        if source is not None:
            raise UserError("give a mask or a mask colour, not both")
        hole, said = _painted(photograph, colour, tolerance)
        return "the photograph", hole, said
    if source is None:
        raise UserError("there is no mask; give one, or the colour that the hole is painted in")
    if isinstance(source, str) and source == "alpha":
        return "the photograph", *_transparent(photograph)
    if isinstance(source, (str, Path)) or hasattr(source, "read"):
        name = str(source) if isinstance(source, (str, Path)) else "the mask"
        return name, *from_array(_of_file(source, max_pixels), name)
    if isinstance(source, Image.Image):
        return "the mask", *from_array(_of_image(source), "the mask")
    try:
        array = np.asarray(source)
    except (TypeError, ValueError) as error:
        raise UserError(
            f"the mask is a {type(source).__name__}; give a file or an array"
        ) from error
    if array.dtype == object:
        raise UserError(f"the mask is a {type(source).__name__}; give a file or an array")
    return "the mask", *from_array(array, "the mask")


def _of_file(source: str | Path | BinaryIO, max_pixels: int | None) -> np.ndarray:
    image = open_image(source, max_pixels=max_pixels, what="mask")
    return _of_image(ImageOps.exif_transpose(image))


def _of_image(image: Image.Image) -> np.ndarray:
    """The array of any mode; a palette by its colours, but for black and white or labels."""
    if image.mode == "P":
        indices = np.asarray(image)
        palette = np.array(image.getpalette("RGB"), np.uint8).reshape(-1, 3)
        shown = palette[indices] if indices.max() < len(palette) else None
        used = np.unique(indices)
        if shown is None or (len(used) == 2 and used[0] == 0 and "transparency" not in image.info):
            # Background and one part, in whatever colours a labelling program gave them.
            dark, light = palette[used].astype(int).sum(1) if shown is not None else (0, 1)
            return indices == (used[-1] if light >= dark else used[0])
        return np.asarray(image.convert("RGBA" if "transparency" in image.info else "RGB"))
    if image.mode in ("1", "L", "LA", "RGB", "RGBA", "I;16", "I", "F"):
        return np.asarray(image)
    if image.mode.startswith("I;16"):
        return np.asarray(image.convert("I"))
    return np.asarray(image.convert("RGBA" if "A" in image.mode or "a" in image.mode else "RGB"))


def _transparent(photograph: Any) -> tuple[np.ndarray, str]:
    array = _pixels(photograph)
    if array is None or array.ndim != 3 or array.shape[-1] not in (2, 4):
        raise UserError(
            "the photograph has no transparency to take the mask from; give a mask, or the colour "
            "that the hole is painted in"
        )
    alpha = array[..., -1]
    white = np.iinfo(alpha.dtype).max if alpha.dtype.kind in "ui" else 1
    between = int(((alpha > 0) & (alpha < white)).sum())
    said = "transparent pixels" + (f", {between:,} of them partly" if between else "")
    return alpha < white / 2, said


def _painted(photograph: Any, colour: str, tolerance: int) -> tuple[np.ndarray, str]:
    if not 0 <= tolerance <= 255:
        raise UserError(f"--tolerance {tolerance}: give 0 to 255")
    try:
        # A shell takes an unquoted # for a comment, so it may be left out.
        code = f"#{colour}" if re.fullmatch("[0-9a-fA-F]{3}|[0-9a-fA-F]{6}", colour) else colour
        wanted = np.array(ImageColor.getrgb(code)[:3], np.int16)
    except ValueError as error:
        raise UserError(
            f"--mask-colour {colour!r} is no colour; give one such as '#ff00ff' or magenta"
        ) from error
    array = _pixels(photograph)
    if array is None:
        raise UserError("a mask colour needs the photograph that it is painted over")
    array = array[..., None].repeat(3, -1) if array.ndim == 2 else array[..., :3]
    if array.dtype == np.uint16:
        array = (array // 257).astype(np.uint8)
    away = np.abs(array.astype(np.int16) - wanted).max(-1)
    hole = away <= tolerance
    if not hole.any():
        nearest = int(away.min())
        raise UserError(
            f"no pixel of the photograph has the colour {colour}; the nearest is {nearest} of 255 "
            f"away: --tolerance {nearest} or more finds it"
        )
    within = f" within {tolerance}" if tolerance else ""
    return hole, f"pixels of the colour {colour}{within}"


def _pixels(photograph: Any) -> np.ndarray | None:
    if isinstance(photograph, Image.Image):
        return np.asarray(photograph.convert("RGBA" if photograph.has_transparency_data else "RGB"))
    return photograph if isinstance(photograph, np.ndarray) else None


def _size(photograph: Any) -> tuple[int, int]:
    if isinstance(photograph, Image.Image):
        return photograph.height, photograph.width
    shape = photograph.shape if isinstance(photograph, np.ndarray) else photograph
    return int(shape[0]), int(shape[1])


def _resized(hole_HxW: np.ndarray, size: tuple[int, int], name: str) -> tuple[np.ndarray, str]:
    """The mask at the photograph's size, and what to say of that."""
    (height, width), (tall, wide) = hole_HxW.shape, size
    if (height, width) == (tall, wide):
        return hole_HxW, ""
    sizes = f"{width} x {height} pixels, the photograph {wide} x {tall}"
    # Sides that were rounded may be half a pixel off.
    if abs(width * tall - wide * height) > max(tall + wide, height + width) / 2:
        turned = abs(width * wide - tall * height) <= max(tall + wide, height + width) / 2
        hint = "; turned by 90 degrees it would fit" if turned else ""
        raise UserError(f"{name} has {sizes}: another shape{hint}. Give a mask of that photograph")
    resized = cv2.resize(
        hole_HxW.astype(np.uint8), (wide, tall), interpolation=cv2.INTER_NEAREST_EXACT
    )
    return resized > 0, f"; resized from {width} x {height} to {wide} x {tall}"


def _check_extent(hole: np.ndarray, name: str, said: str, *, invert: bool) -> float:
    count = int(hole.sum())
    other = "without --invert-mask" if invert else "with --invert-mask"
    if count == 0:
        raise UserError(
            f"{name} shows no hole ({said}), so there is nothing to repair; {other} all of it "
            "would be a hole"
        )
    if count == hole.size:
        raise UserError(
            f"{name} is a hole everywhere ({said}), and at least one pixel must be known; {other} "
            "nothing would be"
        )
    return count / hole.size


def _check_known(hole: np.ndarray, name: str, said: str, *, invert: bool) -> None:
    known = int(hole.size - hole.sum())
    other = "without --invert-mask" if invert else "with --invert-mask"
    # Smaller pictures have no such window.
    if known < _RIM and min(hole.shape) > _RIM // 4 + 1:
        raise UserError(
            f"{name} leaves {known} of {hole.size:,} pixels known ({said}), too little to continue "
            f"from; leave {_RIM} or more. Or is it meant the other way round, {other}?"
        )


def _suspicion(hole: np.ndarray) -> str:
    share = hole.mean()
    border = all(edge.all() for edge in (hole[0], hole[-1], hole[:, 0], hole[:, -1]))
    if share > _SUSPICIOUS or (border and min(hole.shape) > 2):
        why = "most of the picture" if share > _SUSPICIOUS else "all of the border"
        return f"{DOUBT}{why}: if it should be the other way round, give --invert-mask"
    if hole.sum() < _FEW:
        return f"{DOUBT}very little: is it the right mask?"
    return ""


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %" if share >= 0.001 else f"{100 * share:.2g} %"
