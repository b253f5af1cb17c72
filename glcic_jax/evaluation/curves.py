"""What is drawn over the steps of a run, on a page and by `docs/draw_curve.py`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from glcic_jax.evaluation.records import Curves, Point
from glcic_jax.runtime.journal import curve, discriminator_accuracy

TITLES = {
    "validation": "Hole PSNR on validation images, dB",
    "reconstruction": "Reconstruction loss (running mean)",
    "accuracy": "Accuracy of the discriminators (running mean)",
    "gradient_ratio": "Adversarial over reconstruction gradient (running mean)",
}
"""What the fields of `Curves` are, in the order in which they are drawn."""


def read_curves(history: list[dict[str, Any]]) -> Curves:
    """The curves of a run from its `metrics.jsonl`, see `journal.read_history`."""
    accuracy = [(record["step"], discriminator_accuracy(record)) for record in history]
    return Curves(
        validation=_points(history, "hole_psnr"),
        reconstruction=_points(history, "reconstruction"),
        accuracy=tuple(Point(step, float(np.mean(sides))) for step, sides in accuracy if sides),
        gradient_ratio=_points(history, "adversarial_gradient_ratio"),
    )


def discriminator_losses(history: list[dict[str, Any]]) -> dict[str, tuple[Point, ...]]:
    """The loss of each discriminator on real and on completed images, by the term's name."""
    recorded = dict.fromkeys(name for record in history for name in record)
    sides = [name for name in recorded if name.endswith(("_real", "_completed"))]
    return {name: _points(history, name) for name in sides if "_accuracy_" not in name}


def shown_points(curves: Curves, name: str) -> tuple[Point, ...]:
    """One of the curves as it is drawn: all but the validation as running means."""
    points = getattr(curves, name)
    return points if name == "validation" else running_mean(points)


def running_mean(points: Sequence[Point], count: int = 15) -> tuple[Point, ...]:
    """Each value's mean with those before it, of `count` values at most."""
    values = np.array([point.value for point in points])
    return tuple(
        Point(point.step, float(values[max(0, i - count + 1) : i + 1].mean()))
        for i, point in enumerate(points)
    )


def _points(history: list[dict[str, Any]], name: str) -> tuple[Point, ...]:
    return tuple(Point(*pair) for pair in curve(history, name))
