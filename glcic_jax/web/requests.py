"""What a browser sends to have a photograph repaired, and everything that is refused.

A request's body is the length of the photograph's file (4 bytes, the highest first), the file, and
a mask as a PNG that is white where the hole is. No form: those are laid down on disk while they
arrive.
"""

from __future__ import annotations

import io
from collections.abc import AsyncIterator

from glcic_jax.errors import UserError
from glcic_jax.files.image_opening import TooLarge
from glcic_jax.inpainting.repair import Fill, Repaired, open_for_repair, repair

_HEAD = 4
_BYTES_A_PIXEL = 8
"""More than any file of a photograph and its mask needs: 16-bit RGB without compression has 6."""


class Refused(Exception):
    """A request that gets an HTTP status and a message for the person at the browser."""

    def __init__(self, status: int, message: str):
        super().__init__(message)
        self.status = status


async def read_body(chunks: AsyncIterator[bytes], max_megapixels: float) -> bytes:
    """A request's body, in memory.

    Raises:
        Refused: it is larger than a photograph of so many megapixels can be.
    """
    most = int(max_megapixels * 1e6 * _BYTES_A_PIXEL)
    body = bytearray()
    async for chunk in chunks:
        body += chunk
        if len(body) > most:
            raise Refused(413, f"This file is larger than {most / 1e6:.0f} MB, which is the limit.")
    return bytes(body)


def split(body: bytes) -> tuple[bytes, bytes]:
    """The photograph's file and the mask's.

    Raises:
        Refused: the body is something else.
    """
    length = int.from_bytes(body[:_HEAD], "big")
    photograph, mask = body[_HEAD : _HEAD + length], body[_HEAD + length :]
    if len(photograph) < length or not photograph or not mask:
        raise Refused(400, "The request is incomplete; reload the page and try again.")
    return photograph, mask


def fill(body: bytes, max_megapixels: float, filler: Fill) -> tuple[bytes, Repaired]:
    """The repaired photograph as a PNG.

    Args:
        body: of the request.
        max_megapixels: larger photographs are refused before they are decoded.
        filler: completes an image.

    Raises:
        Refused: a file that is no photograph, one that is too large, a mask that does not fit.
    """
    photograph, mask = split(body)
    try:
        opened = open_for_repair(
            io.BytesIO(photograph), io.BytesIO(mask), max_pixels=int(max_megapixels * 1e6)
        )
        repaired = repair(opened, filler)
        return repaired.encode("PNG")[0], repaired
    except TooLarge as error:
        raise Refused(
            413,
            f"This photograph has {error.pixels / 1e6:.1f} megapixels; at most "
            f"{max_megapixels:g} can be repaired here.",
        ) from error
    except UserError as error:
        message = str(error)
        raise Refused(422, message[:1].upper() + message[1:] + ".") from error
    except MemoryError as error:
        raise Refused(413, "There is not enough memory for a photograph of this size.") from error
