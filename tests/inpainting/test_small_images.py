"""Canvases of small images: of few sizes, and not much larger than what lies on them."""

from __future__ import annotations

import numpy as np
import pytest

from glcic_jax.inpainting.small_images import SMALL, lay_out
from glcic_jax.networks.completion import SkipNetwork


def canvas_of(generator, length):
    holes = np.zeros((1, length, length), bool)
    image, hole, cells_2 = lay_out(generator, np.zeros((1, length, length, 3), np.uint8), holes)
    assert image.shape[:3] == hole.shape[:3]
    (side,) = set(image.shape[1:3])
    assert side % generator.multiple == 0
    assert side >= max(cells_2) * generator.multiple >= length + 2 * generator.mirror_margin
    return side


@pytest.mark.parametrize(("margin", "side"), [(0, 32), (4, 40), (32, 96)])
def test_a_thumbnail_takes_no_more_than_itself_and_its_margin(margin, side):
    assert canvas_of(SkipNetwork(mirror_margin=margin, deepest=9.0), 32) == side


@pytest.mark.parametrize("downsamples", [1, 2, 5])
@pytest.mark.parametrize("deepest", [0.0, 9.0])
@pytest.mark.parametrize("margin", [0, 2, 4, 32])
def test_images_of_all_sizes_share_few_canvases(margin, deepest, downsamples):
    generator = SkipNetwork(mirror_margin=margin, deepest=deepest, downsamples=downsamples)
    assert len({canvas_of(generator, length) for length in range(1, SMALL + 1)}) <= 5
