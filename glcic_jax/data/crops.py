"""Square crops of photographs of any size.

"Resize so that the shortest edge is `edge`, then crop S x S" reads as one step here: the part of
the photograph that the crop shows is a square of side `short * S / edge` in the photograph's own
pixels, and only that part is resized.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from PIL import Image


@dataclasses.dataclass(frozen=True)
class CropSettings:
    """How crops are cut: their side in pixels, and the shortest edge after the random resize.

    `by_octave`: edges are log-uniform, so that each doubling of the scale has an equal share of the
    crops; otherwise they are uniform.
    """

    image_size: int
    min_scale: float
    max_scale: float
    by_octave: bool = False


@dataclasses.dataclass(frozen=True)
class CropDraw:
    """One random crop, before the photograph's size is known; each field is in [0, 1)."""

    scale: float
    left: float
    top: float


def draw_crop(rng: np.random.Generator) -> CropDraw:
    """Draw a crop. The draw takes the same numbers from `rng` for every photograph."""
    scale, left, top = rng.random(3)
    return CropDraw(float(scale), float(left), float(top))


def random_edge(short: int, settings: CropSettings, draw: CropDraw) -> float:
    """Shortest edge of the resized photograph, in pixels.

    Uniform or log-uniform in [min_scale, max_scale] * image_size; never more than the photograph's
    own shortest edge `short` (an enlarged photograph is blurred), unless image_size itself is more.
    """
    low, high = settings.min_scale, settings.max_scale
    scale = low + (high - low) * draw.scale
    if settings.by_octave:
        scale = low * (high / low) ** draw.scale
    return min(settings.image_size * scale, max(short, settings.image_size))


def largest_edge(short: int, settings: CropSettings) -> int:
    """The shortest edge in pixels above which no crop needs more of a photograph."""
    return min(short, max(math.ceil(settings.image_size * settings.max_scale), 1))


def square_box(
    size: tuple[int, int], side: float, left: float = 0.5, top: float = 0.5
) -> tuple[float, float, float, float]:
    """A square of `side` pixels in a photograph, as (left, top, right, bottom).

    `left` and `top` say where, from 0 (at the left or upper border) to 1 (at the other one).
    """
    width, height = size
    x, y = left * (width - side), top * (height - side)
    # Rounding must not push the box over the border: PIL refuses that.
    return x, y, min(x + side, width), min(y + side, height)


def resize_box(
    photo: Image.Image, box: tuple[float, float, float, float], image_size: int
) -> np.ndarray:
    """Resize one box of an RGB photograph with antialiasing -> uint8 image_SxSx3."""
    size = (image_size, image_size)
    return np.asarray(photo.resize(size, Image.Resampling.BICUBIC, box=box))
