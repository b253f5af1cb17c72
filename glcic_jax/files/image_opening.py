"""Open an image file that a user names: what is wrong with it is said in one line."""

from __future__ import annotations

import contextlib
import io
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from PIL import ExifTags, Image, UnidentifiedImageError

from glcic_jax.errors import UserError

_LIMIT = threading.Lock()
_lifted = 0
_limit_before: int | None = None
"""Pillow's limit while `_lifted` readers have turned it off."""


class TooLarge(UserError):
    """An image with more `pixels` than are allowed."""

    def __init__(self, name: str, pixels: int, limit: int):
        super().__init__(
            f"{name} has {pixels:,} pixels, more than the {limit:,} that are allowed; give "
            f"--max-pixels {pixels} (max_pixels in Python) if you trust it"
        )
        self.pixels = pixels


def open_image(
    source: str | Path | BinaryIO, *, max_pixels: int | None = None, what: str = "photograph"
) -> Image.Image:
    """A decoded image of one frame.

    Args:
        source: a path, `~` included, or an open binary stream.
        max_pixels: more are refused before they are decoded; None: Pillow's limit against
            decompression bombs.
        what: what messages call it, where it has no path.

    Raises:
        UserError: no such file, no image, too large, damaged, or several frames.
    """
    name = name_of(source, what)
    limit = max_pixels or pillows_limit()
    with _explained(name), contextlib.ExitStack() as on_error:
        if isinstance(source, (str, Path)):
            # From memory: Pillow maps an uncompressed TIFF that it is given by path, and turns it
            # wrongly where EXIF says how it lies (seen in 13.0).
            source = io.BytesIO(Path(source).expanduser().read_bytes())
        with unlimited():
            image = Image.open(source)
        on_error.callback(image.close)
        pixels = image.width * image.height
        if limit and pixels > limit:
            raise TooLarge(name, pixels, limit)
        frames = getattr(image, "n_frames", 1)
        if frames > 1 and image.format != "MPO":
            raise UserError(
                f"{name} has {frames} frames or pages; save the one you mean as a file of its own"
            )
        exif = image.getexif()
        for directory in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo):
            exif.get_ifd(directory)  # a TIFF's are read when they are asked for, until it is loaded
        with unlimited():
            image.load()
        on_error.pop_all()
    return image


def pillows_limit() -> int:
    """Pixels from which on Pillow warns of a decompression bomb; 0: it does not."""
    with _LIMIT:
        return (_limit_before if _lifted else Image.MAX_IMAGE_PIXELS) or 0


@contextlib.contextmanager
def _explained(name: str) -> Iterator[None]:
    try:
        yield
    except UserError:
        raise
    except UnidentifiedImageError as error:
        raise UserError(f"{name} is no image, or of a kind that can't be read") from error
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else str(error)
        raise UserError(f"{name} can't be read: {why}") from error
    except Exception as error:  # a damaged file can raise almost anything in a decoder
        raise UserError(f"{name} can't be read: {error or type(error).__name__}") from error


def name_of(source: str | Path | BinaryIO, what: str = "photograph") -> str:
    """What messages call a file or a stream."""
    return str(source) if isinstance(source, (str, Path)) else f"the {what}"


@contextlib.contextmanager
def unlimited() -> Iterator[None]:
    """Inside, Pillow's own limit of pixels is off, in all threads; the caller checks another one.

    That limit is global, and its complaint names no setting. Pillow asks for it on opening, and for
    TIFF files on decoding as well.
    """
    global _lifted, _limit_before
    with _LIMIT:
        if _lifted == 0:
            _limit_before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        _lifted += 1
    try:
        yield
    finally:
        with _LIMIT:
            _lifted -= 1
            if _lifted == 0:
                Image.MAX_IMAGE_PIXELS = _limit_before
