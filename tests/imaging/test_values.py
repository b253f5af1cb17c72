"""What stands in a hole that nobody may look into, and what goes on beyond the border."""

import jax.numpy as jnp
import numpy as np
import pytest

from glcic_jax.imaging import values
from glcic_jax.imaging.values import SHOWN_HOLE, blank


def test_blank_hides_the_hole_alone(photo_crops):
    mask = np.zeros((len(photo_crops), 32, 32, 1), np.float32)
    mask[:, 4:9, 20:] = 1
    for blanked, value in ((blank(photo_crops, mask), 0), (blank(photo_crops, mask, 128), 128)):
        assert blanked.dtype == np.uint8
        assert (blanked[:, 4:9, 20:] == value).all()
        known = np.broadcast_to(mask == 0, photo_crops.shape)
        np.testing.assert_array_equal(blanked[known], photo_crops[known])
    assert SHOWN_HOLE == 128


@pytest.mark.parametrize(("height", "width", "margin"), [(30, 41, 8), (5, 70, 20), (32, 16, 0)])
def test_an_image_is_continued_by_its_mirror_image(height, width, margin):
    """Also up to the multiple; without a margin its border is repeated."""
    image = np.random.default_rng(0).random((1, height, width, 3), np.float32)
    below, beside = (margin + -(length + 2 * margin) % 16 for length in (height, width))
    pad = ((0, 0), (margin, below), (margin, beside), (0, 0))
    want = np.pad(image, pad, mode="symmetric" if margin else "edge")
    found = np.asarray(values.continue_mirrored(jnp.asarray(image), margin, 16))
    np.testing.assert_array_equal(found, want)
    rows, columns = (
        values.mirrored_places(3, total, length, margin)
        for total, length in zip(want.shape[1:3], (height, width), strict=True)
    )
    np.testing.assert_array_equal(image[:, rows][:, :, columns], want[:, 3:, 3:])
