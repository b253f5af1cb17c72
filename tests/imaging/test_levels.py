"""Half the size and back."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import skimage.data
from PIL import Image

from glcic_jax.imaging.fills import Frame
from glcic_jax.imaging.levels import START_REACH, double, halve, start_from_half


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    """float32 image_1x96x128x3."""
    return skimage.data.coffee()[None, 100:196, 200:328].astype(np.float32) / 255


@pytest.fixture(scope="module")
def mask(photo) -> np.ndarray:
    hole = np.zeros((*photo.shape[:3], 1), np.float32)
    hole[:, 31:60, 40:77] = hole[:, 0:9, 100:128] = 1
    return hole


def test_a_cell_is_the_mean_of_its_known_pixels(photo, mask):
    image, hole = halve(np.where(mask > 0, np.float32(9), photo), mask)
    cells = np.where(mask > 0, np.nan, photo).reshape(48, 2, 64, 2, 3)
    with np.testing.suppress_warnings() as quiet:
        quiet.filter(RuntimeWarning)  # cells of which nothing is known
        mean = np.nanmean(cells, (1, 3))
    np.testing.assert_array_equal(hole[0, ..., 0], np.isnan(mean[..., 0]))
    np.testing.assert_allclose(image[0], np.nan_to_num(mean), atol=1e-6)


def test_doubling_is_pillows_bicubic_resize(photo):
    """But for the border, which Pillow leaves out and we repeat."""
    planes = [Image.fromarray(photo[0, ..., channel]) for channel in range(3)]
    wanted = np.stack([plane.resize((256, 192), Image.Resampling.BICUBIC) for plane in planes], -1)
    np.testing.assert_allclose(double(photo)[0, 4:-4, 4:-4], wanted[4:-4, 4:-4], atol=1e-6)
    flat = np.full((1, 5, 7, 3), 0.3, np.float32)
    np.testing.assert_allclose(double(flat), np.full((1, 10, 14, 3), 0.3), atol=1e-7)


def test_a_start_joins_what_is_known(photo, mask):
    """A half that is too bright by a constant is right again at the rim."""
    half, _ = halve(photo, np.zeros_like(mask))
    start = np.asarray(start_from_half(half, photo, mask))
    brighter = np.asarray(start_from_half(half + 0.1, photo, mask))
    change = (brighter - start)[0, ..., 0]
    assert change[31, 58] < 0.06
    assert change[45, 58] == pytest.approx(0.1, abs=0.01)
    error = np.abs(start - photo)[0, 34:57, 43:74].mean()
    assert error < 0.03, "what is inside comes from the half"


def test_what_a_hole_holds_is_not_read(photo, mask):
    other = np.where(mask > 0, 1 - photo, photo)
    one, two = (halve(image, mask)[0] for image in (photo, other))
    np.testing.assert_array_equal(one, two)
    inside = mask[0, ..., 0] > 0
    starts = [start_from_half(one, image, mask)[0] for image in (photo, other)]
    np.testing.assert_array_equal(starts[0][inside], starts[1][inside])


@pytest.mark.parametrize("corner", [(16, 32), (0, 40), (48, 80)])
def test_a_window_starts_as_the_whole_does(photo, mask, corner):
    half, _ = halve(photo, mask)
    whole = start_from_half(half, photo, mask)
    (top, left), side = corner, 64
    rows, columns = (
        np.clip(np.arange(at, at + side), 0, n - 1) for at, n in ((top, 96), (left, 128))
    )
    image, hole = (x[:, rows[:, None], columns] for x in (photo, mask))
    small = [
        np.clip(np.arange(at // 2, at // 2 + 32), 0, n - 1) for at, n in ((top, 48), (left, 64))
    ]
    small_half = half[:, small[0][:, None], small[1]]
    frame = Frame(*(jnp.int32(n) for n in (96 - top, 128 - left, 128)))
    found = jax.jit(start_from_half)(small_half, image, hole, frame)
    first = [0 if at == 0 else START_REACH for at in corner]
    last = [n - at if at + side >= n else side - START_REACH for at, n in ((top, 96), (left, 128))]
    kept = (0, slice(first[0], last[0]), slice(first[1], last[1]))
    wanted = whole[0, top + first[0] : top + last[0], left + first[1] : left + last[1]]
    np.testing.assert_allclose(found[kept], wanted, atol=1e-6)
