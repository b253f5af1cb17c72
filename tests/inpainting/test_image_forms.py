"""The advice of every message on arrays: who follows it is understood, and rightly."""

from __future__ import annotations

import re

import numpy as np
import pytest
import skimage.data
from PIL import Image

from glcic_jax.errors import UserError
from glcic_jax.inpainting.image_forms import as_batch, check_values

PHOTO = skimage.data.chelsea()[:40, :48] / 255.0
HOLE = np.zeros((40, 48), bool)
HOLE[10:20, 12:30] = True


def complaint(image, mask) -> str:
    with pytest.raises(UserError) as caught:
        check_values(*as_batch(image, mask))
    return str(caught.value)


def follow(advice: str, **given):
    """What the code between backticks makes of an image or a mask."""
    return eval(re.search(r"`(.*?)`", advice).group(1), {"numpy": np, **given})


@pytest.mark.parametrize(
    "mask",
    [
        HOLE * 0.5,
        HOLE * 0.3,
        np.where(HOLE, 0.9, 0.6),
        np.where(HOLE, 0.7, 0.2),
        HOLE * 255,
        HOLE * 2,
        np.where(HOLE, 200, 20).astype(np.uint8),
        np.stack([HOLE] * 3, -1),
    ],
    ids=["half", "faint", "bright", "soft", "8 bits", "labels", "gray", "colour"],
)
def test_advice_on_a_mask_gives_the_hole_that_was_meant(mask):
    told = follow(complaint(PHOTO, mask), mask=mask)
    check_values(*as_batch(PHOTO, told))
    np.testing.assert_array_equal(told, HOLE)


def test_advice_on_one_mask_for_several_images():
    told = follow(complaint(np.stack([PHOTO] * 2), HOLE), mask=HOLE)
    check_values(*as_batch(np.stack([PHOTO] * 2), told))
    np.testing.assert_array_equal(told[1], HOLE)


@pytest.mark.parametrize(
    ("image", "error"),
    [
        (PHOTO * 2 - 1, 0.0),
        (np.where(PHOTO > 0.7, 1.05, np.where(PHOTO < 0.2, -0.1, PHOTO)), 0.31),
        (PHOTO + 0.5 * (PHOTO > 0.6), 0.51),
        (np.where(PHOTO.max() == PHOTO, np.nan, PHOTO), 1.0),
    ],
    ids=["from -1 to 1", "overshoot", "too bright", "no numbers"],
)
def test_advice_on_an_image_gives_the_image_that_was_meant(image, error):
    told = follow(complaint(image, HOLE), image=image)
    check_values(*as_batch(told, HOLE))
    assert np.abs(told - PHOTO)[~HOLE].max() <= error + 1e-9


def test_other_scales_are_told():
    assert "Divide by 255" in complaint(PHOTO * 255, HOLE)
    assert "Divide by the value of white" in complaint(PHOTO * 65535, HOLE)
    assert "black is 0 and white is 1" in complaint((PHOTO - 0.45) / 0.22, HOLE)
    check_values(*as_batch(PHOTO / PHOTO.max() * (1 + 4e-16), HOLE))


def test_advice_on_a_picture_that_is_no_array():
    picture = Image.fromarray((PHOTO * 255).astype(np.uint8))
    check_values(*as_batch(follow(complaint(picture, HOLE), image=picture), HOLE))
