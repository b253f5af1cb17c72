"""Whole photographs: their holes, their scores, and what is said of wrong input."""

from __future__ import annotations

import numpy as np
import pytest
import skimage.data
from PIL import Image

from glcic_jax.evaluation import photographs
from glcic_jax.evaluation.photograph_holes import KINDS, draw_hole
from glcic_jax.evaluation.photograph_reports import write_sheet
from glcic_jax.imaging.classical import classical_fills


@pytest.fixture(scope="module")
def photos() -> list[np.ndarray]:
    """Real photographs of two sizes."""
    return [skimage.data.astronaut()[:220, :260], skimage.data.chelsea()[:230, :300]]


@pytest.mark.parametrize("kind", [*KINDS, "1", "16", "64"])
def test_holes_follow_from_their_kind_seed_and_photograph(kind):
    size = (150, 210)
    mask = draw_hole(kind, 0, 3, size)
    assert mask.shape == size
    assert mask.dtype == bool
    np.testing.assert_array_equal(draw_hole(kind, 0, 3, size), mask)
    for other in (draw_hole(kind, 1, 3, size), draw_hole(kind, 0, 4, size)):
        assert (other != mask).any()
    if kind.isdecimal():
        rows, columns = np.nonzero(mask)
        assert np.ptp(rows) + 1 == np.ptp(columns) + 1 == int(kind)
        assert mask.sum() == int(kind) ** 2
        assert mask[8:-8, 8:-8].sum() == mask.sum(), "a rim is known"
    else:
        low, high = {"pixels": (0.45, 0.55), "specks": (0.0005, 0.02)}.get(kind, (0.001, 0.2))
        assert low < mask.mean() < high


def test_a_photograph_that_is_too_small_has_no_hole():
    assert draw_hole("64", 0, 0, (79, 200)) is None
    assert draw_hole("64", 0, 0, (80, 200)) is not None


def test_the_harmonic_fill_is_the_one_of_small_images(photos):
    image = photos[0][:64, :64]
    mask = draw_hole("16", 0, 0, (64, 64))
    fill = classical_fills(np.full(3, 0.5))["harmonic"]
    wanted = fill(image[None], mask[None, ..., None].astype(np.float32))[0]
    got = photographs.fill_harmonic(image, mask)
    assert np.abs(got.astype(int) - wanted).max() <= 1
    np.testing.assert_array_equal(got[~mask], image[~mask])


def test_scores_tell_a_perfect_fill_from_a_poor_one(photos):
    def perfect(image, mask):
        (truth,) = [one for one in photos if one.shape == image.shape]
        assert not image[mask].any(), "the hole was not blanked"
        return truth

    methods = {
        "harmonic": photographs.fill_harmonic,
        "perfect": perfect,
        "white": lambda image, mask: np.where(mask[..., None], np.uint8(255), image),
    }
    rows = {row.method: row for row in photographs.score(photos, methods, "24", 0)}
    assert rows["harmonic"].over_baseline.difference.mean == 0
    assert rows["perfect"].psnr.mean == pytest.approx(photographs.PSNR_CAP)
    assert rows["white"].over_baseline.difference.mean < -3
    expected = []
    for index, photo in enumerate(photos):
        mask = draw_hole("24", 0, index, photo.shape[:2])
        error = np.mean(((255.0 - photo[mask]) / 255) ** 2)
        expected.append(-10 * np.log10(error))
    assert rows["white"].psnr.mean == pytest.approx(np.mean(expected))
    assert rows["white"].count == 2
    assert photographs.score(photos, methods, "2000", 0) == []


def test_a_sheet_shows_every_method(photos, tmp_path):
    methods = {"harmonic": photographs.fill_harmonic}
    write_sheet(tmp_path, photos, methods, "24", 0)
    with Image.open(tmp_path / "holes-24.png") as sheet:
        assert sheet.height >= 3 * 192
        assert sheet.width >= 2 * 192


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--images", "nowhere"), "folder:nowhere does not exist"),
        (("--images", "EMPTY"), "has no images"),
        (("--images", "PHOTOS", "--holes", "big"), "--holes has 'big'; give sides of squares"),
        (("--images", "PHOTOS", "--holes", "0"), "--holes has '0'"),
        (("--images", "PHOTOS", "--generators", "none"), "no pretrained generator 'none'"),
        (("--images", "PHOTOS", "--limit", "0"), "limit is 0; it must be at least 1"),
        (("--images", "PHOTOS", "--pictures", "nowhere"), "--pictures nowhere: give a directory"),
        (("--images", "BROKEN"), "can't be read"),
    ],
)
def test_mistakes_are_one_message(options, complaint, tmp_path, call_program):
    for name in ("EMPTY", "PHOTOS", "BROKEN"):
        (tmp_path / name).mkdir()
    Image.fromarray(skimage.data.chelsea()[:100, :100]).save(tmp_path / "PHOTOS" / "a.png")
    (tmp_path / "BROKEN" / "a.png").write_bytes(b"no image")
    given = [str(tmp_path / word) if word.isupper() else word for word in options]
    status, errors = call_program("evaluate", "photographs", *given)
    assert status == 1
    assert complaint in errors
    assert len(errors.splitlines()) == 1
