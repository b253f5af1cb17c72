"""Holes in whole photographs, in pixels: a function of (kind, seed, index, size) alone.

Drawn on the host, where photographs of every size are; `protocols.py` has those for training's
small images.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable

import cv2
import numpy as np

from glcic_jax.errors import UserError

KINDS = ("strokes", "specks", "text", "pixels")
"""Kinds of hole besides squares, which are named by their side in pixels."""

_WORDS = ("the quick brown fox", "jumps over 13 lazy dogs", "26.11.2026 16:42", "SPECIMEN")
_RIM = 8
"""Known pixels that a square leaves on every side, at least."""


def check_kind(kind: str) -> None:
    """Raise a `UserError` unless this is a side in pixels or one of `KINDS`."""
    if kind not in KINDS and not (kind.isdecimal() and 1 <= int(kind) <= 4096):
        raise UserError(
            f"--holes has {kind!r}; give sides of squares in pixels, such as 16 or 128, or "
            f"{', '.join(KINDS)}"
        )


def draw_hole(kind: str, seed: int, index: int, size: tuple[int, int]) -> np.ndarray | None:
    """The hole of one photograph.

    A number: one square of that side anywhere, but for a rim of 8 pixels. strokes: one for every
    20,000 pixels, 3 to 9 pixels thick. specks: one for every 4,000 pixels, 1 to 6 pixels a side.
    text: a line of letters 12 to 40 pixels high. pixels: half of all.

    Args:
        kind: see `check_kind`.
        seed: another seed gives other holes.
        index: of the photograph.
        size: its height and width in pixels.

    Returns:
        bool mask_HxW, True is the hole; None where the photograph is too small for it.
    """
    rng = np.random.default_rng((seed, zlib.crc32(kind.encode()), index))
    if kind.isdecimal():
        return _square(int(kind), rng, size)
    draw: dict[str, Callable[[np.random.Generator, np.ndarray], np.ndarray]] = {
        "strokes": _strokes,
        "specks": _specks,
        "text": _text,
        "pixels": lambda rng, mask: rng.random(mask.shape) < 0.5,
    }
    mask = draw[kind](rng, np.zeros(size, np.uint8)) > 0
    return mask if mask.any() and not mask.all() else None


def _square(side: int, rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray | None:
    if min(size) < side + 2 * _RIM:
        return None
    top, left = (int(rng.integers(_RIM, length - side - _RIM + 1)) for length in size)
    mask = np.zeros(size, bool)
    mask[top : top + side, left : left + side] = True
    return mask


def _strokes(rng: np.random.Generator, mask_HxW: np.ndarray) -> np.ndarray:
    height, width = mask_HxW.shape
    for _ in range(max(1, height * width // 20_000)):
        angle, place = rng.uniform(0, 2 * np.pi), rng.uniform(0, 1, 2) * (width, height)
        points = [place]
        for _ in range(int(rng.integers(2, 7))):
            angle += rng.uniform(-0.6, 0.6)
            place = place + rng.uniform(10, 40) * np.array([np.cos(angle), np.sin(angle)])
            points.append(place)
        line = np.round(points).astype(np.int32).reshape(-1, 1, 2)
        cv2.polylines(mask_HxW, [line], False, 1, int(rng.integers(3, 10)))
    return mask_HxW


def _specks(rng: np.random.Generator, mask_HxW: np.ndarray) -> np.ndarray:
    height, width = mask_HxW.shape
    for _ in range(max(1, height * width // 4_000)):
        rows, columns = rng.integers(1, 7, 2)
        top = rng.integers(0, max(1, height - rows + 1))
        left = rng.integers(0, max(1, width - columns + 1))
        mask_HxW[top : top + rows, left : left + columns] = 1
    return mask_HxW


def _text(rng: np.random.Generator, mask_HxW: np.ndarray) -> np.ndarray:
    height, width = mask_HxW.shape
    letters = int(rng.integers(12, 41))
    scale = letters / 22  # the font's capitals are 22 pixels high
    place = (int(rng.integers(0, max(1, width // 3))), int(rng.integers(letters, height + 1)))
    words = _WORDS[rng.integers(len(_WORDS))]
    thick = max(1, letters // 7)
    return cv2.putText(mask_HxW, words, place, cv2.FONT_HERSHEY_SIMPLEX, scale, 1, thick)
