"""Photograph, hole and result of `glcic-jax fill` in one picture."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from glcic_jax.inpainting.repair import Repaired

_WIDEST_SHEET = 16_000
"""Pixels of a comparison's longer side; a JPEG has at most 65,500."""


def side_by_side(repaired: Repaired) -> bytes:
    """A JPEG of the photograph, the photograph with its hole in magenta, and the result."""
    images = [repaired.photograph.image, repaired.image]
    if images[0].dtype == np.uint16:
        images = [(image // 257).astype(np.uint8) for image in images]
    marked = np.where(repaired.hole[..., None], np.array([255, 0, 255], np.uint8), images[0])
    gap = np.full((len(marked), 8, 3), 255, np.uint8)
    row = np.concatenate([images[0], gap, marked, gap, images[1]], axis=1)
    shown = Image.fromarray(row)
    if max(shown.size) > _WIDEST_SHEET:
        shown.thumbnail((_WIDEST_SHEET, _WIDEST_SHEET))
    buffer = io.BytesIO()
    shown.save(buffer, "JPEG", quality=92)
    return buffer.getvalue()
