"""The curves of a run: what is taken from its history, and how it is smoothed."""

import pytest

from glcic_jax.evaluation.curves import (
    discriminator_losses,
    read_curves,
    running_mean,
    shown_points,
)
from glcic_jax.evaluation.records import Point

HISTORY = [
    {"step": 1, "phase": "completion", "reconstruction": 0.5},
    {
        "step": 2,
        "phase": "joint",
        "reconstruction": 0.25,
        "global_real": 0.7,
        "global_completed": 0.6,
        "global_accuracy_real": 1.0,
        "global_accuracy_completed": 0.5,
        "adversarial_gradient_ratio": None,
    },
    {"step": 2, "phase": "validation", "hole_psnr": 20.0},
    {"step": 4, "phase": "validation", "hole_psnr": 22.0},
]


def test_curves_are_those_of_the_history():
    curves = read_curves(HISTORY)
    assert curves.validation == (Point(2, 20.0), Point(4, 22.0))
    assert curves.reconstruction == (Point(1, 0.5), Point(2, 0.25))
    assert curves.accuracy == (Point(2, 0.75),)
    assert curves.gradient_ratio == ()
    losses = discriminator_losses(HISTORY)
    assert losses == {"global_real": (Point(2, 0.7),), "global_completed": (Point(2, 0.6),)}


def test_all_but_the_validation_are_smoothed():
    curves = read_curves(HISTORY)
    assert shown_points(curves, "validation") == curves.validation
    assert shown_points(curves, "reconstruction") == (Point(1, 0.5), Point(2, 0.375))


def test_running_means_look_back_only():
    means = running_mean([Point(step, float(step)) for step in range(6)], count=3)
    assert [point.step for point in means] == list(range(6))
    assert [point.value for point in means] == pytest.approx([0, 0.5, 1, 2, 3, 4])
