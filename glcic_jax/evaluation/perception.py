"""What a classifier makes of completed images.

Pixel metrics reward a blurred mean. How often a classifier sees the same thing in a completed image
as in the original, and how far apart its features of both are, does not.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import scipy.linalg

from glcic_jax.errors import UserError
from glcic_jax.evaluation import intervals
from glcic_jax.evaluation.classifier import Seen, TrainedClassifier
from glcic_jax.evaluation.intervals import Interval
from glcic_jax.evaluation.records import MethodPerception, Perception

_RESAMPLES = 40


class PerceptionWatch:
    """Shows a classifier every method's completed images, beside the originals."""

    def __init__(self, classifier: TrainedClassifier):
        self._classifier = classifier
        self._originals: list[Seen] = []
        self._completed: dict[str, list[Seen]] = {}

    def __call__(self, truth_u8: np.ndarray, completed_u8: Mapping[str, np.ndarray]) -> None:
        """Look at one batch: uint8 image_Bx32x32x3, and completed ones by method."""
        self._originals.append(self._classifier.look(truth_u8))
        for name, images in completed_u8.items():
            self._completed.setdefault(name, []).append(self._classifier.look(images))

    def perception(self) -> Perception:
        """What it saw of all batches.

        The interval of `same_class` is a bootstrap over images; that of `frechet_distance` the
        normal one of its standard error over 40 resamples of the images: resampling repeats images
        and so biases a distance, which percentiles would show.

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
            reach = 1.96 * errors[name]
            found[name] = MethodPerception(
                same_class=intervals.mean_interval(one.classes == real.classes),
                frechet_distance=Interval(distance, max(0.0, distance - reach), distance + reach),
            )
        return Perception(self._classifier.accuracy, found)


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


def frechet_errors(
    real_NxF: np.ndarray, features_NxF: Mapping[str, np.ndarray]
) -> dict[str, float]:
    """Standard error of the Fréchet distance by method, over 40 bootstrap resamples of images.

    Args:
        real_NxF: float features of the originals.
        features_NxF: float features of the completed images, by method; row i belongs to
            original i, and all methods see the same resamples.
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
