"""Which parts of an image its holes are taken to be."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.measure import label, regionprops

from glcic_jax.inpainting import geometry
from glcic_jax.inpainting.geometry import Box


def boxes_by_skimage(mask: np.ndarray) -> set[Box]:
    """Clusters of blocks that hold a hole, cut to the hole; see `_separate_boxes`."""
    side = 8
    while True:
        rows, columns = (-(-length // side) for length in mask.shape)
        padded = np.zeros((rows * side, columns * side), bool)
        padded[: mask.shape[0], : mask.shape[1]] = mask
        labels, count = label(
            padded.reshape(rows, side, columns, side).any((1, 3)), return_num=True
        )
        if count <= 32:
            break
        side *= 2
    found = set()
    for part in regionprops(labels):
        top, left, bottom, right = (side * edge for edge in part.bbox)
        inside = np.argwhere(padded[top:bottom, left:right])
        low, high = inside.min(0), inside.max(0) + 1
        found.add(Box(top + low[0], left + low[1], top + high[0], left + high[1]))
    return found


@pytest.mark.parametrize("seed", range(8))
def test_clusters_of_holes_are_those_of_skimage(seed):
    rng = np.random.default_rng(seed)
    mask = np.zeros(rng.integers(5, 400, 2), bool)
    for _ in range(rng.integers(1, 60)):
        top, left = (rng.integers(0, length) for length in mask.shape)
        height, width = rng.integers(1, 30, 2)
        mask[top : top + height, left : left + width] = True
    boxes = geometry._separate_boxes(mask)
    assert len(boxes) == len(set(boxes))
    assert set(boxes) == boxes_by_skimage(mask)


def test_every_hole_lies_in_a_box_and_a_pixel_is_its_own():
    rng = np.random.default_rng(9)
    mask = rng.random((200, 300)) < 0.001
    covered = np.zeros_like(mask)
    for top, left, bottom, right in geometry.hole_boxes(mask, reach=40):
        covered[top:bottom, left:right] = True
        assert mask[top:bottom, left:right].any()
    assert covered[mask].all()
    single = np.zeros((90, 70), bool)
    single[89, 0] = True
    assert geometry.hole_boxes(single, reach=40) == [Box(89, 0, 90, 1)]
