"""How good a run is after so many minutes: ours beside GLCIC in PyTorch, on the same cores.

Both learn from CIFAR-100's training images, in turns of a minute, and complete the same test images
with the same holes at each mark. Only learning and compiling count as time, not scoring.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks import report
from benchmarks.extras import require_torch
from glcic_jax.commands.command_line import parse, run
from glcic_jax.errors import UserError

if TYPE_CHECKING:
    from benchmarks.learners import Learner
    from glcic_jax.data.sources import ImageSet
    from glcic_jax.evaluation.classifier import TrainedClassifier
    from glcic_jax.imaging.classical import Completer

OURS, THEIRS = "glcic_jax", "PyTorch"
_START = "harmonic"
"""What ours starts from, for comparison."""
_BATCH = 250
_SEED = 0


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Scores after so many minutes of training, side by side with PyTorch."""

    minutes: tuple[float, ...] = (1, 3, 5, 10, 15)
    """Marks, from the first to the last."""
    turn: float = 1.0
    """Minutes of training before the other one's turn."""
    preset: str = "photos"
    """Of our run; its data become CIFAR-100's, its schedule as long as the last mark."""
    torch: bool = True
    """Whether PyTorch takes part."""
    images: int = 1000
    """Test images that are scored."""
    classifier: Path | None = None
    """File of `glcic-jax train-classifier`: adds the Frechet distance of its features."""
    json: Path | None = None
    """File to write all scores to; docs/draw_time_to_quality.py draws it."""


def main() -> None:
    """Train, score, print, write JSON."""
    arguments = parse(Arguments, description=Arguments.__doc__)
    report.check_output(arguments.json)
    report.check_counts(arguments, "images")
    _check_minutes(arguments)
    import jax

    from benchmarks.learners import OurLearner, TheirLearner, our_config, their_config
    from glcic_jax.data.sources import open_evaluation, open_split
    from glcic_jax.evaluation.classifier import load_classifier

    jax.config.update("jax_platforms", "cpu")
    config = our_config(arguments.preset)
    classifier = load_classifier(arguments.classifier) if arguments.classifier else None
    if arguments.torch:
        require_torch()
    (part,) = open_split(config, "train")
    images = np.stack([part[index] for index in range(len(part))])
    learners: dict[str, Learner] = {OURS: OurLearner(config, images, 60 * arguments.minutes[-1])}
    if arguments.torch:
        learners[THEIRS] = TheirLearner(their_config(), images)
    records = _race(learners, arguments, open_evaluation(config, "test"), classifier)
    _publish(records, arguments)
    report.write_json(arguments.json, {"preset": arguments.preset, "records": records})


def _check_minutes(arguments: Arguments) -> None:
    marks = arguments.minutes
    rises = all(one < other for one, other in itertools.pairwise((0.0, *marks)))
    if not marks or not rises or not math.isfinite(marks[-1]):
        raise UserError(f"--minutes {marks}: give numbers above 0, each larger than the one before")
    if not 0 < arguments.turn < math.inf:
        raise UserError(f"--turn is {arguments.turn}; it must be a number above 0")


def _race(
    learners: Mapping[str, Learner],
    arguments: Arguments,
    image_set: ImageSet,
    classifier: TrainedClassifier | None,
) -> list[dict[str, Any]]:
    """One record for each learner and mark, and one for what ours starts from."""
    from glcic_jax.imaging.classical import classical_fills

    start = classical_fills(np.full(3, 0.5))[_START]
    records = _score({_START: start}, arguments, image_set, classifier)
    spent = 0.0
    for mark in arguments.minutes:
        while spent < mark:
            spent = min(spent + arguments.turn, mark)
            for learner in learners.values():
                learner.learn_until(60 * spent)
        completers = {name: learner.completer() for name, learner in learners.items()}
        for record in _score(completers, arguments, image_set, classifier):
            learner = learners[record["method"]]
            records.append(record | {"minutes": mark, "images": learner.images})
            print(f"after {mark:g} minutes: {records[-1]}", flush=True)
    return records


def _score(
    completers: Mapping[str, Completer],
    arguments: Arguments,
    image_set: ImageSet,
    classifier: TrainedClassifier | None,
) -> list[dict[str, Any]]:
    """Hole PSNR in dB, SSIM of the hole, and Frechet distance where there is a classifier."""
    from glcic_jax.evaluation.loop import evaluate
    from glcic_jax.evaluation.perception import PerceptionWatch

    watch = PerceptionWatch(classifier) if classifier else None
    results = evaluate(
        completers,
        image_set,
        protocol="rectangle",
        seed=_SEED,
        batch_size=_BATCH,
        limit=arguments.images,
        watch=watch,
    )
    seen = watch.perception().methods if watch else {}
    return [
        {
            "method": name,
            "hole_psnr": results.mean(name, "hole", "psnr"),
            "hole_ssim": results.mean(name, "hole", "ssim"),
            "frechet_distance": seen[name].frechet_distance.mean if seen else None,
        }
        for name in completers
    ]


def _publish(records: list[dict[str, Any]], arguments: Arguments) -> None:
    rows = []
    for record in records:
        distance = record["frechet_distance"]
        rows.append(
            (
                record["method"],
                f"{record['minutes']:g}" if "minutes" in record else "",
                f"{record.get('images', 0):,}",
                f"{record['hole_psnr']:.2f}",
                f"{record['hole_ssim']:.3f}",
                "" if distance is None else report.number(distance),
            )
        )
    report.publish(
        f"The first {arguments.images} test images after so many minutes on {report.cores()} cores",
        ("method", "minutes", "images seen", "hole PSNR dB", "hole SSIM", "Frechet distance"),
        rows,
        notes=(
            f"glcic_jax: preset {arguments.preset}, its completion phase, a schedule of "
            f"{arguments.minutes[-1]:g} minutes; compiling counts",
        ),
    )


if __name__ == "__main__":
    run(main)
