"""Pictures side by side on one labelled sheet."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from glcic_jax.imaging import values


def draw_sheet(rows: Mapping[str, np.ndarray]) -> np.ndarray:
    """Rows of uint8 image_NxSxSx3 by name, as one labelled sheet, uint8 image_HxWx3.

    Small images are enlarged by a whole factor without smoothing.
    """
    side = next(iter(rows.values())).shape[1]
    factor = max(1, 96 // side)
    enlarged = [row.repeat(factor, axis=1).repeat(factor, axis=2) for row in rows.values()]
    gap = 4
    margin = 16 + max(int(ImageFont.load_default().getlength(name)) for name in rows)
    sheet = Image.fromarray(values.grid(enlarged, gap))
    page = Image.new("RGB", (sheet.width + margin, sheet.height), "white")
    page.paste(sheet, (margin, 0))
    draw = ImageDraw.Draw(page)
    for number, name in enumerate(rows):
        middle = number * (side * factor + gap) + side * factor // 2
        draw.text((margin - 6, middle), name, fill="black", anchor="rm")
    return np.asarray(page)
