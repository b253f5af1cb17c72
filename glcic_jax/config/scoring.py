"""What to score and on what: the choices that every way of evaluating a run shares.

Imports no array library, so that `evaluate.py --help` answers at once.
"""

from __future__ import annotations

import dataclasses
import os
import re
import zlib
from typing import Annotated, Literal

import tyro

from glcic_jax.config.fields import Range, check_fields
from glcic_jax.config.rules import KINDS_OF_HOLES, LIMIT, PROTOCOLS
from glcic_jax.config.settings import Config
from glcic_jax.errors import UserError

HoleProtocol = str
"""A kind of the holes that are scored, one of `PROTOCOLS` or folder:PATH;
`evaluation/protocols.py` draws them."""

Method = Literal["mean_pixel", "telea", "navier_stokes", "biharmonic", "harmonic", "model"]


@dataclasses.dataclass(frozen=True)
class Scoring:
    """Which images, holes, methods and checkpoint are scored."""

    protocols: Annotated[
        tuple[HoleProtocol, ...], KINDS_OF_HOLES, tyro.conf.arg(name="protocol")
    ] = ("rectangle",)
    """Shapes of the holes, one or more: rectangle (one), center (the middle quarter), freeform
    (brush strokes), pixels (single ones), or folder:PATH, masks of your own as they are."""
    split: Literal["test", "validation"] = "test"
    """Images to score; none of either was trained on."""
    sources: Annotated[tuple[str, ...], tyro.conf.arg(name="data.sources")] = ()
    """Where the folders of the run's images are now, if they have moved: its sources in their
    order, such as folder:/new/place. What they are can't be changed."""
    seed: Annotated[int, Range(0, 2**31 - 1)] = 0
    """Start of the random holes; the same seed gives every method and run the same holes."""
    batch_size: Annotated[int, Range(1)] = 64
    """Images in memory at once. The scores don't depend on it."""
    limit: Annotated[int | None, LIMIT] = None
    """Score only so many images, from the first."""
    methods: tuple[Method, ...] = (
        "mean_pixel",
        "telea",
        "navier_stokes",
        "biharmonic",
        "harmonic",
        "model",
    )
    """Which methods to score."""
    checkpoint: Literal["best", "latest"] = "best"
    """Which of a run's checkpoints: the best by validation (hole PSNR), or the newest."""


def relocated(config: Config, sources: tuple[str, ...]) -> Config:
    """A run's configuration with other places of its folders; the same one for no sources.

    Raises:
        UserError: the sources are of other kinds than the run's, or more or fewer.
    """
    if not sources:
        return config
    if [_kind(source) for source in sources] != [_kind(source) for source in config.data.sources]:
        raise UserError(
            f"--data.sources is {' '.join(sources)}, but the run's are "
            f"{' '.join(config.data.sources)}; it says where the folders among them are now: name "
            "all of them in their order, each folder with its new place"
        )
    return dataclasses.replace(config, data=dataclasses.replace(config.data, sources=sources))


def _kind(source: str) -> str:
    return "folder" if source.startswith("folder:") and source != "folder:" else source


def protocol_key(protocol: HoleProtocol) -> str:
    """A protocol as part of a file's name; a folder by its own name and a checksum of its path."""
    if protocol in PROTOCOLS:
        return protocol
    path = os.path.abspath(os.path.expanduser(protocol.removeprefix("folder:")))
    name = re.sub(r"[^\w.-]", "_", os.path.basename(path))
    return f"folder-{name}-{zlib.crc32(path.encode('utf-8', 'surrogateescape')):08x}"


STANDARD = Scoring()
"""One rectangle in each test image, all methods, the best checkpoint."""


def check_scoring(scoring: Scoring) -> None:
    """Check the ranges.

    Raises:
        UserError: names the field, its value and what it must be.
    """
    check_fields(scoring)
    if not scoring.protocols:
        raise UserError("no protocol was named; leave --protocol out to take rectangle")
    if not scoring.methods:
        raise UserError("no method was named; leave --methods out to score all of them")
