"""How near a completed photograph is to the original in what a classifier of ImageNet sees.

Pixel metrics reward a blurred mean; features of texture and of things do not. The network is
`networks/efficientnet.py`, whose weights are in the extra `perceptual`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from glcic_jax.errors import UserError
from glcic_jax.evaluation.intervals import Interval
from glcic_jax.evaluation.perception import frechet_distance
from glcic_jax.networks.efficientnet import STAGES, Weights, read_weights, see

WINDOW = 256
"""Side in pixels of the squares that the network sees, at the photograph's own scale."""

_PART = WINDOW // 2
_PATCHES = 1
"""The stage whose cells are the patches: 40 features for every 8x8 pixels."""
_RESAMPLES = 40


class Nearness(NamedTuple):
    """What the network sees of one completed photograph and of its original."""

    distance: float
    """See `FeatureDistance`."""
    truth_NxF: np.ndarray
    """float32 features of the original, one row for each 8x8 cell that the hole touches."""
    completed_NxF: np.ndarray
    """float32 features of the completed photograph in the same cells."""


class FeatureDistance:
    """Distance of two photographs inside a hole, in features of EfficientNet-lite0.

    As LPIPS (Zhang et al. 2018, arXiv:1801.03924) without weights learned from people's choices:
    at each of the four `STAGES` of the network, the feature vectors of both photographs are scaled
    to length 1, and their squared Euclidean distance is averaged over the cells that the hole
    touches; the distance is the mean over the four stages, where LPIPS has the sum. 0 for equal
    photographs, 2 where vectors are orthogonal, at most 4; lower is nearer.

    The network sees squares of 256 pixels at the photographs' own scale. The box around the hole
    is cut into the fewest equal parts of at most 128 pixels a side; each part that has missing
    pixels is seen in the square around its middle, moved to lie inside the photograph, and counts
    with its own missing pixels. Smaller photographs are continued by their edges.

        distance = FeatureDistance()
        distance(truth_u8, completed_u8, mask)
    """

    def __init__(self) -> None:
        """Read the weights.

        Raises:
            UserError: the extra `perceptual` is not installed.
        """
        self._weights = read_weights()

    def __call__(
        self, truth_HxWx3: np.ndarray, completed_HxWx3: np.ndarray, mask_HxW: np.ndarray
    ) -> float:
        """The distance; takes and raises what `compare` does."""
        return self.compare(truth_HxWx3, completed_HxWx3, mask_HxW).distance

    def compare(
        self, truth_HxWx3: np.ndarray, completed_HxWx3: np.ndarray, mask_HxW: np.ndarray
    ) -> Nearness:
        """The distance, and the features of the patches in the hole.

        Args:
            truth_HxWx3: uint8 original.
            completed_HxWx3: uint8, of the same size.
            mask_HxW: bool, True is the hole.

        Raises:
            UserError: the sizes or types differ from these, or the mask has no hole.
        """
        _check(truth_HxWx3, completed_HxWx3, mask_HxW)
        pair = _at_least_a_window(np.stack([truth_HxWx3, completed_HxWx3]))
        sums, counts = np.zeros(len(STAGES)), np.zeros(len(STAGES))
        patches = []
        for corner, hole in _windows(mask_HxW, pair.shape[1:3]):
            seen = pair[:, corner[0] :, corner[1] :][:, :WINDOW, :WINDOW]
            distances, features = jax.device_get(_look(self._weights, seen))
            for index, (stride, _) in enumerate(STAGES):
                cells = _cells(hole, stride)
                sums[index] += distances[index][cells].sum(dtype=np.float64)
                counts[index] += cells.sum()
                if index == _PATCHES:
                    patches.append(features[:, cells])
        truth, completed = np.concatenate(patches, axis=1)
        return Nearness(float((sums / counts).mean()), truth, completed)


def patch_distance(seen: Sequence[Nearness]) -> Interval | None:
    """Fréchet distance between the completed and the original patches of all photographs.

    See `perception.frechet_distance`; the patches are the 8x8 cells that the holes touch, with
    their 40 features. The interval is 1.96 standard errors of 40 resamples of the photographs.

    Returns:
        None where there are fewer than two patches, which have no covariance.
    """
    truth, completed = ([getattr(one, name) for one in seen] for name in Nearness._fields[1:])
    if sum(map(len, truth)) < 2:
        return None
    distance = frechet_distance(np.concatenate(completed), np.concatenate(truth))
    rng = np.random.default_rng(0)
    found = []
    for _ in range(_RESAMPLES):
        drawn = rng.integers(0, len(seen), len(seen))
        one, other = (np.concatenate([side[i] for i in drawn]) for side in (completed, truth))
        if len(one) > 1:
            found.append(frechet_distance(one, other))
    reach = 1.96 * float(np.std(found, ddof=1)) if len(found) > 1 else 0.0
    return Interval(distance, max(0.0, distance - reach), distance + reach)


@jax.jit
def _look(weights: Weights, pair_2xSxSx3: jax.Array) -> tuple[tuple[jax.Array, ...], jax.Array]:
    """Squared distances_hxw of unit vectors at each stage, and the patches' features_2xhxwxF."""
    stages = see(weights, pair_2xSxSx3)
    return tuple(_unit_distance(*features) for features in stages), stages[_PATCHES]


def _unit_distance(one_hxwxF: jax.Array, other_hxwxF: jax.Array) -> jax.Array:
    one, other = (
        features / (jnp.linalg.norm(features, axis=-1, keepdims=True) + 1e-8)
        for features in (one_hxwxF, other_hxwxF)
    )
    return jnp.sum((one - other) ** 2, axis=-1)


def _windows(
    mask_HxW: np.ndarray, size: tuple[int, ...]
) -> Iterator[tuple[tuple[int, int], np.ndarray]]:
    """Corners of the squares, each with the bool hole_SxS that counts in it."""
    mask = np.zeros(size, bool)
    mask[: mask_HxW.shape[0], : mask_HxW.shape[1]] = mask_HxW
    rows, columns = (_parts(np.flatnonzero(mask.any(axis))) for axis in (1, 0))
    for top, bottom in rows:
        for left, right in columns:
            part = np.zeros(size, bool)
            part[top:bottom, left:right] = mask[top:bottom, left:right]
            if part.any():
                row, column = _start(top, bottom, size[0]), _start(left, right, size[1])
                yield (row, column), part[row : row + WINDOW, column : column + WINDOW]


def _parts(places_N: np.ndarray) -> list[tuple[int, int]]:
    """First places and ends of equal parts, of at most half a window, of where pixels miss."""
    first, length = int(places_N[0]), int(places_N[-1] - places_N[0] + 1)
    count = math.ceil(length / _PART)
    ends = [first + length * number // count for number in range(count + 1)]
    return list(itertools.pairwise(ends))


def _start(first: int, end: int, length: int) -> int:
    """Where the window around this part begins."""
    return min(max((first + end - WINDOW) // 2, 0), length - WINDOW)


def _cells(hole_SxS: np.ndarray, stride: int) -> np.ndarray:
    count = WINDOW // stride
    return np.asarray(hole_SxS.reshape(count, stride, count, stride).any((1, 3)))


def _at_least_a_window(pair_2xHxWx3: np.ndarray) -> np.ndarray:
    below, right = (max(0, WINDOW - length) for length in pair_2xHxWx3.shape[1:3])
    return np.pad(pair_2xHxWx3, ((0, 0), (0, below), (0, right), (0, 0)), mode="edge")


def _check(truth: np.ndarray, completed: np.ndarray, mask: np.ndarray) -> None:
    for name, image in (("original", truth), ("completed photograph", completed)):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise UserError(
                f"the {name} should be uint8 of height x width x 3, but is {image.dtype} of "
                f"{' x '.join(map(str, image.shape))}"
            )
    if truth.shape != completed.shape or mask.shape != truth.shape[:2]:
        raise UserError(
            f"original {truth.shape}, completed photograph {completed.shape} and mask {mask.shape} "
            "should be of one height and width"
        )
    if mask.dtype != bool or not mask.any():
        raise UserError("the mask should be bool, and True in at least one pixel, the hole")
