"""Whole photographs, completed by generators and by classical fills, and scored in the hole."""

from __future__ import annotations

import dataclasses
import functools
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from glcic_jax.data.folder import opened, to_rgb
from glcic_jax.data.folder_files import list_images
from glcic_jax.errors import UserError
from glcic_jax.evaluation.detail import detail_ratio
from glcic_jax.evaluation.features import FeatureDistance, Nearness, patch_distance
from glcic_jax.evaluation.intervals import Interval, Paired, compare, mean_interval
from glcic_jax.evaluation.metrics import PSNR_CAP
from glcic_jax.evaluation.photograph_holes import draw_hole
from glcic_jax.imaging.classical import classical_fills
from glcic_jax.imaging.fills import Frame, harmonic_fill
from glcic_jax.imaging.values import blank, to_float, to_uint8
from glcic_jax.inpainting.generators import load_generator
from glcic_jax.inpainting.inpaint import inpaint_fn

Fill = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""uint8 image_HxWx3, bool mask_HxW -> uint8 image_HxWx3."""

BASELINE = "harmonic"
"""The fill that all others are compared with: the smooth surface that networks start from."""

_log = logging.getLogger("glcic_jax")
_GRAY = np.full(3, 0.5, np.float32)
_GRID = 64


@dataclasses.dataclass(frozen=True)
class Row:
    """What one method reached with one kind of hole."""

    method: str
    holes: str
    count: int
    psnr: Interval
    over_baseline: Paired
    detail: Interval | None
    """See `detail.detail_ratio`; over the photographs whose originals have detail in the hole."""
    features: Interval | None
    """See `features.FeatureDistance`; None where it was not asked for."""
    patches: Interval | None
    """See `features.patch_distance`; None where it was not asked for."""
    seconds: float
    """Median of a photograph; the first ones compile."""


@dataclasses.dataclass
class _Tally:
    """What is known of one method, photograph by photograph."""

    psnr: list[float] = dataclasses.field(default_factory=list)
    detail: list[float] = dataclasses.field(default_factory=list)
    seen: list[Nearness] = dataclasses.field(default_factory=list)
    seconds: list[float] = dataclasses.field(default_factory=list)

    def row(self, method: str, kind: str, baseline: _Tally) -> Row:
        """Its means."""
        psnr = np.array(self.psnr)
        distances = np.array([one.distance for one in self.seen])
        return Row(
            method,
            kind,
            len(psnr),
            mean_interval(psnr),
            compare(psnr, np.array(baseline.psnr)),
            mean_interval(np.array(self.detail)) if self.detail else None,
            mean_interval(distances) if self.seen else None,
            patch_distance(self.seen) if self.seen else None,
            float(np.median(self.seconds)),
        )


class Photographs:
    """The photographs below a directory by their paths in order, decoded one after the other."""

    def __init__(self, directory: Path, limit: int | None = None):
        """List them.

        Args:
            directory: those below it count too.
            limit: only so many, from the first.

        Raises:
            UserError: there is no such directory, or no photograph in it.
        """
        self._directory = directory
        self.paths = list_images(str(directory))[:limit]
        self._unreadable: dict[str, str] = {}

    def __iter__(self) -> Iterator[np.ndarray]:
        """uint8 image_HxWx3 of each; those that can't be read are told once and left out.

        Raises:
            UserError: none can be read.
        """
        for path in self.paths:
            if path in self._unreadable:
                continue
            try:
                with opened(str(self._directory / path)) as image:
                    photo = np.asarray(to_rgb(image))
            except Exception as error:  # a damaged file can raise almost anything in a decoder
                self._unreadable[path] = str(error)
                if len(self._unreadable) == len(self.paths):
                    raise UserError(f"{self._directory / path} can't be read: {error}") from error
                _log.warning("%s can't be read: %s; left out", self._directory / path, error)
                continue
            yield photo


def open_methods(
    generators: Sequence[str], fills: Sequence[str], *, texture: bool = False
) -> dict[str, Fill]:
    """Fills by name: the baseline, the classical ones named, and generators as `load_generator`
    takes them; with `texture` each generator's fill again as NAME+texture.

    Raises:
        UserError: there is no such generator, or it completes one size only.
    """
    methods: dict[str, Fill] = {BASELINE: fill_harmonic}
    classical = classical_fills(_GRAY)
    for name in fills:
        if name == "patchmatch":
            methods[name] = open_patchmatch()
        else:
            methods.setdefault(name, functools.partial(_one, classical[name]))
    for name in generators:
        generator, variables = load_generator(name)
        if generator.image_size is not None:
            raise UserError(
                f"{name} completes images of {generator.image_size} pixels a side only; name a "
                "generator that completes any size"
            )
        methods[name] = functools.partial(inpaint_fn, generator, variables)
        if texture:
            methods[f"{name}+texture"] = functools.partial(
                inpaint_fn, generator, variables, texture="auto"
            )
    return methods


def score(
    photos: Iterable[np.ndarray],
    methods: Mapping[str, Fill],
    kind: str,
    seed: int,
    features: FeatureDistance | None = None,
) -> list[Row]:
    """Complete every photograph that is large enough with every method.

    Args:
        photos: uint8 image_HxWx3 each.
        methods: by name, the baseline among them; none sees what the hole hides.
        kind: of the holes, see `photograph_holes.check_kind`.
        seed: of the holes.
        features: also compares what it sees, which takes longer than many fills do.

    Returns:
        One row for each method; none where no photograph is large enough.
    """
    tallies = {name: _Tally() for name in methods}
    for index, photo in enumerate(photos):
        mask = draw_hole(kind, seed, index, photo.shape[:2])
        if mask is None:
            continue
        blanked = blank(photo, mask[..., None])
        for name, fill in methods.items():
            tally = tallies[name]
            started = time.perf_counter()
            completed = fill(blanked, mask)
            tally.seconds.append(time.perf_counter() - started)
            tally.psnr.append(_hole_psnr(photo, completed, mask))
            detail = detail_ratio(photo, completed, mask)
            if detail is not None:
                tally.detail.append(detail)
            if features is not None:
                tally.seen.append(features.compare(photo, completed, mask))
    if not tallies[BASELINE].psnr:
        return []
    return [tally.row(name, kind, tallies[BASELINE]) for name, tally in tallies.items()]


def fill_harmonic(image_HxWx3: np.ndarray, mask_HxW: np.ndarray) -> np.ndarray:
    """The harmonic fill of a whole uint8 photograph with a bool mask."""
    height, width = mask_HxW.shape
    pad = ((0, -height % _GRID), (0, -width % _GRID))
    image = np.pad(image_HxWx3, (*pad, (0, 0)), mode="edge")
    mask = np.pad(mask_HxW, pad)
    frame_3 = np.array([height, width, max(height, width)], np.int32)
    filled = np.asarray(_harmonic(image[None], mask[None, ..., None], frame_3))
    return np.where(mask_HxW[..., None], filled[0, :height, :width], image_HxWx3)


@jax.jit
def _harmonic(image: jax.Array, mask: jax.Array, frame_3: jax.Array) -> jax.Array:
    unit, hole = to_float(image), mask.astype(jnp.float32)
    return to_uint8(harmonic_fill(unit, hole, jnp.asarray(_GRAY), frame=Frame(*frame_3)))


def open_patchmatch() -> Fill:
    """Patches of the surroundings, matched at random (Barnes et al. 2009), of `patchmatch-cython`.

    Raises:
        UserError: the package is not installed.
    """
    try:
        from patchmatch_cython import inpaint_pyramid
    except ImportError as error:
        raise UserError(
            "the fill patchmatch needs patchmatch-cython; install it with: pip install "
            "patchmatch-cython"
        ) from error

    def fill(image_HxWx3: np.ndarray, mask_HxW: np.ndarray) -> np.ndarray:
        filled = np.asarray(inpaint_pyramid(image_HxWx3.copy(), mask_HxW, seed=0))
        return np.where(mask_HxW[..., None], filled.astype(np.uint8), image_HxWx3)

    return fill


def _one(completer: Any, image_HxWx3: np.ndarray, mask_HxW: np.ndarray) -> np.ndarray:
    return completer(image_HxWx3[None], mask_HxW[None, ..., None].astype(np.float32))[0]


def _hole_psnr(truth: np.ndarray, completed: np.ndarray, mask: np.ndarray) -> float:
    difference = (truth[mask].astype(np.float64) - completed[mask]) / 255
    error = float(np.mean(difference**2))
    return PSNR_CAP if error == 0 else min(PSNR_CAP, -10 * float(np.log10(error)))
