"""The scores of every image, and their means."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from glcic_jax.config.scoring import HoleProtocol
from glcic_jax.evaluation import metrics
from glcic_jax.evaluation.metrics import Region

PSNR_OF_MEAN_MSE = "psnr_of_mean_mse"
"""What a summary has beside the means of `metrics.METRICS`, in dB."""


@dataclasses.dataclass(frozen=True)
class Bin:
    """Means over the images whose hole covers a tenth of the area, (above, up_to]."""

    above: float
    up_to: float
    count: int
    hole: Mapping[str, float]
    whole: Mapping[str, float]


@dataclasses.dataclass(frozen=True)
class MethodScores:
    """A method's means by metric, over the hole and over the whole image, and by hole area."""

    hole: Mapping[str, float]
    whole: Mapping[str, float]
    bins: tuple[Bin, ...]

    def region(self, region: Region) -> Mapping[str, float]:
        """`hole` or `whole`."""
        return self.hole if region == "hole" else self.whole


@dataclasses.dataclass(frozen=True)
class Results:
    """Scores of every image.

    `scores[method][region][metric]` and `hole_fraction` are float64 arrays of shape (N,), one value
    per image in index order; regions and metrics are those of `metrics.py`.
    """

    protocol: HoleProtocol
    seed: int
    hole_fraction: np.ndarray
    scores: Mapping[str, Mapping[Region, Mapping[str, np.ndarray]]]

    def __len__(self) -> int:
        return len(self.hole_fraction)

    def mean(self, method: str, region: Region, metric: str) -> float:
        """Mean over images, such as `mean("model", "hole", "psnr")`."""
        return float(np.mean(self.scores[method][region][metric]))

    def summary(
        self, method: str, region: Region, chosen: np.ndarray | None = None
    ) -> dict[str, float]:
        """Means of every metric, and `PSNR_OF_MEAN_MSE`.

        Args:
            method: a key of `scores`.
            region: hole or whole.
            chosen: bool array of shape (N,), or indices of any number of images; all by default.
                Not empty.
        """
        select = slice(None) if chosen is None else chosen
        scores = self.scores[method][region]
        means = {name: float(np.mean(value[select])) for name, value in scores.items()}
        error = max(means["mse"], metrics.MSE_FLOOR)
        return {**means, PSNR_OF_MEAN_MSE: float(-10.0 * np.log10(error))}

    def bins(self, method: str) -> tuple[Bin, ...]:
        """Summaries by hole area: one for each tenth that has images."""
        # A twelfth decimal makes 0.3 of the area, whatever its last bit, the end of a tenth.
        tenth = np.ceil(np.round(self.hole_fraction * 10, 12)).astype(int)
        return tuple(
            Bin(
                above=(end - 1) / 10,
                up_to=end / 10,
                count=int(np.sum(tenth == end)),
                hole=self.summary(method, "hole", tenth == end),
                whole=self.summary(method, "whole", tenth == end),
            )
            for end in sorted(set(tenth.tolist()))
        )

    def methods(self) -> dict[str, MethodScores]:
        """All means, by method."""
        return {
            method: MethodScores(
                hole=self.summary(method, "hole"),
                whole=self.summary(method, "whole"),
                bins=self.bins(method),
            )
            for method in self.scores
        }
