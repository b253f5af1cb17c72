"""The index of a large folder: saves opening files, and never says what is not so."""

from __future__ import annotations

import os

import numpy as np
import pytest
import skimage.data
from PIL import Image

from glcic_jax.data import folder_index
from glcic_jax.data.crops import CropSettings
from glcic_jax.data.folder import Folder
from glcic_jax.data.folder_index import sizes_of

NAMES = ["a.png", "b/ü c.png", os.fsdecode(b"odd\xff.png"), "b/d.png"]


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder of photographs that counts as large, and an empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(folder_index, "LEAST_FILES", 3)
    root = tmp_path / "photographs"
    for number, name in enumerate(NAMES):
        write(root / name, 40 + number, 60)
    return root


def write(path, height, width):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(skimage.data.chelsea()[:height, :width]).save(path)


class Reader:
    """Reads sizes and remembers of which files."""

    def __init__(self):
        self.read = []

    def __call__(self, path):
        self.read.append(path)
        with Image.open(path) as image:
            return image.height, image.width


def look(root, names=NAMES, split="train"):
    reader = Reader()
    sizes = sizes_of(str(root), split, names, reader)
    return sizes, sorted(os.path.relpath(path, root) for path in reader.read)


def test_what_is_known_is_not_opened_again(place):
    sizes, opened = look(place)
    assert sizes == [(40, 60), (41, 60), (42, 60), (43, 60)]
    assert opened == sorted(NAMES)
    assert look(place) == (sizes, [])
    assert look(place, NAMES[::-1]) == (sizes[::-1], [])
    assert look(place, split="validation")[1] == sorted(NAMES)


def test_new_and_changed_files_are_opened(place):
    look(place)
    write(place / "a.png", 77, 30)
    write(place / "e.png", 20, 20)
    names = ["a.png", "e.png", *NAMES[2:]]
    sizes, opened = look(place, names)
    assert sizes == [(77, 30), (20, 20), (42, 60), (43, 60)]
    assert opened == ["a.png", "e.png"]
    assert look(place, names) == (sizes, [])


def test_a_file_of_the_same_length_that_was_written_later_is_opened(place):
    look(place)
    path = place / "a.png"
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    assert look(place)[1] == ["a.png"]


@pytest.mark.parametrize("year", [1960, 2020, 2380])
def test_a_file_whose_length_and_time_are_the_old_ones_is_opened(place, year):
    path = place / "a.tif"

    def replace(height, width):
        Image.fromarray(skimage.data.chelsea()[:height, :width]).save(path)
        os.utime(path, ns=((year - 1970) * 365 * 86_400 * 10**9,) * 2)
        return path.stat()

    names = [*NAMES, "a.tif"]
    first = replace(20, 60)
    assert look(place, names)[0][-1] == (20, 60)
    assert look(place, names)[1] == []
    second = replace(60, 20)
    assert (first.st_size, first.st_mtime_ns) == (second.st_size, second.st_mtime_ns)
    sizes, opened = look(place, names)
    assert (sizes[-1], opened) == ((60, 20), ["a.tif"])


@pytest.mark.parametrize("damage", ["empty", "text", "cut", "other arrays", "three sides"])
def test_a_damaged_index_is_as_none(place, tmp_path, damage):
    sizes, _ = look(place)
    (index,) = (tmp_path / "cache" / "glcic_jax" / "folders").iterdir()
    if damage == "other arrays":
        np.savez(index, paths=np.zeros(3, np.uint8), stamps=np.zeros((7, 2)), sizes=np.zeros(1))
    elif damage == "three sides":
        with np.load(index) as arrays:
            wide = dict(arrays) | {"sizes": np.ones((len(NAMES), 3), np.int64)}
        np.savez(index, **wide)
    else:
        whole = index.read_bytes()
        index.write_bytes({"empty": b"", "text": b"text", "cut": whole[:-60]}[damage])
    again, opened = look(place)
    assert again == sizes
    assert len(opened) == len(NAMES)
    assert look(place) == (sizes, [])


def test_without_a_place_to_keep_it_all_are_opened(place, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert look(place) == look(place)


def test_small_folders_have_none(place, tmp_path, monkeypatch):
    monkeypatch.setattr(folder_index, "LEAST_FILES", 5)
    assert look(place) == look(place)
    assert not (tmp_path / "cache").exists()


def test_what_could_not_be_read_is_opened_again(place):
    crops = CropSettings(image_size=16, min_scale=1.0, max_scale=1.5)
    train = place / "train"
    for name in NAMES:
        write(train / name, 40, 60)
    (train / "a.png").write_bytes(b"no image")
    assert len(Folder(str(place), "train", crops)) == len(NAMES) - 1
    write(train / "a.png", 40, 60)
    assert len(Folder(str(place), "train", crops)) == len(NAMES)
