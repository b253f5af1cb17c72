"""Any number of runs and the classical fills, scored on identical images and holes.

`compare_runs` returns a record, what `results.json` holds, and pictures, which are drawn here
because they need the models; `report/page.py` turns both into a page.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from glcic_jax.config.scoring import HoleProtocol, Scoring
from glcic_jax.errors import UserError
from glcic_jax.evaluation.classifier import TrainedClassifier, load_classifier
from glcic_jax.evaluation.curves import read_curves
from glcic_jax.evaluation.entrants import describe, enter_runs, leave_out_diverged
from glcic_jax.evaluation.images import open_images
from glcic_jax.evaluation.loop import Images, evaluate
from glcic_jax.evaluation.perception import PerceptionWatch
from glcic_jax.evaluation.pictures import comparison_pictures
from glcic_jax.evaluation.protocol_results import protocol_result, seconds_per_image
from glcic_jax.evaluation.records import Comparison, Contest, Perception, ProtocolResult
from glcic_jax.evaluation.results import Results
from glcic_jax.imaging.classical import Completer, classical_fills


def compare_runs(
    sources: Sequence[str | Path],
    scoring: Scoring,
    classifier: Path | None = None,
    progress: Callable[[int], None] | None = None,
) -> Contest:
    """Score runs and classical fills on the same images and holes, once for each protocol.

    A run that can't be scored (no checkpoint, a damaged one, other images than the first run's, an
    output that is not finite) is left out; `record.left_out` says why.

    Args:
        sources: directories of runs, files of generators, or names; the first usable one decides
            which images are scored.
        scoring: which images, holes, fills and checkpoints.
        classifier: file of `classifier.save`; adds what it sees in the completed images.
        progress: called with the number of images done, of all protocols together.

    Raises:
        UserError: none of the runs can be scored, or not with this classifier.
    """
    trained = load_classifier(classifier) if classifier else None
    entrants, left_out = enter_runs(sources, scoring)
    first = entrants[0].run
    if trained:
        _require_visible(first.config.image_size, scoring.limit)
    image_set = open_images(first.config, scoring)
    entrants, left_out = leave_out_diverged(entrants, left_out, image_set[0])
    fills = classical_fills(first.variables["constants"]["mean_pixel"])
    completers: dict[str, Completer] = {n: fills[n] for n in fills if n in scoring.methods}
    completers |= {entrant.name: entrant.completer for entrant in entrants}
    found: dict[str, ProtocolResult] = {}
    pictures: dict[str, dict[str, np.ndarray]] = {}
    for protocol in dict.fromkeys(scoring.protocols):
        before = sum(record.count for record in found.values())
        report = progress and functools.partial(_report_after, progress, before)
        results, seen = _score(completers, image_set, scoring, protocol, trained, report)
        speeds = seconds_per_image(completers, image_set, results)
        found[protocol] = protocol_result(results, entrants, speeds, seen)
        pictures[protocol] = comparison_pictures(completers, image_set, results)
    record = Comparison(
        split=scoring.split,
        checkpoint=scoring.checkpoint,
        image_size=first.config.image_size,
        sources=tuple(first.config.data.sources),
        seed=scoring.seed,
        runs={entrant.name: describe(entrant) for entrant in entrants},
        curves={entrant.name: read_curves(entrant.history()) for entrant in entrants},
        left_out=left_out,
        protocols=found,
    )
    return Contest(record, pictures)


def _score(
    completers: dict[str, Completer],
    image_set: Images,
    scoring: Scoring,
    protocol: HoleProtocol,
    trained: TrainedClassifier | None,
    progress: Callable[[int], None] | None,
) -> tuple[Results, Perception | None]:
    watch = PerceptionWatch(trained) if trained else None
    results = evaluate(
        completers,
        image_set,
        protocol=protocol,
        seed=scoring.seed,
        batch_size=scoring.batch_size,
        limit=scoring.limit,
        progress=progress,
        watch=watch,
    )
    return results, watch.perception() if watch else None


def _report_after(progress: Callable[[int], None], before: int, done: int) -> None:
    progress(before + done)


def _require_visible(image_size: int, limit: int | None) -> None:
    """Find out before the scoring whether the classifier can see these images."""
    if image_size != 32:
        raise UserError(
            f"--classifier sees images of 32 x 32 pixels, and these runs have {image_size}; leave "
            "it out"
        )
    if limit == 1:
        raise UserError("--classifier needs two images or more; --limit is 1")
