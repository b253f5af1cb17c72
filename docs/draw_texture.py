"""Draws docs/texture.jpg: holes of 64 pixels in photographs that come with scikit-image.

python docs/draw_texture.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image

from glcic_jax import inpaint_fn, load_generator

_HOLE, _AROUND, _GAP, _COLUMNS = 64, 32, 6, 2
_PLACES = {  # name: first rows and columns of holes
    "astronaut": ((300, 60), (190, 200), (20, 110), (60, 330)),
    "chelsea": ((40, 60), (200, 40), (150, 180), (110, 300)),
    "coffee": ((150, 60), (300, 180), (60, 420), (330, 430)),
}


def main() -> None:
    """Fill each hole alone; in a row: the network's fill, with texture, the original."""
    model, rows = load_generator("photographs"), []
    for name, corners in _PLACES.items():
        photo = getattr(skimage.data, name)()
        for top, left in corners:
            hole = np.zeros(photo.shape[:2], bool)
            hole[top : top + _HOLE, left : left + _HOLE] = True
            fills = [inpaint_fn(*model, photo, hole, texture=on) for on in (False, True)]
            rows.append([_part(image, top, left) for image in (*fills, photo)])
    count = len(rows) // _COLUMNS
    columns = [_stack(rows[n * count : (n + 1) * count]) for n in range(_COLUMNS)]
    gap = np.full((columns[0].shape[0], 3 * _GAP, 3), 255, np.uint8)
    target = Path(__file__).resolve().with_name("texture.jpg")
    Image.fromarray(np.concatenate([columns[0], gap, columns[1]], 1)).save(target, quality=88)
    print(target)


def _part(image: np.ndarray, top: int, left: int) -> np.ndarray:
    """The hole with what is around it, moved to lie inside the photograph."""
    side = _HOLE + 2 * _AROUND
    row, column = (
        min(max(start - _AROUND, 0), length - side)
        for start, length in zip((top, left), image.shape, strict=False)
    )
    return np.asarray(image[row : row + side, column : column + side])


def _stack(rows: list[list[np.ndarray]]) -> np.ndarray:
    pad = ((0, _GAP), (0, _GAP), (0, 0))
    padded = [[np.pad(part, pad, constant_values=255) for part in row] for row in rows]
    return np.concatenate([np.concatenate(row, 1) for row in padded])


if __name__ == "__main__":
    main()
