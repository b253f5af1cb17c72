"""What evaluations find, as records: reports read them, `results_json.py` writes them down.

The fields' names and their order are those of `results.json`; images never are in a record.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from glcic_jax.config.scoring import HoleProtocol
from glcic_jax.evaluation.intervals import Interval
from glcic_jax.evaluation.results import MethodScores

# --- Of one protocol ----------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class MethodIntervals:
    """Means over images with their intervals, of the metrics that a report shows, by region."""

    hole: Mapping[str, Interval]
    whole: Mapping[str, Interval]


@dataclasses.dataclass(frozen=True)
class PairResult:
    """The difference `one - other` of two methods' hole PSNR on the same images, see `Paired`."""

    one: str
    other: str
    difference: Interval
    p: float


@dataclasses.dataclass(frozen=True)
class SeedMean:
    """Hole PSNR of each run of a variant, and Student's interval of their mean."""

    values: tuple[float, ...]
    mean: Interval


@dataclasses.dataclass(frozen=True)
class SeedDifference:
    """Welch's interval of the difference `one - other` of two variants' means over seeds."""

    one: str
    other: str
    difference: Interval


@dataclasses.dataclass(frozen=True)
class SeedResult:
    """The variants that were trained with several seeds, and any two of them compared."""

    means: Mapping[str, SeedMean]
    differences: tuple[SeedDifference, ...]


@dataclasses.dataclass(frozen=True)
class GoalReached:
    """Whether a run reaches one of the study's goals, by each of its scores."""

    l2: bool
    dice: bool
    keras_dice: bool


@dataclasses.dataclass(frozen=True)
class MethodPerception:
    """How often a classifier saw the original's class, and how far off it saw the features."""

    same_class: Interval
    frechet_distance: Interval


@dataclasses.dataclass(frozen=True)
class Perception:
    """What a classifier saw, by method; `accuracy` is its own on the test images, in [0, 1]."""

    accuracy: float
    methods: Mapping[str, MethodPerception]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProtocolResult:
    """All that a comparison found with holes of one kind; `seconds_per_image` is by method."""

    protocol: HoleProtocol
    seed: int
    count: int
    methods: Mapping[str, MethodScores]
    intervals: Mapping[str, MethodIntervals]
    paired: tuple[PairResult, ...]
    seeds: SeedResult
    goals: Mapping[str, Mapping[str, GoalReached]]
    perception: Perception | None
    seconds_per_image: Mapping[str, float] = dataclasses.field(default_factory=dict)


# --- Of a run -----------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class TrainingCost:
    """What the training steps of a run took; the median rate by phase."""

    seconds: float
    images: float
    images_per_second: Mapping[str, float]

    _RATE = "_images_per_second"

    def to_json(self) -> dict[str, Any]:
        """As `journal.training_time` names them: `completion_images_per_second` and the like."""
        rates = {f"{phase}{self._RATE}": rate for phase, rate in self.images_per_second.items()}
        return {"seconds": self.seconds, "images": self.images, **rates}

    @classmethod
    def from_json(cls, document: Mapping[str, float]) -> TrainingCost:
        """The inverse of `to_json`."""
        rates = {
            name.removesuffix(cls._RATE): rate
            for name, rate in document.items()
            if name.endswith(cls._RATE)
        }
        return cls(document["seconds"], document["images"], rates)


@dataclasses.dataclass(frozen=True)
class Health:
    """The adversarial balance at the end of the joint phase, see `journal.health`."""

    accuracy_real: float
    accuracy_completed: float
    gradient_ratio: float | None
    saturated: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunRecord:
    """What a run is and what it cost. The first reports did not tell what has a default."""

    generator: str
    discriminator: str
    adversarial: str
    fill: str
    width: int
    dilations: tuple[int, ...]
    seed: int
    initial: str | None = None
    step: int
    batch_size: int
    parameters: int
    joint_steps: int | None = None
    training: TrainingCost
    health: Health | None


class Point(NamedTuple):
    """A value that was recorded at a step."""

    step: int
    value: float


@dataclasses.dataclass(frozen=True)
class Curves:
    """What a report draws over the steps of a run; empty where nothing was recorded.

    Hole PSNR on the validation images, the reconstruction loss, the mean accuracy of the
    discriminators, and the adversarial over the reconstruction gradient.
    """

    validation: tuple[Point, ...] = ()
    reconstruction: tuple[Point, ...] = ()
    accuracy: tuple[Point, ...] = ()
    gradient_ratio: tuple[Point, ...] = ()


# --- Files --------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What a report tells of any number of runs: its `results.json`."""

    split: str
    checkpoint: str
    image_size: int
    sources: tuple[str, ...]
    seed: int
    runs: Mapping[str, RunRecord]
    curves: Mapping[str, Curves]
    left_out: Mapping[str, str]
    protocols: Mapping[str, ProtocolResult]


@dataclasses.dataclass(frozen=True)
class RunEvaluation:
    """One entry in the `results.json` of a run, whose keys are `<protocol>-<split>`."""

    split: str
    step: int
    image_size: int
    sources: tuple[str, ...]
    fill: str
    width: int
    protocol: HoleProtocol
    seed: int
    count: int
    methods: Mapping[str, MethodScores]


class Contest(NamedTuple):
    """A comparison and its pictures: `pictures[protocol][title]` is a uint8 image_HxWx3."""

    record: Comparison
    pictures: Mapping[str, Mapping[str, np.ndarray]]
