"""Which pixels a mask means: from an array in any common form to True in the hole, and why."""

from __future__ import annotations

import numpy as np

from glcic_jax.errors import UserError

_NOISE = 24
"""Largest difference of 255 that JPEG leaves between channels of a gray mask, or around an end."""
_LABELS = 32
"""Largest value of a mask that numbers the parts of a picture."""
_MOST_BETWEEN = 0.4
"""Share of pixels between black and white from which on this is a photograph, not a soft mask."""


def from_array(shown: np.ndarray, name: str) -> tuple[np.ndarray, str]:
    """The hole that an array shows.

    Args:
        shown: of shape (H, W) or (H, W, 1) gray, (H, W, 2) gray and alpha, (H, W, 3), (H, W, 4);
            bool, integers or floats.
        name: stands before messages.

    Returns:
        bool hole_HxW, and what was done, to stand after the name.

    Raises:
        UserError: another shape, values that are no numbers, or a picture that is no mask.
    """
    array = _squeezed(shown, name)
    if array.ndim == 2:
        return _from_gray(array, name)
    channels = array.shape[-1]
    if channels in (2, 4):
        return _from_alpha(array[..., :-1], array[..., -1], name)
    return _from_colour(array, name)


def _squeezed(array: np.ndarray, name: str) -> np.ndarray:
    """(H, W) or (H, W, C), checked."""
    shape = array.shape
    if array.ndim == 4 and shape[0] == 1:
        array = array[0]
    if array.ndim == 3 and array.shape[0] == 1 and array.shape[-1] not in (1, 2, 3, 4):
        array = array[0]
    if array.ndim == 3 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.ndim not in (2, 3) or 0 in shape or (array.ndim == 3 and array.shape[-1] > 4):
        raise UserError(f"{name} has shape {shape}; a mask has height, width and 1 to 4 channels")
    if array.dtype.kind not in "buif":
        raise UserError(
            f"{name} has values of type {array.dtype}; a mask has numbers or True, False"
        )
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise UserError(f"{name} has values that are no numbers (NaN or infinite); replace them")
    return array


def _top(array: np.ndarray) -> int:
    """The value of white in a mask: 1, 255 or 65535, by its type and its largest value."""
    if array.dtype == bool:
        return 1
    highest = array.max()
    if array.dtype.kind == "f":
        return 1 if highest <= 1 else 255 if highest <= 255 else 65535
    return 255 if highest <= 255 else 65535


def _from_gray(gray: np.ndarray, name: str) -> tuple[np.ndarray, str]:
    if gray.dtype == bool:
        return gray.copy(), "black and white"
    if gray.min() < 0:
        raise UserError(
            f"{name} has the value {gray.min()}; a mask has 0 where pixels are known and more in "
            "the hole"
        )
    first, last = gray.min(), gray.max()
    top = _top(gray)
    if last > top:
        raise UserError(f"{name} has the value {last}; a mask has values up to 1, 255 or 65535")
    between = (gray != first) & (gray != last)
    count = int(between.sum())
    if count == 0:
        return _of_two_values(gray, first, last, top)
    if gray.dtype.kind != "f" and first == 0 and last <= _LABELS:
        return gray > 0, f"labels 0 to {last}; all but 0 are the hole"
    middle = top / 2
    ends = _NOISE / 255 * top
    clearly = (gray > ends) & (gray < top - ends)
    if clearly.mean() > _MOST_BETWEEN:
        raise UserError(
            f"{name} looks like a picture, not a mask: {clearly.mean():.0%} of its pixels are "
            "neither black nor white. Give a picture that is white where the hole is and black "
            "elsewhere"
        )
    return gray > middle, (
        f"soft, {count:,} pixels lie between {_shown(first)} and {_shown(last)}; above the middle, "
        f"{_shown(middle)}, is the hole"
    )


def _of_two_values(
    gray: np.ndarray, first: np.generic, last: np.generic, top: int
) -> tuple[np.ndarray, str]:
    if first == last:
        return gray > 0, f"the value {_shown(first)} everywhere"
    said = f"the values {_shown(first)} and {_shown(last)}"
    if first == 0 and last in (1, top):
        return gray == last, said
    return gray == last, f"{said}; the higher is the hole"


def _shown(value: np.generic | float) -> str:
    return f"{float(value):g}"


def _from_alpha(colour: np.ndarray, alpha: np.ndarray, name: str) -> tuple[np.ndarray, str]:
    """Whether the hole is in the colours or in alpha."""
    if alpha.min() == alpha.max() and alpha.max() > 0:
        hole, said = from_array(colour, name)
        return hole, f"{said} (alpha is the same everywhere, so the colours are the mask)"
    top = _top(alpha)
    opaque = alpha > top / 2
    visible = colour[opaque]
    if not len(visible):
        return opaque, "transparent everywhere"
    spread = visible.reshape(len(visible), -1).astype(np.float64).std(0).max() / _top(colour)
    if spread < _NOISE / 255 / 2:
        return opaque, "one colour on a transparent ground, so what is opaque is the hole"
    values = np.unique(visible.reshape(len(visible), -1), axis=0)
    if len(values) <= 2 and (values.max(1) == values.min(1)).all():
        hole = (colour.max(-1) > _top(colour) / 2) & opaque
        return hole, "black and white colours, so they are the mask; what is transparent is known"
    return ~opaque, "a picture that is transparent in places, so these are the hole"


def _from_colour(rgb: np.ndarray, name: str) -> tuple[np.ndarray, str]:
    top = _top(rgb)
    spread = rgb.max(-1).astype(np.float64) - rgb.min(-1)
    tolerance = _NOISE / 255 * top if rgb.dtype != bool else 0
    if spread.max() <= tolerance:
        gray = rgb[..., 1] if spread.max() == 0 else np.round(rgb.mean(-1)).astype(rgb.dtype)
        hole, said = _from_gray(gray, name)
        return hole, f"RGB of equal channels, {said}"
    coloured = spread > top / 2
    rest = rgb[~coloured]
    ground = None
    if len(rest):
        bright = rest.mean(-1) / top
        is_black, is_white = (bright < 0.15).mean(), (bright > 0.85).mean()
        ground = "black" if is_black > 0.98 else "white" if is_white > 0.98 else None
    painted = rgb[coloured].astype(np.float64) / top
    if ground and len(painted) and painted.std(0).max() < 0.1:
        shade = "#" + "".join(f"{round(value * 255):02x}" for value in np.median(painted, 0))
        return coloured, f"the colour {shade} on {ground} is the hole"
    raise UserError(
        f"{name} has colours; a mask is white where the hole is and black elsewhere. If the hole "
        "is painted over the photograph in one colour, name it with --mask-colour (mask_colour in "
        "Python)"
    )
