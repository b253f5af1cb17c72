"""Photographs as files: read for repair, and written back as what they were but for the hole.

Mode, bit depth, EXIF, colour profile, resolution and JPEG quality stay. The orientation that EXIF
tells is applied once, and the thumbnail inside EXIF is left out: it shows the photograph before.
"""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import ExifTags, Image, ImageOps, JpegImagePlugin

from glcic_jax.errors import UserError
from glcic_jax.files import deep_files
from glcic_jax.files.colour_modes import Pixels, read_pixels, repaired_pixels, to_mode
from glcic_jax.files.image_opening import name_of, open_image

FORMATS = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".png": "PNG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
}
"""Formats by the suffixes of files, in lower case."""

_HOLDS = {
    "JPEG": ("L", "RGB", "CMYK"),
    "PNG": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"),
    "WEBP": ("RGB", "RGBA"),
    "TIFF": ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"),
}
_KEPT_TAGS = (
    *(ExifTags.Base.ImageDescription, ExifTags.Base.Make, ExifTags.Base.Model),
    *(ExifTags.Base.Software, ExifTags.Base.DateTime, ExifTags.Base.Artist),
    *(ExifTags.Base.Copyright, ExifTags.Base.HostComputer, ExifTags.Base.Rating),
    *(ExifTags.Base.XPTitle, ExifTags.Base.XPComment, ExifTags.Base.XPAuthor),
    *(ExifTags.Base.XPKeywords, ExifTags.Base.XPSubject, ExifTags.Base.DocumentName),
)
"""Of EXIF's first directory; those of exposure and place are kept whole."""
_KEPT_DIRECTORIES = (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo)
_JPEG_NOTE = "JPEG encoding changes known pixels a little too; name a .png to keep them"


@dataclasses.dataclass(frozen=True)
class Photograph:
    """A photograph as it was read.

    Attributes:
        image: uint8 or uint16 image_HxWx3, RGB, as it should be looked at.
        alpha: alpha_HxW of the same dtype; None: opaque.
        pixels: the file's own values, in its own mode.
        format: JPEG, PNG, WEBP or TIFF.
        settings: what is handed to the encoder of that format.
        metadata: EXIF, colour profile and resolution, as `Image.save` takes them.
        chunks: of a 16-bit colour PNG, which Pillow does not write, its ancillary chunks.
        notes: what should be known of how it was read.
    """

    image: np.ndarray
    alpha: np.ndarray | None
    pixels: Pixels
    format: str
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)
    metadata: dict[str, Any] = dataclasses.field(default_factory=dict)
    chunks: bytes = b""
    notes: tuple[str, ...] = ()


def output_format(path: Path) -> str:
    """The format that a file's suffix names.

    Raises:
        UserError: it names none that is written.
    """
    if path.suffix.lower() not in FORMATS:
        raise UserError(f"{path} names no format; end it in one of {', '.join(FORMATS)}")
    return FORMATS[path.suffix.lower()]


def read_photograph(source: str | Path | BinaryIO, *, max_pixels: int | None = None) -> Photograph:
    """Read a photograph of one of `FORMATS`.

    Args:
        source: a path, or an open binary stream.
        max_pixels: see `image_opening.open_image`.

    Raises:
        UserError: as `open_image`, or a kind of pixels that photographs don't have.
    """
    name = name_of(source)
    if not isinstance(source, (str, Path)):
        source = io.BytesIO(source.read())
    file = open_image(source, max_pixels=max_pixels)
    if file.format not in (*FORMATS.values(), "MPO"):
        raise UserError(
            f"{name} is a {file.format} file; convert it to one of {', '.join(FORMATS)}"
        )
    _require_channels_that_stay(file, name)
    deep = deep_files.read(source, file, name)
    metadata = _metadata(file)
    if deep is None:
        turned = ImageOps.exif_transpose(file) if _is_turned(file) else file  # which is a copy
        pixels = read_pixels(turned, name)
    else:
        pixels = deep_files.turned(deep, file)
    notes = ["it holds further pictures, which are left out"] if file.format == "MPO" else []
    if file.format == "TIFF" and _tag(file, 262) == 0 and pixels.values.dtype == np.uint16:
        # Pillow turns 8 bits so that 0 is black, but not 16.
        pixels = dataclasses.replace(pixels, values=65535 - pixels.values)
        notes.append("its 0 was white; it is written with 0 as black")
    return Photograph(
        *pixels.as_rgb(),
        pixels=pixels,
        format="JPEG" if file.format == "MPO" else str(file.format),
        settings=_settings(file, source),
        metadata=metadata,
        chunks=deep_files.ancillary_chunks(source) if deep is not None else b"",
        notes=tuple(notes),
    )


def _tag(file: Image.Image, number: int) -> Any:
    """A tag of a TIFF; None elsewhere."""
    return getattr(file, "tag_v2", {}).get(number)


def _require_channels_that_stay(file: Image.Image, name: str) -> None:
    samples = _tag(file, 277) or 0
    if file.format == "TIFF" and samples > len(file.getbands()):
        lost = samples - len(file.getbands())
        raise UserError(
            f"{name} has {samples} channels, of which {lost} would be lost; save it as gray, RGB, "
            "RGBA or CMYK"
        )


def _is_turned(file: Image.Image) -> bool:
    return file.getexif().get(ExifTags.Base.Orientation, 1) != 1


def from_image(image: Any) -> Photograph:
    """A photograph that is in memory: a PIL image, or an array of uint8 or uint16.

    Raises:
        UserError: something else.
    """
    if isinstance(image, Image.Image):
        turned = ImageOps.exif_transpose(image)
        pixels = read_pixels(turned, "the photograph")
        return Photograph(*pixels.as_rgb(), pixels=pixels, format="PNG", metadata=_metadata(image))
    array = np.asarray(image)
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    is_depth, shape = array.dtype in (np.uint8, np.uint16), array.shape
    if not is_depth or array.ndim not in (2, 3) or 0 in shape or shape[2:] not in ((), (3,), (4,)):
        raise UserError(
            f"the photograph is an array of {array.dtype} and shape {shape}; expected uint8 or "
            "uint16 and (H, W), (H, W, 3) or (H, W, 4), or a file or a PIL image"
        )
    mode = {(): "L", (3,): "RGB", (4,): "RGBA"}[shape[2:]]
    pixels = Pixels(mode, array)
    return Photograph(*pixels.as_rgb(), pixels=pixels, format="PNG")


def encode(
    photograph: Photograph,
    completed_HxWx3: np.ndarray,
    hole_HxW: np.ndarray,
    format: str | None = None,
) -> tuple[bytes, list[str]]:
    """The repaired photograph as a file.

    Args:
        photograph: as it was read.
        completed_HxWx3: RGB of the dtype of its `image`; read in the hole.
        hole_HxW: bool, True is the hole.
        format: one of `FORMATS`' values; None: the photograph's own.

    Returns:
        The file's bytes, and what should be known of them, a line each.
    """
    format = format or photograph.format
    pixels = repaired_pixels(photograph.pixels, completed_HxWx3, hole_HxW)
    notes: list[str] = []
    is_deep = pixels.values.dtype == np.uint16 and pixels.mode != "L"
    if is_deep and format in ("PNG", "TIFF"):
        data = deep_files.encode(pixels, format, photograph.metadata, photograph.chunks)
        if format == "TIFF" and "exif" in photograph.metadata:
            notes.append("a TIFF of 16-bit colours is written without EXIF; its profile is kept")
        return data, notes
    if pixels.values.dtype == np.uint16 and format not in ("PNG", "TIFF"):
        notes.append(f"{format} holds 8 bits a channel, the photograph had 16")
    own = "I;16" if pixels.values.dtype == np.uint16 and pixels.mode == "L" else pixels.mode
    mode = own if own in _HOLDS[format] else _nearest_mode(pixels.mode, format)
    if mode != own and own != "I;16" and {own, mode} != {"L", "RGB"}:
        notes.append(f"{format} holds no {own} pixels; they were converted to {mode}")
    image = to_mode(pixels, mode)
    settings = (photograph.settings if format == photograph.format else {}) or _defaults(format)
    if format == "JPEG":
        notes.append(_JPEG_NOTE)
    elif format == "WEBP" and not settings.get("lossless"):
        notes.append("lossy WebP changes known pixels a little too; name a .png to keep them")
    metadata = dict(photograph.metadata)
    if mode != own and "CMYK" in (own, mode):  # a profile is about the colours of its own mode
        metadata.pop("icc_profile", None)
    if format == "TIFF" and settings["compression"] != "raw" and _has_directories(metadata):
        # Pillow's writer of compressed files fails on them.
        settings = {"compression": "raw"}
        notes.append(
            "written without compression, which keeps what EXIF says of exposure and place"
        )
    buffer = io.BytesIO()
    image.save(buffer, format, **settings, **metadata)
    return buffer.getvalue(), notes


def _has_directories(metadata: dict[str, Any]) -> bool:
    """Whether EXIF has directories besides its first one."""
    exif = Image.Exif()
    exif.load(metadata.get("exif", b""))
    return any(exif.get_ifd(directory) for directory in _KEPT_DIRECTORIES)


def _nearest_mode(mode: str, format: str) -> str:
    if format == "JPEG":
        return "L" if mode in ("1", "L", "LA") else "RGB"
    if format == "WEBP":
        return "RGBA" if mode in ("LA", "RGBA", "PA") else "RGB"
    return "RGB"


def _settings(file: Image.Image, source: Path | str | BinaryIO) -> dict[str, Any]:
    """For the encoder: as the file was encoded, as far as it tells."""
    if isinstance(file, JpegImagePlugin.JpegImageFile):  # MPO is one
        sampling = JpegImagePlugin.get_sampling(file)
        settings: dict[str, Any] = {"qtables": file.quantization}
        settings["subsampling"] = sampling if sampling >= 0 else 0
        if file.info.get("progressive"):
            settings["progressive"] = True
        return settings
    if file.format == "TIFF":
        return {"compression": file.info.get("compression", "raw")}
    if file.format == "WEBP":
        return {"lossless": True} if _is_lossless_webp(source) else {"quality": 95}
    return {}


def _defaults(format: str) -> dict[str, Any]:
    settings: dict[str, dict[str, Any]] = {
        "JPEG": {"quality": 95, "subsampling": 0},
        # 3 % larger than at Pillow's 6, in two fifths of the time.
        "PNG": {"compress_level": 4},
        "WEBP": {"lossless": True},
        "TIFF": {"compression": "tiff_lzw"},
    }
    return settings[format]


def _is_lossless_webp(source: Path | str | BinaryIO) -> bool:
    if isinstance(source, (str, Path)):
        with Path(source).expanduser().open("rb") as file:
            head = file.read(4096)
    else:
        source.seek(0)
        head = source.read(4096)
    return b"VP8L" in head


def _metadata(file: Image.Image) -> dict[str, Any]:
    """EXIF without orientation and thumbnail, profile, resolution, text: for `Image.save`."""
    found: dict[str, Any] = {}
    exif = Image.Exif()
    # What a TIFF's directory says of its own strips must not be carried over, nor the thumbnail.
    tags = file.getexif()
    exif.update((tag, tags[tag]) for tag in _KEPT_TAGS if tag in tags)
    for directory in _KEPT_DIRECTORIES:
        inner = tags.get_ifd(directory)
        if inner:
            exif.get_ifd(directory).update(inner)
    if len(exif) or any(exif.get_ifd(directory) for directory in _KEPT_DIRECTORIES):
        found["exif"] = exif.tobytes()
    if file.info.get("icc_profile"):
        found["icc_profile"] = file.info["icc_profile"]
    if file.info.get("dpi", (1, 1)) != (1, 1):  # which is what a TIFF has that does not say
        found["dpi"] = file.info["dpi"]
    return found
