"""What stands in a hole that nobody may look into."""

import numpy as np

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
