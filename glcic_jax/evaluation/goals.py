"""The study's goals, by the definitions of docs/evaluation.md."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from glcic_jax.evaluation.records import GoalReached


@dataclasses.dataclass(frozen=True)
class Goal:
    """Least Dice and largest L2 in millions, means over the images."""

    dice: float
    l2_millions: float


GOALS: Mapping[str, Goal] = {
    "base": Goal(0.5, 1.34),
    "target": Goal(0.6, 2.33),
    "stretch": Goal(0.75, 1.19),
}


def goals_reached(whole: Mapping[str, float]) -> dict[str, GoalReached]:
    """Whether a method reaches each goal; `whole` are its mean scores over the whole image.

    `keras_dice` takes Dice as Keras examples write it, whose ceiling stands in the summaries.
    """
    return {
        name: GoalReached(
            l2=whole["l2_millions"] <= goal.l2_millions,
            dice=whole["dice"] >= goal.dice,
            keras_dice=whole["keras_dice"] >= goal.dice,
        )
        for name, goal in GOALS.items()
    }
