"""Draws docs/repairs.jpg: photographs that come with scikit-image, damaged and repaired.

python docs/draw_repairs.py
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import skimage.data
from PIL import Image

from glcic_jax import fill_photograph

_GAP = 8


def scratches() -> tuple[np.ndarray, np.ndarray]:
    """A cup of coffee with thin lines across it."""
    photo = skimage.data.coffee()[40:360, 80:560]
    hole = np.zeros(photo.shape[:2], np.uint8)
    for start, end, thick in (
        ((20, 30), (460, 250), 3),
        ((150, 0), (90, 319), 4),
        ((380, 20), (300, 310), 2),
    ):
        cv2.line(hole, start, end, 255, thick)
    return photo, hole


def text() -> tuple[np.ndarray, np.ndarray]:
    """A cat with a date stamp."""
    photo = skimage.data.chelsea()[:, :450]
    hole = np.zeros(photo.shape[:2], np.uint8)
    cv2.putText(hole, "26.11.2026  16:42", (95, 285), cv2.FONT_HERSHEY_DUPLEX, 0.9, 255, 2)
    return photo, hole


def thing() -> tuple[np.ndarray, np.ndarray]:
    """An astronaut's badge, to be taken off the suit."""
    photo = skimage.data.astronaut()[190:510, 0:480]
    hole = np.zeros(photo.shape[:2], np.uint8)
    cv2.ellipse(hole, (178, 182), (62, 62), 0, 0, 360, 255, -1)
    return photo, hole


def failure() -> tuple[np.ndarray, np.ndarray]:
    """A cat's eye and nose: nothing around says what is missing."""
    photo = skimage.data.chelsea()[:, :450]
    hole = np.zeros(photo.shape[:2], np.uint8)
    hole[100:170, 295:365] = 255
    hole[215:280, 225:305] = 255
    return photo, hole


def main() -> None:
    """Repair all, and write one picture: damaged on the left, repaired on the right."""
    rows = []
    for make in (scratches, text, thing, failure):
        photo, hole = make()
        damaged = np.where(hole[..., None] > 0, np.uint8(255), photo)
        pair = [damaged, fill_photograph(photo, hole).image]
        gap = np.full((photo.shape[0], _GAP, 3), 255, np.uint8)
        row = Image.fromarray(np.concatenate([pair[0], gap, pair[1]], 1))
        rows.append(np.asarray(row.resize((960, round(row.height * 960 / row.width)))))
        rows.append(np.full((_GAP, 960, 3), 255, np.uint8))
    target = Path(__file__).resolve().with_name("repairs.jpg")
    Image.fromarray(np.concatenate(rows[:-1])).save(target, quality=88)
    print(target)


if __name__ == "__main__":
    main()
