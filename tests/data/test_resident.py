"""Photographs that stay on the device: what is kept of them, and when they are streamed instead."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from PIL import Image

from glcic_jax.data.crops import CropSettings
from glcic_jax.data.folder import Folder, to_rgb
from glcic_jax.data.resident import load_resident
from glcic_jax.imaging.pyramids import count_pixels, cut_crops

SIDE = 16


@pytest.fixture(scope="module")
def folder(photo_folder) -> Folder:
    return Folder(str(photo_folder), "train", CropSettings(SIDE, 1, 20, by_octave=True))


def test_photographs_are_kept_whole_in_their_order(folder, photo_folder):
    kept = load_resident([folder, folder], SIDE, 10**6)
    assert kept.place_NxLx3.shape[0] == 2 * len(folder)
    for place in (0, 3, len(folder) + 3):
        first, height, width = kept.place_NxLx3[place, 0]
        with Image.open(photo_folder / folder.paths[place % len(folder)]) as image:
            expected = np.asarray(to_rgb(image))
        rows = kept.pixels_Px3[first : first + height * width]
        np.testing.assert_array_equal(rows.reshape(height, width, 3), expected)


def test_no_more_is_kept_than_crops_can_show(photo_folder):
    """Photographs of 48 x 64 pixels, cropped at 24 pixels at most."""
    folder = Folder(str(photo_folder), "train", CropSettings(SIDE, 1, 1.5))
    kept = load_resident([folder], SIDE, 10**6)
    assert (kept.place_NxLx3[:, 0, 1:] == (24, 32)).all()
    with Image.open(photo_folder / folder.paths[0]) as image:
        expected = np.asarray(image.convert("RGB").resize((32, 24), Image.Resampling.BICUBIC))
    shown = kept.pixels_Px3[: 24 * 32].reshape(24, 32, 3).astype(int)
    assert np.abs(shown - expected).max() <= 1


def test_a_photograph_on_its_side_is_kept_upright(tmp_path, photo):
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "train").mkdir()
    for number in range(2):
        Image.fromarray(photo).save(tmp_path / "train" / f"{number}.jpg", exif=exif, quality=95)
    folder = Folder(str(tmp_path), "train", CropSettings(SIDE, 1, 20))
    kept = load_resident([folder], SIDE, 10**6)
    height, width = photo.shape[:2]
    assert kept.place_NxLx3[0, 0].tolist() == [0, width, height]
    upright = kept.pixels_Px3[: height * width].reshape(width, height, 3).astype(int)
    assert np.abs(upright - np.rot90(photo, -1)).mean() < 3


def test_what_does_not_fit_is_streamed(folder):
    total = 3 * sum(count_pixels(*folder.whole_size(i), SIDE) for i in range(len(folder)))
    assert load_resident([folder], SIDE, total) is not None
    assert load_resident([folder], SIDE, total - 1) is None


def test_a_file_that_broke_since_gives_way_to_the_next(tmp_path, photo, caplog):
    (tmp_path / "train").mkdir()
    for number in range(3):
        path = tmp_path / "train" / f"{number}.png"
        Image.fromarray(np.roll(photo, 20 * number, axis=1)[: 90 - 10 * number]).save(path)
    folder = Folder(str(tmp_path), "train", CropSettings(SIDE, 1, 20))
    broken = tmp_path / folder.paths[1]
    broken.write_bytes(broken.read_bytes()[:3000])
    kept = load_resident([folder], SIDE, 10**6)
    assert kept.place_NxLx3.shape[0] == len(folder)
    assert caplog.text.count("using the next image") == 1
    keys = jax.random.split(jax.random.key(0), len(folder))
    crops = cut_crops(keys, kept, np.arange(len(folder)), SIDE, (1.0, 20.0))
    assert np.asarray(crops).std((1, 2, 3)).min() > 5


def test_streamed_and_resident_scales_agree(folder):
    """Shortest edges over the same octaves: the mean side shown, in photograph pixels."""
    kept = load_resident([folder], SIDE, 10**6)
    keys = jax.random.split(jax.random.key(0), 400)
    index = np.arange(400) % len(folder)
    resident = np.asarray(cut_crops(keys, kept, index, SIDE, (1.0, 20.0)), float)
    rng = np.random.default_rng(0)
    streamed = np.stack([folder.sample(int(i), rng) for i in index]).astype(float)
    # How much detail a crop has follows from its scale.
    detail = [np.abs(np.diff(crops, axis=2)).mean((1, 2, 3)) for crops in (resident, streamed)]
    assert np.mean(detail[0]) == pytest.approx(np.mean(detail[1]), rel=0.1)
    assert np.std(detail[0]) == pytest.approx(np.std(detail[1]), rel=0.2)
