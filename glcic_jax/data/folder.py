"""A folder of photographs: any tree of JPEG, PNG, WebP and TIFF files of any size.

Which files belong to which split: `folder_files.py`.

Colour. Every file becomes 8-bit RGB: the EXIF orientation is applied, transparency lies on white,
16-bit values are scaled, grayscale is repeated, CMYK is converted without a colour profile.
"""

from __future__ import annotations

import collections
import contextlib
import logging
import os
import threading
from collections.abc import Callable, Iterator, Sequence
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
from glcic_jax.data.folder_files import split_paths
from glcic_jax.data.folder_index import sizes_of
from glcic_jax.errors import UserError
from glcic_jax.files.image_opening import unlimited

MOST_PIXELS = 1_000_000_000
"""Photographs of more are left out: decoded, each takes three bytes a pixel."""

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


_LARGE = threading.Lock()
_LARGE_PIXELS = 2**27
"""Photographs of more are decoded one after the other in each process: they take 0.4 GB and up."""


@contextlib.contextmanager
def opened(path: str) -> Iterator[Image.Image]:
    """An image file of any size, not decoded yet.

    Pillow takes what has more than 179 million pixels for an attack, and so would refuse scans.

    Raises:
        Exception: it is no image, or has more than `MOST_PIXELS`.
    """
    # As a stream: Pillow maps an uncompressed TIFF that it is given by path, and turns it wrongly
    # where EXIF says how it lies (seen in 13.0).
    with unlimited(), open(path, "rb") as stream, Image.open(stream) as image:
        pixels = image.width * image.height
        if pixels > MOST_PIXELS:
            raise UserError(f"{pixels:,} pixels, more than the {MOST_PIXELS:,} that are read")
        with _LARGE if pixels > _LARGE_PIXELS else contextlib.nullcontext():
            yield image


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
    with opened(path) as image:
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
    with opened(path) as image:
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


def _readable(root: str, paths: list[str], split: str) -> tuple[list[str], list[tuple[int, int]]]:
    """The paths whose files can be read, and their sizes; warnings count the others by what is
    wrong with them.

    Raises:
        UserError: that is more than half of them.
    """
    sizes = sizes_of(root, split, paths, _size)
    wrong: dict[str, list[str]] = collections.defaultdict(list)
    kept: list[str] = []
    found: list[tuple[int, int]] = []
    for path, size in zip(paths, sizes, strict=True):
        if isinstance(size, str):
            wrong[size].append(path)
        else:
            kept.append(path)
            found.append(size)
    for what, left_out in wrong.items():
        if 2 * (len(paths) - len(kept)) > len(paths):
            raise UserError(
                f"{len(left_out)} of {len(paths)} files for the split {split} in folder:{root} "
                f"{what}, for example {left_out[0]}; check the folder"
            )
        _log.warning(
            "%s: left out %d of %d %s files that %s, for example %s",
            root, len(left_out), len(paths), split, what, left_out[0],
        )  # fmt: skip
    return kept, found


def _size(path: str) -> tuple[int, int] | str:
    """Height and width upright, if the file starts like an image, or what is wrong with it; its
    pixels are not read."""
    try:
        with unlimited(), open(path, "rb") as stream, Image.open(stream) as image:
            width, height = image.size
            # Asked without need, a PNG file would be decoded to its end. Of a TIFF, whose tags are
            # no such block, Pillow tells the upright size.
            tags = image.getexif() if "exif" in image.info else {}
            on_its_side = tags.get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8)
    except Exception:  # see `Folder._decode`
        return "are not readable images"
    if not (width and height):
        return "are not readable images"
    if width * height > MOST_PIXELS:
        return f"have more than {MOST_PIXELS:,} pixels"
    return (width, height) if on_its_side else (height, width)
