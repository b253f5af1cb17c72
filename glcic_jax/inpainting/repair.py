"""Repair a photograph: from a file or an image and a mask in any form to the completed picture.

Reading needs no JAX, so that what can't be read is told at once; filling is `repair`'s second half.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple, get_args

import numpy as np

from glcic_jax.errors import UserError
from glcic_jax.files.mask_reading import read_mask, read_sources
from glcic_jax.files.photograph_files import (
    Photograph,
    encode,
    from_image,
    output_format,
    read_photograph,
)
from glcic_jax.runtime.files import replace_file

Blend = Literal["auto", "membrane", "none"]
Texture = Literal["auto", "on", "off"]
Fill = Callable[..., np.ndarray]
"""image_HxWxC, bool mask_HxW and, if wanted, `sources` as bool mask_HxW to the completed image, as
`inpaint_fn` with its generator."""


@dataclasses.dataclass(frozen=True)
class MaskOptions:
    """How a mask is read, see `mask_reading.read_mask`."""

    colour: str | None = None
    tolerance: int = 0
    invert: bool = False
    grow: int = 0


class Opened(NamedTuple):
    """A photograph and its hole, read and checked.

    Attributes:
        photograph: as its file has it.
        hole: bool hole_HxW, True is the hole.
        notes: what should be known of how they were read, a line each.
    """

    photograph: Photograph
    hole: np.ndarray
    notes: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Repaired:
    """A repaired photograph.

    Attributes:
        image: the completed image_HxWx3, uint8 or uint16 as the photograph is; known pixels are
            the photograph's bit for bit.
        hole: bool hole_HxW, what was filled.
        photograph: as it was read.
        notes: what was done to the mask and the file, a line each.
    """

    image: np.ndarray
    hole: np.ndarray
    photograph: Photograph
    notes: tuple[str, ...]

    def encode(self, format: str | None = None) -> tuple[bytes, tuple[str, ...]]:
        """The file's bytes in a format (None: the photograph's own), and notes on them.

        Raises:
            UserError: the format's encoder refuses this photograph.
        """
        try:
            data, notes = encode(self.photograph, self.image, self.hole, format)
        except UserError:
            raise
        except (OSError, RuntimeError, ValueError) as error:
            form = format or self.photograph.format
            raise UserError(
                f"the repaired photograph can't be written as {form} ({error}); name a file of "
                "another format, such as .png"
            ) from error
        return data, tuple(notes)

    def save(self, path: str | Path, *, overwrite: bool = False) -> tuple[str, ...]:
        """Write the photograph in the form it came in: mode, depth, EXIF, profile, JPEG quality.

        Args:
            path: its suffix says in which format.
            overwrite: replace a file that is there.

        Returns:
            Notes, a line each, such as that JPEG changes known pixels too.

        Raises:
            UserError: the file exists, the format is not known, or it can't be written; nothing is
                written then.
        """
        path = Path(path).expanduser()
        if path.exists() and not overwrite:
            raise UserError(f"{path} exists already; overwrite it knowingly, or name another file")
        data, notes = self.encode(output_format(path))
        write_file(path, data)
        return notes


def write_file(path: Path, data: bytes) -> None:
    """Write a file whole or not at all; its directory is made if need be.

    Raises:
        UserError: it can't be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, lambda temporary: temporary.write_bytes(data))
    except OSError as error:
        raise UserError(f"can't write {path}: {error.strerror or error}") from error


def open_for_repair(
    photograph: str | Path | BinaryIO | Any,
    mask: Any,
    options: MaskOptions = MaskOptions(),
    *,
    max_pixels: int | None = None,
) -> Opened:
    """Read a photograph and its mask; arguments as of `fill_photograph`."""
    if isinstance(photograph, str):
        photograph = Path(photograph)
    if isinstance(photograph, Path) or hasattr(photograph, "read"):
        opened = read_photograph(photograph, max_pixels=max_pixels)
    else:
        opened = from_image(photograph)
    seen: Any = opened.image
    if opened.alpha is not None:
        seen = np.dstack([opened.image, opened.alpha])
    hole, line = read_mask(
        mask,
        seen,
        colour=options.colour,
        tolerance=options.tolerance,
        invert=options.invert,
        grow=options.grow,
        max_pixels=max_pixels,
    )
    return Opened(opened, hole, (line, *opened.notes))


def repair(opened: Opened, fill: Fill) -> Repaired:
    """Fill what was opened.

    Raises:
        UserError: as `inpaint_fn`, where no pixel is known.
    """
    photograph, hole, notes = opened
    image = photograph.image
    if photograph.alpha is not None:
        # Colours under alpha 0 mean nothing and must not bleed into the fill.
        completed = fill(np.dstack([image, photograph.alpha]), hole)[..., :3]
    else:
        completed = fill(image, hole)
    return Repaired(completed, hole, photograph, notes)


def fill_photograph(
    photograph: str | Path | BinaryIO | Any,
    mask: Any = None,
    *,
    generator: Any = "photographs",
    mask_colour: str | None = None,
    tolerance: int = 0,
    invert_mask: bool = False,
    grow: int = 0,
    max_pixels: int | None = None,
    blend: Blend = "auto",
    texture: Texture = "auto",
    source_mask: Any = None,
) -> Repaired:
    """Repair one photograph: what `glcic-jax fill` does.

    Args:
        photograph: a JPEG, PNG, WebP or TIFF file, an open binary stream of one, a PIL image, or an
            array (H, W), (H, W, 3) or (H, W, 4) of uint8 or uint16.
        mask: in any form, see `read_mask`; "alpha": the hole is where the photograph is
            transparent. None together with `mask_colour`.
        generator: what `load_generator` takes, or what it returned.
        mask_colour: the hole is painted over the photograph in this colour, such as "#ff00ff".
        tolerance: largest difference in a channel, of 255, at which a pixel has that colour.
        invert_mask: what the mask shows is known.
        grow: pixels by which the hole is widened, for the halos that JPEG leaves around text.
        max_pixels: of photograph and mask; None: Pillow's limit against decompression bombs.
        blend: "membrane": take what the fill lacks at the rim out of it, so that no seam is left;
            "none"; "auto": for generators whose fill does not start from the rim.
        texture: "on": give the fill the texture of its surroundings; "off"; "auto": where holes are
            wider than 24 pixels.
        source_mask: where texture may be copied from, as `mask` in any form; None: everywhere
            around a hole.

    Returns:
        The repaired photograph, with `save`.

    Raises:
        UserError: a file that is no photograph or no mask, sizes that don't fit, an empty or a full
            mask, a source mask that leaves nothing to copy from, no such generator. The message
            says what to do.
    """
    opened = open_for_repair(
        photograph,
        mask,
        MaskOptions(mask_colour, tolerance, invert_mask, grow),
        max_pixels=max_pixels,
    )
    fill = open_fill(generator, blend=blend, texture=texture)
    if source_mask is not None:
        fill = copying_from(source_mask, opened, fill, max_pixels=max_pixels)
    return repair(opened, fill)


def copying_from(
    source_mask: Any, opened: Opened, fill: Fill, *, max_pixels: int | None = None
) -> Fill:
    """A fill that copies texture from parts of a photograph only; arguments as of
    `fill_photograph`."""
    sources = read_sources(source_mask, opened.photograph.image, max_pixels)
    return functools.partial(fill, sources=sources)


def open_fill(
    generator: Any,
    checkpoint: Any = "best",
    views: int | None = None,
    blend: Blend = "auto",
    texture: Texture = "auto",
) -> Fill:
    """`inpaint_fn` of a generator, in its size's arguments alone.

    Args:
        generator: what `load_generator` takes, or what it returned.
        checkpoint: of a run's directory, see `load_generator`.
        views: how many mirrored views are averaged; None: as the generator has it.
        blend: see `fill_photograph`.
        texture: see `fill_photograph`.
    """
    from glcic_jax.inpainting.generators import load_generator  # JAX and Flax take a second
    from glcic_jax.inpainting.inpaint import inpaint_fn

    network: Any
    network, variables = (
        load_generator(generator, checkpoint) if isinstance(generator, (str, Path)) else generator
    )
    if views is not None:
        if network.layers() is None:
            raise UserError("views can't be averaged by a context encoder; leave them out")
        network = network.clone(views=views)
    if blend not in get_args(Blend):
        raise UserError(f"blend is {blend!r}; give one of {', '.join(get_args(Blend))}")
    if texture not in get_args(Texture):
        raise UserError(f"texture is {texture!r}; give one of {', '.join(get_args(Texture))}")
    textured: Any = {"auto": "auto", "on": True, "off": False}[texture]
    blends = network.fill == "mean" if blend == "auto" else blend == "membrane"
    if network.layers() is None:
        if blend == "membrane":
            raise UserError("what a context encoder made can't be blended; leave --blend out")
        blends = False
    return functools.partial(inpaint_fn, network, variables, blend=blends, texture=textured)
