"""One interface for every source of images, and how a configuration's sources are opened."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal, Protocol

import numpy as np

from glcic_jax.config.settings import Config
from glcic_jax.data.cifar100 import Cifar100
from glcic_jax.data.crops import CropSettings
from glcic_jax.data.folder import Folder
from glcic_jax.data.photos import PHOTO_SCALES, Photos
from glcic_jax.errors import UserError

Split = Literal["train", "validation", "test"]


class ImageSet(Protocol):
    """The images of one split of one source; small when pickled, safe to use from many threads."""

    @property
    def name(self) -> str:
        """The source as `config.data.sources` writes it, for messages."""

    @property
    def fixed(self) -> bool:
        """Whether `sample` always gives what indexing gives."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> np.ndarray:
        """The image for evaluation: uint8 image_SxSx3, a function of the index alone."""

    def sample(self, index: int, rng: np.random.Generator) -> np.ndarray:
        """The image for training: uint8 image_SxSx3, cropped at random where not `fixed`."""


class ConcatImages:
    """Several image sets, one after the other, as one."""

    def __init__(self, sets: Sequence[ImageSet]):
        """Join `sets`, of which there must be at least one."""
        self._sets = tuple(sets)
        self._starts = list(itertools.accumulate((len(s) for s in self._sets), initial=0))

    @property
    def name(self) -> str:
        """The names of the parts, joined by +."""
        return "+".join(part.name for part in self._sets)

    @property
    def fixed(self) -> bool:
        """Whether every part is fixed."""
        return all(part.fixed for part in self._sets)

    def __len__(self) -> int:
        return self._starts[-1]

    def __getitem__(self, index: int) -> np.ndarray:
        """Image `index` as uint8 image_SxSx3; counted through the parts in order."""
        part, inside = self._locate(index)
        return part[inside]

    def sample(self, index: int, rng: np.random.Generator) -> np.ndarray:
        """Image `index` as its part samples it for training."""
        part, inside = self._locate(index)
        return part.sample(inside, rng)

    def _locate(self, index: int) -> tuple[ImageSet, int]:
        if not 0 <= index < len(self):
            raise IndexError(f"image {index} of {len(self)}")
        which = bisect.bisect_right(self._starts, index) - 1
        return self._sets[which], index - self._starts[which]


def open_split(config: Config, split: Split) -> list[ImageSet]:
    """One image set for each of `config.data.sources`, in their order.

    Raises:
        UserError: a source is unknown, or can't be found or read, or has no images in this split.
    """
    return [_open(source, config, split) for source in config.data.sources]


def open_evaluation(config: Config, split: Split) -> ImageSet:
    """All images of a split, the sources one after the other.

    Raises:
        UserError: as `open_split`.
    """
    sets = open_split(config, split)
    return sets[0] if len(sets) == 1 else ConcatImages(sets)


def _open(source: str, config: Config, split: Split) -> ImageSet:
    data = config.data
    if source == "photos":
        crops = CropSettings(config.image_size, *PHOTO_SCALES)
        return Photos(split, crops, fixed_bytes=data.resident_megabytes * 10**6)
    if source == "cifar100":
        return Cifar100(split)
    if source.startswith("folder:"):
        crops = CropSettings(config.image_size, data.min_scale, data.max_scale, by_octave=True)
        return Folder(source.removeprefix("folder:"), split, crops)
    raise UserError(f"data.sources has {source!r}; known are photos, cifar100, folder:PATH")


def mean_pixel(
    sets: Sequence[ImageSet], *, weights: Sequence[float] = (), limit: int = 2000
) -> np.ndarray:
    """The mean colour of the images that training draws.

    Args:
        sets: image sets, at least one.
        weights: how often each set is drawn from, relative to the others; empty: equally often.
        limit: images looked at in each set, evenly spaced over its indices.

    Returns:
        float32 of shape (3,), in [0, 1]; the same on every call.
    """
    means = [_mean_of_set(part, limit) for part in sets]
    return np.average(means, axis=0, weights=weights or None).astype(np.float32)


def _mean_of_set(part: ImageSet, limit: int) -> np.ndarray:
    count = min(len(part), limit)
    indices = [i * len(part) // count for i in range(count)]
    with ThreadPoolExecutor() as pool:
        # Whole numbers add up exactly, so the order of the threads can't show.
        sums = pool.map(lambda i: part[i].sum(axis=(0, 1), dtype=np.int64), indices)
        side = part[0].shape[0]
        return np.sum(list(sums), axis=0) / (count * side * side * 255.0)
