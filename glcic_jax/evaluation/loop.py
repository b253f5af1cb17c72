"""The one evaluation loop, for validation during training and for the final table alike.

A completer maps 8-bit images and masks to 8-bit completed images. `evaluate` shows every completer
the same images and masks and scores what comes back, per image and in index order. The masks follow
from (protocol, seed, index) alone and every compiled call has a fixed shape on each device, so the
scores are bit for bit the same for any batch size, number of devices of a machine, and number of
processes of a job, each of which scores a share of the images. (But a single CPU device convolves
by other code than one of several, see `networks/operators.py`: their last bits differ.)
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import jax
import numpy as np

from glcic_jax.config.scoring import HoleProtocol
from glcic_jax.data.mask_folder import load_masks
from glcic_jax.errors import UserError
from glcic_jax.evaluation import metrics, protocols
from glcic_jax.evaluation.results import Results
from glcic_jax.imaging import values
from glcic_jax.imaging.batches import in_fixed_batches
from glcic_jax.imaging.classical import Completer
from glcic_jax.runtime import jobs

MODEL = "model"
"""Name of the trained model among the methods."""

_ROWS_PER_DEVICE = 16
_ROWS_OF_MASKS = 64
_ROWS_OF_SCORES = 64


class Images(Protocol):
    """A deterministic collection of uint8 image_SxSx3, all of one size."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> np.ndarray: ...


Watch = Callable[[np.ndarray, Mapping[str, np.ndarray]], None]
"""Sees a batch: uint8 originals image_BxSxSx3, and completed images of that shape by method."""


def evaluate(
    completers: Mapping[str, Completer],
    image_set: Images,
    *,
    protocol: HoleProtocol,
    seed: int,
    batch_size: int,
    limit: int | None = None,
    progress: Callable[[int], None] | None = None,
    watch: Watch | None = None,
) -> Results:
    """Score every completer on the same images and masks; every image counts exactly once.

    Completers get the images with the hole blanked to 0, so none can read what it has to restore.

    Args:
        completers: by name.
        image_set: uint8 images; index i always takes the same mask.
        protocol: kind of the holes, see `protocols.protocol_masks`.
        seed: another seed gives other masks.
        batch_size: images in memory at once. It does not change any score.
        limit: use only the first `limit` images.
        progress: called with the number of images done after each batch.
        watch: called with each batch of originals and what every completer made of it; in a job of
            several processes each process sees its own share.

    All processes of a job must call it alike; each gets all results.

    Raises:
        UserError: no images, or a batch size or limit below 1; or one that a completer raises, in
            all processes.
        ValueError: a completer changed a known pixel, or a mask has no hole.
    """
    count = len(image_set) if limit is None else min(limit, len(image_set))
    if count < 1 or batch_size < 1:
        raise UserError(
            f"nothing to evaluate: {len(image_set)} images, limit {limit}, batch size {batch_size}"
        )
    processes = jax.process_count()
    first, end = (count * (jax.process_index() + i) // processes for i in (0, 1))
    draw = functools.partial(examples, image_set, protocol=protocol, seed=seed)

    def score_share() -> tuple[list[np.ndarray], dict[str, list[Any]]]:
        report = progress and (lambda done: progress(min(count, done * processes)))
        return _score_range(completers, draw, first, end, batch_size, report, watch)

    shares = jobs.gather(score_share)
    scores = {}
    for name in completers:
        batches = [batch for _, parts in shares for batch in parts[name]]
        scores[name] = jax.tree.map(lambda *rows: np.concatenate(rows).astype(np.float64), *batches)
    fractions = [part for parts, _ in shares for part in parts]
    return Results(protocol, seed, np.concatenate(fractions), scores)


def _score_range(
    completers: Mapping[str, Completer],
    draw: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]],
    first: int,
    end: int,
    batch_size: int,
    progress: Callable[[int], None] | None,
    watch: Watch | None,
) -> tuple[list[np.ndarray], dict[str, list[Any]]]:
    """Hole fractions, and scores by method, of the images from `first` to before `end`."""
    parts: dict[str, list[Any]] = {name: [] for name in completers}
    fractions = []
    for start in range(first, end, batch_size):
        indices = np.arange(start, min(start + batch_size, end))
        truth, mask = draw(indices)
        blanked = values.blank(truth, mask)
        completed = {name: np.asarray(fill(blanked, mask)) for name, fill in completers.items()}
        for name, images_u8 in completed.items():
            if not np.array_equal(values.blank(images_u8, mask), blanked):
                raise ValueError(f"the method {name} changed known pixels")
            rows = in_fixed_batches(_scores, _ROWS_OF_SCORES, truth, images_u8, mask)
            parts[name].append(rows)
        if watch:
            watch(truth, completed)
        fractions.append(mask.mean(axis=(1, 2, 3), dtype=np.float64))
        if progress:
            progress(indices[-1] + 1 - first)
    return fractions, parts


def examples(
    image_set: Images, indices_B: np.ndarray, protocol: HoleProtocol, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """uint8 image_BxSxSx3 and float32 mask_BxSxSx1 of these indices."""
    truth = np.stack([image_set[int(index)] for index in indices_B])
    size, path = truth.shape[1], protocol.partition("folder:")[2]
    cover_NxSxS = load_masks(path, size) if path else None
    draw = functools.partial(_masks, protocol, seed, image_size=size, cover_NxSxS=cover_NxSxS)
    mask = in_fixed_batches(draw, _ROWS_OF_MASKS, indices_B)
    empty = indices_B[~mask.any(axis=(1, 2, 3))]
    if len(empty):
        raise ValueError(f"protocol {protocol}, seed {seed}: no hole in image {empty[0]}")
    return truth, mask


_masks = jax.jit(protocols.protocol_masks, static_argnames=("protocol", "image_size"))


@jax.jit
def _scores(truth_u8: jax.Array, completed_u8: jax.Array, mask: jax.Array) -> Any:
    return metrics.per_image(values.to_float(truth_u8), values.to_float(completed_u8), mask)
