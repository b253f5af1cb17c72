"""How often each hole of a photograph is halved before it is completed first, on the host.

`imaging/depths.py` says what depth is, and does the same inside compiled programs.
"""

from __future__ import annotations

import cv2
import numpy as np


def hole_stages(hole_HxW: np.ndarray, deepest: float, most: int) -> np.ndarray:
    """uint8 stage_HxW: 1 + halvings in holes, 0 where pixels are known.

    Args:
        hole_HxW: bool, True is the hole; a pixel of the image is known.
        deepest: depth in pixels up to which no halving is needed; not read where `most` is 0.
        most: most halvings.
    """
    stage = hole_HxW.astype(np.uint8)
    if most == 0:
        return stage
    rows, columns = (np.flatnonzero(hole_HxW.any(axis)) for axis in (1, 0))
    # One known pixel around the box, where there is one: all that a distance depends on.
    box = tuple(slice(max(0, int(used[0]) - 1), int(used[-1]) + 2) for used in (rows, columns))
    inner = stage[box]
    if inner.all():  # a box without a known pixel is a whole image but for its corners
        depth = cv2.distanceTransform(stage, cv2.DIST_C, 3)[box]
    else:
        depth = cv2.distanceTransform(inner, cv2.DIST_C, 3)
    if depth.max() <= deepest:
        return stage
    count, labels = cv2.connectedComponents(inner, connectivity=8, ltype=cv2.CV_32S)
    extra = np.zeros(count, np.uint8)
    for number in range(most):
        extra[np.unique(labels[depth > deepest * 2**number])] = number + 1
    stage[box] = np.where(inner > 0, 1 + extra[labels], 0)
    return stage
