"""A small CIFAR-100 classifier, and what it says about completed images.

Pixel metrics reward a blurred mean. How often a classifier sees the same thing in a completed image
as in the original, and how far apart its features of both are, does not. `examples/` trains it.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import flax.errors
import flax.linen as nn
import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg

from glcic_jax.errors import UserError
from glcic_jax.evaluation import intervals
from glcic_jax.imaging.values import to_float
from glcic_jax.networks.layers import Conv, NormReLU
from glcic_jax.runtime import devices
from glcic_jax.runtime.files import UNREADABLE, save_arrays

CLASSES = 100
_ROWS = 64
_RESAMPLES = 40


class Classifier(nn.Module):
    """Five convolutions with batch normalisation and ReLU, the mean over the map, one dense layer.

    `axis_name` and the platform's operators are those of the other networks' layers.
    """

    width: int = 32

    @nn.compact
    def __call__(self, image_BxHxWx3: jax.Array, *, train: bool) -> tuple[jax.Array, jax.Array]:
        """Returns logits_Bx100 and the features_BxF under them, float32; F is 8 times `width`."""
        x = image_BxHxWx3 * 4 - 2
        for number, (factor, stride) in enumerate([(1, 2), (2, 1), (4, 2), (4, 1), (8, 2)]):
            features = self.width * factor
            size = 5 if number == 0 else 3
            x = Conv(features, size, stride, use_bias=False, name=f"conv{number + 1}")(x)
            x = NormReLU(0.9, name=f"conv{number + 1}_norm")(x, train=train)
        features_BxF = x.mean((1, 2))
        return nn.Dense(CLASSES, name="logits")(features_BxF), features_BxF


class Seen(NamedTuple):
    """What a classifier made of N images: int classes_N, float features_NxF."""

    classes: np.ndarray
    features: np.ndarray

    @classmethod
    def join(cls, parts: Sequence[Seen]) -> Seen:
        """Of all parts, in order."""
        return cls(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


class Judge(NamedTuple):
    """A trained classifier, and how often it is right on the test images, in [0, 1]."""

    classifier: Classifier
    variables: Any
    accuracy: float

    def look(self, image_u8: np.ndarray) -> Seen:
        """Classes and features of uint8 image_Nx32x32x3; the batch does not change them."""
        parts = []
        for start in range(0, len(image_u8), _ROWS):
            rows = image_u8[start : start + _ROWS]
            padded = np.concatenate([rows, np.repeat(rows[-1:], _ROWS - len(rows), axis=0)])
            logits, features = _apply(self.classifier, self.variables, padded)
            parts.append(
                Seen(
                    np.asarray(logits).argmax(1)[: len(rows)],
                    np.asarray(features, np.float64)[: len(rows)],
                )
            )
        return Seen.join(parts)


@functools.partial(devices.jit, static_argnums=0)
def _apply(classifier: Classifier, variables: Any, image_u8: jax.Array) -> Any:
    return classifier.apply(variables, to_float(image_u8), train=False)


def frechet_distance(one_NxF: np.ndarray, other_MxF: np.ndarray) -> float:
    """Squared Fréchet distance of two sets of features, each taken for a normal distribution.

    `|m1 - m2|^2 + trace(C1 + C2 - 2 (C1 C2)^(1/2))` (Dowson & Landau 1982; Heusel et al. 2017,
    arXiv:1706.08500, for images). At least two rows each; fewer rows than features bias it upwards.
    """
    means = [features.mean(0) for features in (one_NxF, other_MxF)]
    one, other = (np.cov(features, rowvar=False) for features in (one_NxF, other_MxF))
    # The trace of the root of a product, by the eigenvalues of a symmetric matrix: always real.
    root = _root(one)
    middle = np.linalg.eigvalsh(root @ other @ root)
    cross = np.sqrt(np.maximum(middle, 0)).sum()
    distance = np.sum((means[0] - means[1]) ** 2) + np.trace(one) + np.trace(other) - 2 * cross
    return float(max(distance, 0.0))


class Witness:
    """What a classifier makes of every method's completed images, beside the originals."""

    def __init__(self, judge: Judge):
        self._judge = judge
        self._originals: list[Seen] = []
        self._completed: dict[str, list[Seen]] = {}

    def __call__(self, truth_u8: np.ndarray, completed_u8: Mapping[str, np.ndarray]) -> None:
        """Look at one batch: uint8 image_Bx32x32x3, and completed ones by method."""
        self._originals.append(self._judge.look(truth_u8))
        for name, images in completed_u8.items():
            self._completed.setdefault(name, []).append(self._judge.look(images))

    def testimony(self) -> dict[str, Any]:
        """`accuracy` of the classifier, and `methods`: by method, each as (value, low, high),

        `same_class`: how often it saw the same class, with a bootstrap interval over images.
        `frechet_distance`, with the normal interval of its standard error over 40 resamples of the
        images; resampling repeats images and so biases a distance, which percentiles would show.

        Raises:
            UserError: it saw one image only.
        """
        real = Seen.join(self._originals)
        if len(real.classes) < 2:
            raise UserError("the classifier's scores need two images or more; raise --limit")
        seen = {name: Seen.join(parts) for name, parts in self._completed.items()}
        errors = frechet_errors(real.features, {name: one.features for name, one in seen.items()})
        found = {}
        for name, one in seen.items():
            distance = frechet_distance(one.features, real.features)
            found[name] = {
                "same_class": list(intervals.mean_interval(one.classes == real.classes)),
                "frechet_distance": [
                    distance,
                    max(0.0, distance - 1.96 * errors[name]),
                    distance + 1.96 * errors[name],
                ],
            }
        return {"accuracy": self._judge.accuracy, "methods": found}


def frechet_errors(
    real_NxF: np.ndarray, features_NxF: Mapping[str, np.ndarray]
) -> dict[str, float]:
    """Standard error of the Fréchet distance by method, over 40 bootstrap resamples of images.

    Args:
        real_NxF: features of the originals.
        features_NxF: of the completed images, by method; row i belongs to original i, and all
            methods see the same resamples.
    """
    rng = np.random.default_rng(0)
    distances: dict[str, list[float]] = {name: [] for name in features_NxF}
    for _ in range(_RESAMPLES):
        rows = rng.integers(0, len(real_NxF), len(real_NxF))
        for name, features in features_NxF.items():
            distances[name].append(frechet_distance(features[rows], real_NxF[rows]))
    return {name: float(np.std(values, ddof=1)) for name, values in distances.items()}


def _root(symmetric_FxF: np.ndarray) -> np.ndarray:
    values, vectors = scipy.linalg.eigh(symmetric_FxF)
    return (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T


def save(path: Path, judge: Judge) -> None:
    """Write a classifier as one `.npz` file, whole or not at all.

    Raises:
        OSError: as the operating system says.
    """
    flat = flax.traverse_util.flatten_dict(judge.variables, sep="/")
    arrays: dict[str, Any] = {name: np.asarray(leaf) for name, leaf in flat.items()}
    arrays |= {"width": judge.classifier.width, "accuracy": judge.accuracy}
    save_arrays(path, arrays)


def load_classifier(path: Path) -> Judge:
    """The inverse of `save`.

    Raises:
        UserError: no such file, or not one of a classifier.
    """
    try:
        with np.load(path) as file:
            arrays = {name: file[name] for name in file.files}
        width, accuracy = int(arrays.pop("width")), float(arrays.pop("accuracy"))
        variables = flax.traverse_util.unflatten_dict(
            {name: jnp.asarray(value) for name, value in arrays.items()}, sep="/"
        )
        # A wrong shape or a missing array shows here, not in the middle of a comparison.
        image = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
        jax.eval_shape(functools.partial(Classifier(width).apply, train=False), variables, image)
    except (*UNREADABLE, flax.errors.FlaxError) as error:
        raise UserError(
            f"{path} is not a classifier that examples/train_classifier.py wrote ({error})"
        ) from error
    return Judge(Classifier(width), variables, accuracy)
