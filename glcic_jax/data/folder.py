"""A folder of photographs: any tree of JPEG, PNG and WebP files of any size.

Splits. Where the folder has a directory `train`, `validation` (or `val`, `valid`) or `test`, that
directory is the split. A split without a directory is a share of `train`; without any of these
directories, of the whole tree. A file's share is decided by a hash of its path in the folder: a
tenth is for validation, a tenth for testing, the rest for training, the same on every machine.

Colour. Every file becomes 8-bit RGB: the EXIF orientation is applied, transparency lies on white,
16-bit values are scaled, grayscale is repeated, CMYK is converted without a colour profile.
"""

from __future__ import annotations

import hashlib
import logging
import os
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import ExifTags, Image, ImageOps

from glcic_jax.data.crops import (
    CropDraw,
    CropSettings,
    draw_crop,
    largest_edge,
    random_edge,
    resize_box,
    square_box,
)
from glcic_jax.errors import UserError

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
"""File names that are read, in either case."""

DIRECTORIES = {
    "train": ("train",),
    "validation": ("validation", "val", "valid"),
    "test": ("test",),
}
"""Names of the directories that are splits, in either case."""

_log = logging.getLogger("glcic_jax")


class Folder:
    """One split of a folder of photographs."""

    fixed = False

    def __init__(
        self, root: str, split: Literal["train", "validation", "test"], crops: CropSettings
    ):
        """List the folder and check that the split's files are images.

        Files that are not are left out, with a warning that counts them.

        Raises:
            UserError: the folder does not exist, is a file, has no images or none in this split,
                or most of them can't be read.
        """
        self.name = f"folder:{root}"
        self._crops = crops
        self._root = os.path.abspath(os.path.expanduser(root))
        self._paths, self._sizes = _readable(self._root, split_paths(self._root, split), split)
        self._reported: set[str] = set()

    def __len__(self) -> int:
        return len(self._paths)

    @property
    def paths(self) -> Sequence[str]:
        """Paths of the images in the folder, with / between the parts."""
        return self._paths

    def __getitem__(self, index: int) -> np.ndarray:
        """The middle of image `index`, its shortest edge resized to S: uint8 image_SxSx3."""
        return self._read(index, None)

    def sample(self, index: int, rng: np.random.Generator) -> np.ndarray:
        """A random crop of image `index` at a random scale: uint8 image_SxSx3."""
        return self._read(index, draw_crop(rng))

    def whole_size(self, index: int) -> tuple[int, int]:
        """Height and width of what `whole` gives, from the file's header as it was opened."""
        short = min(self._sizes[index])
        edge = largest_edge(short, self._crops)
        height, width = (max(1, round(side * edge / short)) for side in self._sizes[index])
        return height, width

    def whole(self, index: int) -> np.ndarray:
        """All of photograph `index`, no larger than crops need it: uint8 image_HxWx3."""
        return self._decode(index, lambda path: read_whole(path, self.whole_size(index)))

    def _read(self, index: int, draw: CropDraw | None) -> np.ndarray:
        return self._decode(index, lambda path: read_crop(path, self._crops, draw))

    def _decode(self, index: int, read: Callable[[str], np.ndarray]) -> np.ndarray:
        """What `read` makes of a file, or of the next one that it can read."""
        if not 0 <= index < len(self):
            raise IndexError(f"image {index} of {len(self)}")
        for offset in range(len(self)):
            path = self._paths[(index + offset) % len(self)]
            try:
                return read(os.path.join(self._root, path))
            except Exception as error:  # a damaged file can raise almost anything in a decoder
                if path not in self._reported:
                    self._reported.add(path)
                    _log.warning("%s/%s: %s; using the next image", self._root, path, error)
        raise UserError(f"no image of {self.name} can be read any more; restore the folder")


def read_crop(path: str, crops: CropSettings, draw: CropDraw | None) -> np.ndarray:
    """Decode one file and cut a crop.

    Args:
        path: the file.
        crops: side and scales of the crop.
        draw: the random crop; None is the middle, the shortest edge resized to the crop's side.

    Returns:
        uint8 image_SxSx3.

    Raises:
        Exception: the file can't be decoded.
    """
    with Image.open(path) as image:
        short = min(image.size)
        edge = random_edge(short, crops, draw) if draw else crops.image_size
        # JPEG files decode at a half, a quarter or an eighth for a fraction of the time. At least
        # twice the pixels that are needed are kept for the resize filter.
        width, height = (int(2 * edge * side / short) + 1 for side in image.size)
        image.draft(None, (width, height))
        photo = to_rgb(image)
    # The photograph may have been reduced; the part of it that the crop shows stays the same.
    side = min(photo.size) * crops.image_size / edge
    left, top = (draw.left, draw.top) if draw else (0.5, 0.5)
    return resize_box(photo, square_box(photo.size, side, left, top), crops.image_size)


def read_whole(path: str, size: tuple[int, int]) -> np.ndarray:
    """Decode one file at a size that is at most its own.

    Args:
        path: the file.
        size: height and width, in the file's own ratio but for rounding.

    Returns:
        uint8 image_HxWx3.

    Raises:
        Exception: the file can't be decoded.
    """
    with Image.open(path) as image:
        least = 2 * max(size)  # along either side: the file may lie on its side
        image.draft(None, (least, least))
        photo = to_rgb(image)
    height, width = size
    if photo.size != (width, height):
        photo = photo.resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(photo)


def to_rgb(image: Image.Image) -> Image.Image:
    """Turn an opened image of any mode upright and into 8-bit RGB, on white where transparent."""
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):
        # Pillow opens 16-bit grayscale so, and its own conversion clips at 255.
        values = np.asarray(image).astype(np.float32)
        image = Image.fromarray(np.round(values.clip(0, 65535) / 257).astype(np.uint8))
    elif image.mode == "F":
        values = np.asarray(image, np.float32)
        image = Image.fromarray(np.round(values.clip(0, 1) * 255).astype(np.uint8))
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), layer)
    return image.convert("RGB")


def list_images(root: str) -> list[str]:
    """Paths of all image files below a folder, in the order of their names.

    Raises:
        UserError: the folder does not exist, is a file, or has no images.
    """
    if not os.path.isdir(root):
        what = "is a file" if os.path.exists(root) else "does not exist"
        raise UserError(f"folder:{root} {what}; give a directory with images")
    paths = sorted(_image_paths(root))
    if not paths:
        raise UserError(
            f"folder:{root} has no images; expected files that end in {', '.join(SUFFIXES)}"
        )
    return paths


def split_paths(root: str, split: str) -> list[str]:
    """Paths in the folder, sorted, of the image files that belong to a split.

    Raises:
        UserError: the folder does not exist, is a file, has no images or none in this split.
    """
    paths = list_images(root)
    tops = [_split_of_directory(path.split("/")[0]) if "/" in path else None for path in paths]
    pool = paths
    if any(tops):
        own = [path for path, top in zip(paths, tops, strict=True) if top == split]
        if own and split != "train":
            return own
        pool = [path for path, top in zip(paths, tops, strict=True) if top == "train"]
    # What has a directory of its own takes no share of the rest.
    taken = set(tops)
    chosen = [path for path in pool if _split_of_hash(path, taken) == split]
    if not chosen:
        raise UserError(
            f"folder:{root} has {len(paths)} images but none for the split {split}; "
            f"put images of that split in {root}/{split}, or add more images to the folder"
        )
    return chosen


def _split_of_directory(name: str) -> str | None:
    for split, names in DIRECTORIES.items():
        if name.lower() in names:
            return split
    return None


def _split_of_hash(path: str, taken: set[str | None]) -> str:
    # One spelling of accented letters: file systems differ in it.
    text = unicodedata.normalize("NFC", path).encode("utf-8", "surrogateescape")
    tenth = int.from_bytes(hashlib.sha256(text).digest()[:8], "big") % 10
    split = {0: "validation", 1: "test"}.get(tenth, "train")
    return "train" if split in taken else split


def _image_paths(root: str) -> Iterator[str]:
    """Image files under `root`, hidden ones left out; links are followed, each directory once."""
    seen = set()
    for here, directories, files in os.walk(root, followlinks=True):
        status = os.stat(here)
        if (status.st_dev, status.st_ino) in seen:
            directories.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        directories[:] = sorted(name for name in directories if not name.startswith("."))
        for name in files:
            if not name.startswith(".") and name.lower().endswith(SUFFIXES):
                yield Path(here, name).relative_to(root).as_posix()


def _readable(root: str, paths: list[str], split: str) -> tuple[list[str], list[tuple[int, int]]]:
    """The paths whose files open as images, and their sizes; a warning counts the others.

    Raises:
        UserError: more than half of them don't.
    """
    with ThreadPoolExecutor(16) as pool:
        sizes = list(pool.map(lambda path: _size(os.path.join(root, path)), paths))
    kept = [(path, size) for path, size in zip(paths, sizes, strict=True) if size]
    broken = len(paths) - len(kept)
    if broken:
        first = paths[sizes.index(None)]
        if 2 * broken > len(paths):
            raise UserError(
                f"{broken} of {len(paths)} files for the split {split} in folder:{root} are not "
                f"readable images, for example {first}; check the folder"
            )
        _log.warning(
            "%s: left out %d of %d %s files that are not readable images, for example %s",
            root, broken, len(paths), split, first,
        )  # fmt: skip
    return [path for path, _ in kept], [size for _, size in kept]


def _size(path: str) -> tuple[int, int] | None:
    """Height and width upright, if the file starts like an image; its pixels are not read."""
    try:
        with Image.open(path) as image:
            width, height = image.size
            # Asked without need, a PNG file would be decoded to its end.
            tags = image.getexif() if "exif" in image.info else {}
            on_its_side = tags.get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8)
    except Exception:  # see `Folder._decode`
        return None
    if not (width and height):
        return None
    return (width, height) if on_its_side else (height, width)
