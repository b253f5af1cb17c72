"""PNG and TIFF with 16 bits in each of several channels, which Pillow would cut to 8."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import ExifTags, Image

from glcic_jax.errors import UserError
from glcic_jax.files.colour_modes import Pixels

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_CHANNELS = {"L": (0, 1), "LA": (4, 2), "RGB": (2, 3), "RGBA": (6, 4)}
"""Colour type and channels of a mode."""
_KEPT = (b"gAMA", b"cHRM", b"sRGB", b"cICP", b"iCCP", b"pHYs", b"tEXt", b"zTXt", b"iTXt", b"tIME")
_PHOTOMETRIC, _PLANAR, _EXTRA_SAMPLES = 262, 284, 338
_TURNS: dict[int, tuple[int, bool]] = {
    1: (0, False),
    2: (0, True),
    3: (2, False),
    4: (2, True),
    5: (3, True),
    6: (3, False),
    7: (1, True),
    8: (1, False),
}
"""For each orientation of EXIF: quarter turns to the left, and whether to mirror after them."""


def read(source: str | Path | BinaryIO, file: Image.Image, name: str) -> Pixels | None:
    """The values as they lie in the file; None where Pillow reads all of their bits.

    Args:
        source: where `file` was opened from.
        file: it is asked for its kind.
        name: stands before messages.

    Raises:
        UserError: 16 bits in a kind of file that would not come back as it was.
    """
    if not _is_deep(source, file):
        return None
    values = _decode(source, file)
    if values is None or values.dtype != np.uint16 or values.ndim != 3:
        raise UserError(
            f"{name} has 16 bits a channel in a way that can't be kept; save it as 16-bit gray, "
            "RGB or RGBA, or with 8 bits a channel"
        )
    if _is_gray_png(source, file) and values.shape[-1] == 4:
        values = values[..., [0, 3]]
    mode = {2: "LA", 3: "RGB", 4: "RGBA"}[values.shape[-1]]
    return Pixels(mode, np.ascontiguousarray(values))


def _decode(source: str | Path | BinaryIO, file: Image.Image) -> np.ndarray | None:
    """values_HxWxC in the order of RGB and alpha."""
    tags: Any = getattr(file, "tag_v2", {})
    if tags and tags.get(_PHOTOMETRIC) not in (1, 2):
        return None
    if tags and tuple(tags.get(_EXTRA_SAMPLES, ())) not in ((), (2,)):
        return None  # an alpha that is multiplied in, or a channel that nobody has described
    if tags.get(_PLANAR) == 2:  # which OpenCV takes for pictures side by side
        import tifffile

        try:
            planes = tifffile.imread(io.BytesIO(_bytes(source)))
        except ValueError:  # a compression that it needs another package for
            return None
        return np.moveaxis(planes, 0, -1)
    import cv2

    values = cv2.imdecode(np.frombuffer(_bytes(source), np.uint8), cv2.IMREAD_UNCHANGED)
    if values is None or values.ndim != 3 or values.shape[-1] not in (3, 4):
        return None
    return values[..., [2, 1, 0, 3][: values.shape[-1]]]


def turned(pixels: Pixels, file: Image.Image) -> Pixels:
    """The values as EXIF's orientation says that they should be looked at."""
    turns, mirrored = _TURNS.get(file.getexif().get(ExifTags.Base.Orientation, 1), (0, False))
    values = np.rot90(pixels.values, turns)
    values = values[:, ::-1] if mirrored else values
    return Pixels(pixels.mode, np.ascontiguousarray(values))


def ancillary_chunks(source: str | Path | BinaryIO) -> bytes:
    """The chunks of a PNG that say how it looks and what it is, as they are; empty for a TIFF."""
    return b"".join(data for kind, data in _chunks(_bytes(source)) if kind in _KEPT)


def encode(pixels: Pixels, format: str, metadata: dict[str, Any], chunks: bytes) -> bytes:
    """A PNG or TIFF of uint16 values.

    Args:
        pixels: L, LA, RGB or RGBA.
        format: PNG or TIFF.
        metadata: as `Image.save` takes it: exif, icc_profile, dpi.
        chunks: of a PNG, what stands before its pixels; empty: from `metadata`.
    """
    if format == "TIFF":
        return _encode_tiff(pixels, metadata)
    if not chunks and "icc_profile" in metadata:
        chunks = _chunk(b"iCCP", b"ICC\0\0" + zlib.compress(metadata["icc_profile"]))
    if "exif" in metadata:
        chunks += _chunk(b"eXIf", metadata["exif"].removeprefix(b"Exif\0\0"))
    height, width = pixels.values.shape[:2]
    kind, _ = _PNG_CHANNELS[pixels.mode]
    header = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)
    rows = pixels.values.astype(">u2").reshape(height, -1).view(np.uint8)
    filtered = np.empty((height, rows.shape[1] + 1), np.uint8)
    filtered[:, 0] = 2  # each row as its difference from the one above
    filtered[0, 1:] = rows[0]
    np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])
    body = _chunk(b"IDAT", zlib.compress(filtered, 4))
    return _SIGNATURE + _chunk(b"IHDR", header) + chunks + body + _chunk(b"IEND", b"")


def _encode_tiff(pixels: Pixels, metadata: dict[str, Any]) -> bytes:
    import tifffile

    extra = []
    if "icc_profile" in metadata:
        profile = metadata["icc_profile"]
        extra.append((34675, 7, len(profile), profile, True))
    options: dict[str, Any] = {}
    if "dpi" in metadata:
        options = {"resolution": metadata["dpi"], "resolutionunit": "INCH"}
    has_alpha = pixels.mode in ("LA", "RGBA")
    buffer = io.BytesIO()
    tifffile.imwrite(
        buffer,
        pixels.values,
        photometric="rgb" if pixels.mode.startswith("RGB") else "minisblack",
        planarconfig="contig" if pixels.values.ndim == 3 else None,
        extrasamples=["unassalpha"] if has_alpha else None,
        compression="zlib",
        predictor=True,
        metadata=None,
        extratags=extra,
        **options,
    )
    return buffer.getvalue()


def _is_gray_png(source: str | Path | BinaryIO, file: Image.Image) -> bool:
    return file.format == "PNG" and _bytes(source, 33)[25:26] == b"\x04"


def _is_deep(source: str | Path | BinaryIO, file: Image.Image) -> bool:
    if file.format == "PNG":
        head = _bytes(source, 33)
        return head[24:26] in (b"\x10\x02", b"\x10\x04", b"\x10\x06")
    if file.format == "TIFF":
        bits: Any = getattr(file, "tag_v2", {}).get(258, ())
        return len(bits) > 1 and set(bits) == {16}
    return False


def _bytes(source: str | Path | BinaryIO, count: int = -1) -> bytes:
    if isinstance(source, (str, Path)):
        with Path(source).expanduser().open("rb") as file:
            return file.read(count)
    source.seek(0)
    return source.read(count)


def _chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """Name and whole bytes of every chunk of a PNG."""
    if not data.startswith(_SIGNATURE):
        return []
    found, place = [], len(_SIGNATURE)
    while place + 12 <= len(data):
        (length,) = struct.unpack(">I", data[place : place + 4])
        found.append((data[place + 4 : place + 8], data[place : place + length + 12]))
        place += length + 12
    return found


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
