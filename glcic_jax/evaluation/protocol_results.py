"""What a comparison finds with holes of one kind: intervals, pairs, seeds, goals, speeds."""

from __future__ import annotations

import dataclasses
import itertools
import re
import time
from collections.abc import Mapping, Sequence

import numpy as np

from glcic_jax.config.saved import to_json
from glcic_jax.config.settings import LoopConfig
from glcic_jax.evaluation import intervals
from glcic_jax.evaluation.entrants import Entrant
from glcic_jax.evaluation.goals import goals_reached
from glcic_jax.evaluation.loop import Images, examples
from glcic_jax.evaluation.metrics import Region
from glcic_jax.evaluation.records import (
    MethodIntervals,
    PairResult,
    Perception,
    ProtocolResult,
    SeedDifference,
    SeedMean,
    SeedResult,
)
from glcic_jax.evaluation.results import Results
from glcic_jax.imaging.classical import Completer
from glcic_jax.imaging.values import blank
from glcic_jax.runtime.journal import last_step

_TIMED = 64


def protocol_result(
    results: Results,
    entrants: Sequence[Entrant],
    speeds: Mapping[str, float],
    perception: Perception | None,
) -> ProtocolResult:
    """All that follows from the scores of all images; `speeds` as `seconds_per_image` tells."""
    # The goals: a sum over the hole, and thresholds that were set for one rectangle.
    has_goals = results.protocol == "rectangle"
    return ProtocolResult(
        protocol=results.protocol,
        seed=results.seed,
        count=len(results),
        methods=results.methods(),
        intervals=_intervals(results),
        paired=_pairs(results),
        seeds=_over_seeds(results, entrants),
        goals={
            entrant.name: goals_reached(results.summary(entrant.name, "whole"))
            for entrant in (entrants if has_goals else ())
        },
        perception=perception,
        seconds_per_image=speeds,
    )


def seconds_per_image(
    completers: Mapping[str, Completer], image_set: Images, results: Results
) -> dict[str, float]:
    """Of each completer, in calls with 64 images; compilation is not in it."""
    indices_B = np.arange(min(_TIMED, len(results)))
    truth, mask = examples(image_set, indices_B, results.protocol, results.seed)
    blanked = blank(truth, mask)
    seconds = {}
    for name, completer in completers.items():
        completer(blanked, mask)
        started = time.perf_counter()
        completer(blanked, mask)
        seconds[name] = (time.perf_counter() - started) / len(indices_B)
    return seconds


def _intervals(results: Results) -> dict[str, MethodIntervals]:
    def chosen(method: str, region: Region, *names: str) -> dict[str, intervals.Interval]:
        scores = results.scores[method][region]
        return {name: intervals.mean_interval(scores[name]) for name in names}

    return {
        method: MethodIntervals(
            hole=chosen(method, "hole", "psnr", "ssim", "l1"),
            whole=chosen(method, "whole", "psnr", "ssim", "l2_millions", "dice"),
        )
        for method in results.scores
    }


def _pairs(results: Results) -> tuple[PairResult, ...]:
    """Every method's hole PSNR against that of every one listed after it."""
    psnr = {method: scores["hole"]["psnr"] for method, scores in results.scores.items()}
    return tuple(
        PairResult(one, other, *intervals.compare(psnr[one], psnr[other]))
        for one, other in itertools.combinations(psnr, 2)
    )


def _over_seeds(results: Results, entrants: Sequence[Entrant]) -> SeedResult:
    """Mean hole PSNR of the runs that differ in nothing but their seed, and the differences.

    Only groups of two runs or more that were trained equally long, each seed once. A group has its
    first run's name without the seed at its end.
    """
    alike: dict[tuple[str, int], dict[int, str]] = {}
    for entrant in entrants:
        config = entrant.run.config
        settings = to_json(dataclasses.replace(config, seed=0, loop=LoopConfig()))
        key = (settings, last_step(entrant.history()))
        alike.setdefault(key, {}).setdefault(config.seed, entrant.name)
    psnr: dict[str, tuple[float, ...]] = {}
    for seeds in (seeds for seeds in alike.values() if len(seeds) > 1):
        seed, name = next(iter(seeds.items()))
        bare = re.sub(rf"[-_]?{seed}$", "", name)
        title = bare if bare and bare not in psnr else " ".join(seeds.values())
        psnr[title] = tuple(results.mean(run, "hole", "psnr") for run in seeds.values())
    return SeedResult(
        means={
            title: SeedMean(values, intervals.seed_interval(values))
            for title, values in psnr.items()
        },
        differences=tuple(
            SeedDifference(one, other, intervals.compare_seeds(psnr[one], psnr[other]))
            for one, other in itertools.combinations(psnr, 2)
        ),
    )
