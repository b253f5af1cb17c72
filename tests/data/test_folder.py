"""A folder of photographs: splits, decoding of every kind of file, and bad input."""

from __future__ import annotations

import hashlib
import itertools
import logging
import os
import pickle
import time

import numpy as np
import pytest
from PIL import Image

from glcic_jax.data import folder as folder_module
from glcic_jax.data.crops import CropDraw, CropSettings
from glcic_jax.data.folder import Folder, read_crop
from glcic_jax.data.folder import read_whole as read_scaled
from glcic_jax.data.folder_files import one_walk, paths_of_split, split_paths
from glcic_jax.errors import UserError

SETTINGS = CropSettings(image_size=16, min_scale=1.0, max_scale=2.0)
SPLITS = ("train", "validation", "test")


def touch(root, *paths):
    """Empty files: enough for the split, which reads names only."""
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()


# --- Splits ---------------------------------------------------------------------------------------


def test_splits_by_hash_are_disjoint_complete_and_sized(tmp_path):
    names = [f"a{i % 7}/{i:03d}.jpg" for i in range(500)]
    touch(tmp_path, *names)
    parts = {split: split_paths(str(tmp_path), split) for split in SPLITS}
    assert sorted(itertools.chain(*parts.values())) == sorted(names)
    assert 380 < len(parts["train"]) < 420
    assert 30 < len(parts["validation"]) < 70
    # The documented rule, spelled out: it must not change, or old runs' splits would.
    for name in names:
        tenth = int(hashlib.sha256(name.encode()).hexdigest()[:16], 16) % 10
        assert name in parts[{0: "validation", 1: "test"}.get(tenth, "train")]


def test_an_accent_has_one_spelling(tmp_path):
    composed = [f"caf\u00e9{i}.png" for i in range(40)]
    decomposed = [f"cafe\u0301{i}.png" for i in range(40)]
    touch(tmp_path / "one", *composed)
    touch(tmp_path / "two", *decomposed)
    for split in SPLITS:
        one = split_paths(str(tmp_path / "one"), split)
        two = split_paths(str(tmp_path / "two"), split)
        assert [composed.index(name) for name in one] == [decomposed.index(name) for name in two]


def test_directories_are_splits(tmp_path):
    touch(tmp_path, "train/a.jpg", "train/x/b.JPEG", "Val/c.png", "test/d.webp", "other/e.jpg")
    assert split_paths(str(tmp_path), "train") == ["train/a.jpg", "train/x/b.JPEG"]
    assert split_paths(str(tmp_path), "validation") == ["Val/c.png"]
    assert split_paths(str(tmp_path), "test") == ["test/d.webp"]


def test_a_split_without_a_directory_is_a_share_of_train(tmp_path):
    train = [f"train/{i}.jpg" for i in range(100)]
    touch(tmp_path, *train, "val/v.jpg")
    parts = {split: split_paths(str(tmp_path), split) for split in SPLITS}
    assert parts["validation"] == ["val/v.jpg"]
    assert 2 < len(parts["test"]) < 30
    assert sorted(parts["train"] + parts["test"]) == sorted(train)


def test_hidden_files_and_other_files_are_ignored(tmp_path):
    touch(tmp_path, "train/a.jpg", "train/.b.jpg", "train/.git/c.jpg", "train/d.txt", "train/jpg")
    assert split_paths(str(tmp_path), "train") == ["train/a.jpg"]


def test_a_link_to_its_own_parent_ends(tmp_path):
    touch(tmp_path, "train/a.jpg")
    (tmp_path / "train" / "loop").symlink_to(tmp_path, target_is_directory=True)
    assert split_paths(str(tmp_path), "train") == ["train/a.jpg"]


# --- Files of every kind --------------------------------------------------------------------------


def read_whole(path, size=90):
    """The middle square of a file of the photograph's height, at its own scale."""
    return read_crop(str(path), CropSettings(size, 1, 1), None).astype(int)


@pytest.fixture
def middle(photo):
    """The middle square of the photograph: int (90, 90, 3)."""
    return photo[:, 15:105].astype(int)


@pytest.mark.parametrize("suffix", ["png", "webp", "jpg", "tif"])
def test_plain_files(suffix, photo, middle, tmp_path):
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(photo).save(path, **({"lossless": True} if suffix == "webp" else {}))
    difference = np.abs(read_whole(path) - middle)
    assert difference.max() == 0 if suffix != "jpg" else difference.mean() < 6


@pytest.mark.parametrize(
    ("orientation", "stored"),
    [
        (2, lambda a: a[:, ::-1]),
        (3, lambda a: a[::-1, ::-1]),
        (4, lambda a: a[::-1]),
        (5, lambda a: a.transpose(1, 0, 2)),
        (6, lambda a: np.rot90(a)),
        (7, lambda a: a[::-1, ::-1].transpose(1, 0, 2)),
        (8, lambda a: np.rot90(a, -1)),
    ],
)
def test_exif_orientation(orientation, stored, photo, middle, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "a.png"
    Image.fromarray(np.ascontiguousarray(stored(photo))).save(path, exif=exif)
    np.testing.assert_array_equal(read_whole(path), middle)


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw"])
def test_a_tiff_that_lies_on_its_side(compression, photo, middle, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "train").mkdir()
    path = tmp_path / "train" / "a.TIFF"
    stored = Image.fromarray(np.ascontiguousarray(np.rot90(photo)))
    stored.save(path, "TIFF", exif=exif, compression=compression)
    np.testing.assert_array_equal(read_whole(path), middle)
    folder = Folder(str(tmp_path), "train", CropSettings(90, 1, 1))
    assert folder.whole_size(0) == (90, 120)
    np.testing.assert_array_equal(folder.whole(0), photo)


def test_grayscale_and_16_bit(photo, tmp_path):
    gray = photo[:, 15:105].mean(axis=-1)
    Image.fromarray(gray.astype(np.uint8)).save(tmp_path / "8.png")
    Image.fromarray((gray * 257).astype(np.uint16)).save(tmp_path / "16.png")
    for name in ("8.png", "16.png"):
        result = read_whole(tmp_path / name)
        assert result.shape == (90, 90, 3)
        assert np.abs(result - gray[..., None]).max() <= 1


def test_palette(photo, middle, tmp_path):
    palette = Image.fromarray(photo).quantize(256)
    palette.save(tmp_path / "a.png")
    np.testing.assert_array_equal(
        read_whole(tmp_path / "a.png"), np.asarray(palette.convert("RGB"))[:, 15:105]
    )
    assert np.abs(read_whole(tmp_path / "a.png") - middle).mean() < 8


@pytest.mark.parametrize("kind", ["rgba", "la", "palette"])
def test_transparency_lies_on_white(kind, photo, middle, tmp_path):
    path = tmp_path / "a.png"
    alpha = np.full(photo.shape[:2], 255, np.uint8)
    alpha[40:] = 0
    gray = photo[..., 0]
    if kind == "rgba":
        Image.fromarray(np.dstack([photo, alpha])).save(path)
        opaque = middle
    elif kind == "la":
        Image.fromarray(np.dstack([gray, alpha])).save(path)
        opaque = np.repeat(gray[:, 15:105, None], 3, axis=-1)
    else:
        indices = np.where(alpha > 0, gray // 2 + 1, 0).astype(np.uint8)
        image = Image.fromarray(indices)
        image.putpalette(np.repeat(np.arange(256), 3).astype(np.uint8).tobytes())
        image.save(path, transparency=0)
        opaque = np.repeat(indices[:, 15:105, None], 3, axis=-1)
    result = read_whole(path)
    np.testing.assert_array_equal(result[:40], opaque[:40])
    assert (result[40:] == 255).all()


def test_half_transparent_is_half_white(photo, middle, tmp_path):
    alpha = np.full(photo.shape[:2], 128, np.uint8)
    Image.fromarray(np.dstack([photo, alpha])).save(tmp_path / "a.webp", lossless=True, exact=True)
    expected = middle * (128 / 255) + 127
    assert np.abs(read_whole(tmp_path / "a.webp") - expected).max() <= 2


def test_cmyk_jpeg(photo, middle, tmp_path):
    Image.fromarray(photo).convert("CMYK").save(tmp_path / "a.jpg", quality=95)
    assert np.abs(read_whole(tmp_path / "a.jpg") - middle).mean() < 6


def test_quick_jpeg_decoding_shows_the_same_crop(photo, tmp_path):
    """A large JPEG is decoded reduced; its crops are those of the same picture as PNG."""
    large = Image.fromarray(photo).resize((1203, 905), Image.Resampling.BICUBIC)
    large.save(tmp_path / "a.jpg", quality=98)
    large.save(tmp_path / "a.png")
    for draw in (None, CropDraw(0.0, 0.9, 0.2), CropDraw(1.0, 0.1, 0.7)):
        quick, exact = (
            read_crop(str(tmp_path / name), CropSettings(32, 1.0, 3.0), draw).astype(int)
            for name in ("a.jpg", "a.png")
        )
        assert np.abs(quick - exact).mean() < 3


def test_a_random_crop_has_the_scale_and_place_that_were_drawn(tmp_path):
    """An even ramp: its slope in the crop tells the scale, its value in the middle the place."""
    ramp = np.broadcast_to(np.arange(200, dtype=np.uint8)[None, :, None], (100, 200, 3))
    Image.fromarray(np.ascontiguousarray(ramp)).save(tmp_path / "a.png")
    for scale, left in [(0.0, 0.0), (0.5, 0.4), (1.0, 1.0)]:
        row = read_crop(str(tmp_path / "a.png"), SETTINGS, CropDraw(scale, left, 0.3))[8, :, 0]
        shown = 100 / (1 + scale)
        slope = (float(row[12]) - float(row[3])) / 9
        assert slope == pytest.approx(shown / 16, rel=0.05)
        middle = left * (200 - shown) + shown / 2
        assert np.mean(row[7:9]) == pytest.approx(middle, abs=1.5)


def test_small_images_are_enlarged(tmp_path, photo):
    Image.fromarray(photo[:10, :7]).save(tmp_path / "a.png")
    assert read_crop(str(tmp_path / "a.png"), SETTINGS, None).shape == (16, 16, 3)
    assert read_crop(str(tmp_path / "a.png"), SETTINGS, CropDraw(1, 1, 1)).shape == (16, 16, 3)


def test_sample_draws_from_the_generator(photo_folder):
    folder = Folder(str(photo_folder), "train", SETTINGS)
    one = folder.sample(0, np.random.default_rng(3))
    np.testing.assert_array_equal(one, folder.sample(0, np.random.default_rng(3)))
    assert not np.array_equal(one, folder.sample(0, np.random.default_rng(4)))
    np.testing.assert_array_equal(folder[0], pickle.loads(pickle.dumps(folder))[0])
    assert not folder.fixed


# --- Bad input ------------------------------------------------------------------------------------


def save_train(root, photo, count):
    (root / "train").mkdir()
    for i in range(count):
        Image.fromarray(np.roll(photo, i, axis=1)).save(root / "train" / f"{i}.png")


def test_bad_folders(tmp_path, photo):
    with pytest.raises(UserError, match="does not exist"):
        Folder(str(tmp_path / "absent"), "train", SETTINGS)
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="is a file"):
        Folder(str(tmp_path / "file"), "train", SETTINGS)
    with pytest.raises(UserError, match=r"has no images.*\.jpg"):
        Folder(str(tmp_path), "train", SETTINGS)
    Image.fromarray(photo).save(tmp_path / "only.png")
    empty = [split for split in SPLITS if not _has_images(tmp_path, split)]
    assert len(empty) == 2
    with pytest.raises(UserError, match=f"none for the split {empty[0]}.*/{empty[0]}"):
        Folder(str(tmp_path), empty[0], SETTINGS)


def _has_images(root, split):
    try:
        return bool(split_paths(str(root), split))
    except UserError:
        return False


def test_files_that_are_no_images_are_left_out_with_one_warning(tmp_path, photo, caplog):
    save_train(tmp_path, photo, 30)
    for i in range(8):
        (tmp_path / "train" / f"text{i}.jpg").write_text("not an image")
    (tmp_path / "train" / "empty.png").touch()
    whole = split_paths(str(tmp_path), "train")
    bad = [path for path in whole if path.startswith(("train/text", "train/empty"))]
    assert bad, "the hash put all of them elsewhere; rename them"
    with caplog.at_level(logging.WARNING, "glcic_jax"):
        folder = Folder(str(tmp_path), "train", SETTINGS)
    assert list(folder.paths) == [path for path in whole if path not in bad]
    assert len(caplog.records) == 1
    assert f"left out {len(bad)} of {len(whole)}" in caplog.text


def test_mostly_broken_folder(tmp_path, photo):
    (tmp_path / "val").mkdir()
    for i in range(3):
        (tmp_path / "val" / f"bad{i}.jpg").write_text("no")
    Image.fromarray(photo).save(tmp_path / "val" / "good.png")
    with pytest.raises(UserError, match=r"3 of 4 files .* val/bad0\.jpg"):
        Folder(str(tmp_path), "validation", SETTINGS)


def test_a_truncated_file_gives_way_to_the_next(tmp_path, photo, caplog):
    (tmp_path / "test").mkdir()
    for i in range(4):
        Image.fromarray(np.roll(photo, 20 * i, axis=1)).save(tmp_path / "test" / f"{i}.png")
    for i in (1, 3):
        path = tmp_path / "test" / f"{i}.png"
        path.write_bytes(path.read_bytes()[:3000])
    folder = Folder(str(tmp_path), "test", SETTINGS)
    assert len(folder) == 4, "the header is sound"
    with caplog.at_level(logging.WARNING, "glcic_jax"):
        np.testing.assert_array_equal(folder[1], folder[2])
        np.testing.assert_array_equal(folder[3], folder[0])
        one = folder.sample(1, np.random.default_rng(0))
    np.testing.assert_array_equal(one, folder.sample(2, np.random.default_rng(0)))
    assert [record.getMessage().count("1.png") for record in caplog.records] == [1, 0]
    for path in (tmp_path / "test").iterdir():
        path.unlink()
    with pytest.raises(UserError, match=r"no image of folder:.* can be read any more"):
        folder[0]


def test_photographs_of_other_kinds_are_counted_once(tmp_path, photo, caplog):
    save_train(tmp_path, photo, 20)
    touch(tmp_path, *(f"train/{i}.HEIC" for i in range(3)), "train/a.bmp", "train/notes.txt")
    with caplog.at_level(logging.WARNING, "glcic_jax"):
        for split in ("train", "validation"):
            Folder(str(tmp_path), split, SETTINGS)
    assert len(caplog.records) == 1
    assert "passed over 1 .bmp, 3 .heic, which are not read; save them as JPEG" in caplog.text
    touch(tmp_path / "other", "a.nef")
    with pytest.raises(UserError, match=r"it has 1 \.nef, which are not read"):
        split_paths(str(tmp_path / "other"), "train")


def test_a_scan_over_pillows_limit_is_read(tmp_path, photo, monkeypatch, caplog):
    """The limit is lowered, which is what a larger scan would meet."""
    (tmp_path / "train").mkdir()
    for suffix in ("png", "jpg", "tif"):
        Image.fromarray(photo).save(tmp_path / "train" / f"a.{suffix}")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", photo[..., 0].size // 3)
    with pytest.raises(Image.DecompressionBombError):
        Image.open(tmp_path / "train" / "a.png")
    monkeypatch.setattr(folder_module, "_LARGE_PIXELS", 1000)
    folder = Folder(str(tmp_path), "train", SETTINGS)
    assert len(folder) == 3
    assert [folder[i].shape for i in range(3)] == [(16, 16, 3)] * 3
    assert read_scaled(str(tmp_path / "train" / "a.tif"), (45, 60)).shape == (45, 60, 3)
    assert not caplog.records
    Image.fromarray(photo[:40, :40]).save(tmp_path / "train" / "small.png")
    monkeypatch.setattr(folder_module, "MOST_PIXELS", 2000)
    with pytest.raises(UserError, match=r"3 of 4 files .* more than 2,000 pixels, for"):
        Folder(str(tmp_path), "train", SETTINGS)


def test_choosing_a_split_takes_linear_time():
    """Ten times the files take about ten times as long; a quadratic choice would take a hundred."""

    def seconds(count):
        paths = [f"train/album{i % 7}/{i}.jpg" for i in range(count)]
        taken = []
        for _ in range(5):
            started = time.process_time()  # whatever else the machine does
            paths_of_split(paths, "train")
            taken.append(time.process_time() - started)
        return min(taken)

    assert seconds(20_000) / seconds(2_000) < 45


def test_all_splits_of_a_run_come_from_one_walk(tmp_path, monkeypatch):
    """Outside, a folder is looked at again, as its files may be others by then."""
    touch(tmp_path, "train/a.jpg", "val/b.jpg")
    walk, walks = os.walk, []

    def counted(top, **options):
        walks.append(top)
        return walk(top, **options)

    monkeypatch.setattr(os, "walk", counted)
    with one_walk():
        assert split_paths(str(tmp_path), "train") == ["train/a.jpg"]
        assert split_paths(str(tmp_path), "validation") == ["val/b.jpg"]
        assert len(walks) == 1
    touch(tmp_path, "train/c.jpg")
    assert split_paths(str(tmp_path), "train") == ["train/a.jpg", "train/c.jpg"]
    assert len(walks) == 2
