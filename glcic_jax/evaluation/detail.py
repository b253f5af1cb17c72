"""How much fine detail a completed hole has: a blurred one has little, whatever its PSNR."""

from __future__ import annotations

import numpy as np


def detail_ratio(
    truth_HxWx3: np.ndarray, completed_HxWx3: np.ndarray, mask_HxW: np.ndarray
) -> float | None:
    """The mean absolute Laplacian of the completed photograph in the hole over the original's.

    The Laplacian is that of four neighbours, `up + down + left + right - 4 centre`, of each colour
    channel, the photograph's edge repeated outwards; both means are over the hole's pixels and the
    channels. Neighbours of the hole's rim are known pixels, so a seam counts as detail.

    Args:
        truth_HxWx3: uint8 original.
        completed_HxWx3: uint8.
        mask_HxW: bool, True is the hole, at least one pixel.

    Returns:
        0 for a hole without any detail, 1 for as much as in the original; None where the original
        has none in the hole.
    """
    original, completed = (
        float(np.abs(_laplacian(image)[mask_HxW]).mean())
        for image in (truth_HxWx3, completed_HxWx3)
    )
    return completed / original if original else None


def _laplacian(image_HxWx3: np.ndarray) -> np.ndarray:
    padded = np.pad(image_HxWx3.astype(np.int32), ((1, 1), (1, 1), (0, 0)), mode="edge")
    across = padded[1:-1, :-2] + padded[1:-1, 2:]
    along = padded[:-2, 1:-1] + padded[2:, 1:-1]
    return across + along - 4 * padded[1:-1, 1:-1]
