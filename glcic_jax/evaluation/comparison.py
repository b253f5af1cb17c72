"""Any number of runs and the classical fills, scored on identical images and holes.

`compare_runs` returns plain numbers and text, what `results.json` holds, and pictures, which are
drawn here because they need the models; `report_page.py` turns both into a page.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import re
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, get_args

import jax
import numpy as np

from glcic_jax.config.saved import to_json
from glcic_jax.config.scoring import Method, Scoring
from glcic_jax.config.settings import LoopConfig
from glcic_jax.data.sources import open_evaluation
from glcic_jax.errors import UserError
from glcic_jax.evaluation import intervals, loop, metrics
from glcic_jax.evaluation.classifier import Witness, load_classifier
from glcic_jax.evaluation.loop import Results
from glcic_jax.evaluation.model import model_completer
from glcic_jax.imaging import classical
from glcic_jax.imaging.classical import Completer
from glcic_jax.imaging.sheets import draw_sheet
from glcic_jax.inpainting import generators
from glcic_jax.networks.registry import generator_entry
from glcic_jax.runtime.journal import (
    HISTORY,
    curve,
    discriminator_accuracy,
    health,
    last_step,
    read_history,
    training_time,
)
from glcic_jax.runtime.workdir import Which

GOALS = {"base": (0.5, 1.34), "target": (0.6, 2.33), "stretch": (0.75, 1.19)}
"""The study's goals: least Dice, largest L2 in millions."""

_TAKEN = (*get_args(Method), "input", "original")
"""Rows of a sheet that are no runs: none may pass for them."""

_SHOWN = 8
_TIMED = 64


class Contest(NamedTuple):
    """What a comparison found: numbers as for `results.json`, and pictures.

    `pictures[protocol][title]` is a uint8 sheet.
    """

    record: dict[str, Any]
    pictures: dict[str, dict[str, np.ndarray]]


class _Entrant(NamedTuple):
    name: str
    workdir: Path
    run: generators.Run
    completer: Completer


def compare_runs(
    workdirs: Sequence[Path],
    scoring: Scoring,
    classifier: Path | None = None,
    progress: Callable[[int], None] | None = None,
) -> Contest:
    """Score runs and classical fills on the same images and holes, once for each protocol.

    A run that can't be scored (no checkpoint, a damaged one, other images than the first run's, an
    output that is not finite) is left out; `record["left_out"]` says why.

    Args:
        workdirs: of the runs; the first usable one decides which images are scored.
        scoring: which images, holes, fills and checkpoints.
        classifier: file of `classifier.save`; adds what it sees in the completed images.
        progress: called with the number of images done, of all protocols together.

    Raises:
        UserError: none of the runs can be scored, or not with this classifier.
    """
    judge = load_classifier(classifier) if classifier else None
    entrants, left_out = _enter(workdirs, scoring.checkpoint)
    first = entrants[0].run
    if judge:
        _require_judgeable(first.config.image_size, scoring.limit)
    image_set = open_evaluation(first.config, scoring.split)
    entrants = _leave_out_diverged(entrants, left_out, image_set[0])
    fills = classical.classical_fills(first.variables["constants"]["mean_pixel"])
    completers: dict[str, Completer] = {n: fills[n] for n in fills if n in scoring.methods}
    completers |= {entrant.name: entrant.completer for entrant in entrants}
    described = {name: _describe(workdir, run) for name, workdir, run, _ in entrants}
    curves = {name: _curves(workdir) for name, workdir, _, _ in entrants}
    found: dict[str, Any] = {}
    pictures: dict[str, dict[str, np.ndarray]] = {}
    for protocol in dict.fromkeys(scoring.protocols):
        before = sum(record["count"] for record in found.values())
        witness = Witness(judge) if judge else None
        results = loop.evaluate(
            completers,
            image_set,
            protocol=protocol,
            seed=scoring.seed,
            batch_size=scoring.batch_size,
            limit=scoring.limit,
            progress=progress and functools.partial(_report_after, progress, before),
            watch=witness,
        )
        found[protocol] = _score(results, entrants, witness)
        found[protocol]["seconds_per_image"] = _speeds(completers, image_set, results)
        pictures[protocol] = _pictures(completers, image_set, results)
    record = {
        "split": scoring.split,
        "checkpoint": scoring.checkpoint,
        "image_size": first.config.image_size,
        "sources": list(first.config.data.sources),
        "seed": scoring.seed,
        "runs": described,
        "curves": curves,
        "left_out": left_out,
        "protocols": found,
    }
    return Contest(record, pictures)


def _report_after(progress: Callable[[int], None], before: int, done: int) -> None:
    progress(before + done)


def _enter(workdirs: Sequence[Path], checkpoint: Which) -> tuple[list[_Entrant], dict[str, str]]:
    """The runs that can be scored, by a name of their own, and why the others can't."""
    entrants: list[_Entrant] = []
    left_out: dict[str, str] = {}
    # A run that is named twice counts once.
    distinct = list({Path(workdir).resolve(): Path(workdir) for workdir in workdirs}.values())
    names = [workdir.resolve().name for workdir in distinct]
    for workdir, short in zip(distinct, names, strict=True):
        name = short if names.count(short) == 1 else str(workdir)
        if name in _TAKEN:
            name = f"run {name}"
        try:
            run = generators.load_run(workdir, checkpoint)
            if entrants:
                _require_same_images(entrants[0], run)
        except UserError as error:
            left_out[name] = str(error)
            continue
        completer = model_completer(run.generator, run.variables)
        entrants.append(_Entrant(name, workdir, run, completer))
    _require_any(entrants, left_out)
    return entrants, left_out


def _leave_out_diverged(
    entrants: Sequence[_Entrant], left_out: dict[str, str], image_u8: np.ndarray
) -> list[_Entrant]:
    """Those whose output on one image is finite; the others are added to `left_out`."""
    mask = np.zeros((1, *image_u8.shape[:2], 1), np.float32)
    mask[:, mask.shape[1] // 2, mask.shape[2] // 2] = 1
    sound = []
    for entrant in entrants:
        try:
            entrant.completer(image_u8[None], mask)
        except UserError as error:
            left_out[entrant.name] = str(error)
        else:
            sound.append(entrant)
    _require_any(sound, left_out)
    return sound


def _require_any(entrants: Sequence[_Entrant], left_out: Mapping[str, str]) -> None:
    if not entrants:
        raise UserError(
            "none of the runs can be scored:\n"
            + "\n".join(f"{name}: {reason}" for name, reason in left_out.items())
        )


def _require_judgeable(image_size: int, limit: int | None) -> None:
    if image_size != 32:
        raise UserError(
            f"--classifier sees images of 32 x 32 pixels, and these runs have {image_size}; leave "
            "it out"
        )
    if limit == 1:
        raise UserError("--classifier needs two images or more; --limit is 1")


def _require_same_images(first: _Entrant, run: generators.Run) -> None:
    for what, one, other in (
        ("image-size", first.run.config.image_size, run.config.image_size),
        ("data.sources", first.run.config.data.sources, run.config.data.sources),
    ):
        if one != other:
            raise UserError(
                f"trained with {what} {other}, but {first.name}, which was named first, with "
                f"{one}; runs are compared on the same images"
            )


# --- Numbers ------------------------------------------------------------------------------------


def _score(
    results: Results, entrants: Sequence[_Entrant], witness: Witness | None
) -> dict[str, Any]:
    """What `record["protocols"]` holds of one protocol, but for the speeds."""
    return {
        **results.to_dict(),
        "intervals": _intervals(results),
        "paired": _pairs(results),
        "seeds": _over_seeds(results, entrants),
        # A sum over the hole, and thresholds that were set for one rectangle.
        "goals": _goals(results, [entrant.name for entrant in entrants])
        if results.protocol == "rectangle"
        else {},
        "perception": witness and witness.testimony(),
    }


def _intervals(results: Results) -> dict[str, Any]:
    chosen = {"hole": ("psnr", "ssim", "l1"), "whole": ("psnr", "ssim", "l2_millions", "dice")}
    return {
        method: {
            region: {
                metric: list(intervals.mean_interval(results.scores[method][region][metric]))
                for metric in chosen[region]
            }
            for region in metrics.REGIONS
        }
        for method in results.scores
    }


def _pairs(results: Results) -> list[dict[str, Any]]:
    """Every method's hole PSNR against that of every one listed after it."""
    names = list(results.scores)
    pairs = []
    for number, one in enumerate(names):
        for other in names[number + 1 :]:
            scores = (results.scores[name]["hole"]["psnr"] for name in (one, other))
            difference, p = intervals.compare(*scores)
            pairs.append({"one": one, "other": other, "difference": list(difference), "p": p})
    return pairs


def _over_seeds(results: Results, entrants: Sequence[_Entrant]) -> dict[str, Any]:
    """Mean hole PSNR of the runs that differ in nothing but their seed, and the differences.

    Only groups of two runs or more that were trained equally long, each seed once. A group has its
    first run's name without the seed at its end.
    """
    alike: dict[tuple[str, int], dict[int, str]] = {}
    for name, workdir, run, _ in entrants:
        settings = to_json(dataclasses.replace(run.config, seed=0, loop=LoopConfig()))
        end = last_step(read_history(workdir / HISTORY))
        alike.setdefault((settings, end), {}).setdefault(run.config.seed, name)
    psnr = {}
    for seeds in (seeds for seeds in alike.values() if len(seeds) > 1):
        seed, name = next(iter(seeds.items()))
        bare = re.sub(rf"[-_]?{seed}$", "", name)
        title = bare if bare and bare not in psnr else " ".join(seeds.values())
        psnr[title] = np.array([results.mean(run, "hole", "psnr") for run in seeds.values()])
    means = {
        title: {"values": values.tolist(), "mean": list(intervals.seed_interval(values))}
        for title, values in psnr.items()
    }
    differences = [
        {"one": one, "other": other, "difference": list(intervals.compare_seeds(*values))}
        for (one, other), values in zip(
            itertools.combinations(psnr, 2), itertools.combinations(psnr.values(), 2), strict=True
        )
    ]
    return {"means": means, "differences": differences}


def _goals(results: Results, models: Sequence[str]) -> dict[str, Any]:
    """Whether each model reaches each goal of the study, by the definitions of docs/evaluation.md.

    `keras` takes Dice as Keras examples write it, whose ceiling stands in the summaries.
    """
    reached = {}
    for name in models:
        summary = results.summary(name, "whole")
        enough = {goal: summary["l2_millions"] <= l2 for goal, (_, l2) in GOALS.items()}
        reached[name] = {
            goal: {
                "l2": enough[goal],
                "dice": summary["dice"] >= dice,
                "keras_dice": summary["keras_dice"] >= dice,
            }
            for goal, (dice, _) in GOALS.items()
        }
    return reached


def _describe(workdir: Path, run: generators.Run) -> dict[str, Any]:
    """What a run is and what it cost."""
    model, history = run.config.model, read_history(workdir / HISTORY)
    dilated = "model.dilations" in generator_entry(model.generator).reads
    return {
        "generator": model.generator,
        "discriminator": model.discriminator,
        "adversarial": run.config.losses.adversarial,
        "fill": model.fill,
        "width": model.width,
        "dilations": list(model.dilations) if dilated else [],
        "seed": run.config.seed,
        "initial": run.config.initial,
        "step": run.step,
        "batch_size": run.config.data.batch_size,
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(run.variables["params"])),
        "joint_steps": run.config.phases.joint_steps,
        "training": training_time(history, run.config.data.batch_size),
        "health": health(history),
    }


def _curves(workdir: Path) -> dict[str, list]:
    history = read_history(workdir / HISTORY)
    accuracy = [(r["step"], discriminator_accuracy(r)) for r in history]
    return {
        "validation": curve(history, "hole_psnr"),
        "reconstruction": curve(history, "reconstruction"),
        "accuracy": [(step, float(np.mean(sides))) for step, sides in accuracy if sides],
        "gradient_ratio": curve(history, "adversarial_gradient_ratio"),
    }


def _speeds(
    completers: Mapping[str, Completer], image_set: Any, results: Results
) -> dict[str, float]:
    """Seconds an image, of calls with 64 images; compilation is not in it."""
    indices = np.arange(min(_TIMED, len(results)))
    _, blanked, mask = _examples(image_set, indices, results)
    seconds = {}
    for name, completer in completers.items():
        completer(blanked, mask)
        started = time.perf_counter()
        completer(blanked, mask)
        seconds[name] = (time.perf_counter() - started) / len(indices)
    return seconds


# --- Pictures -----------------------------------------------------------------------------------


def _examples(image_set: Any, indices: np.ndarray, results: Results) -> tuple[np.ndarray, ...]:
    protocol: Any = results.protocol
    truth, mask = loop.examples(image_set, indices, protocol, results.seed)
    return truth, np.where(mask > 0.5, np.uint8(0), truth), mask


def _pictures(
    completers: Mapping[str, Completer], image_set: Any, results: Results
) -> dict[str, np.ndarray]:
    """uint8 sheets by title: the first images, then each method's best and worst by hole PSNR.

    The first shows all methods; the others only their own, or a page of many runs would be too
    large to open.
    """

    def sheet(indices: np.ndarray, names: Sequence[str]) -> np.ndarray:
        truth, blanked, mask = _examples(image_set, indices, results)
        completed = {name: completers[name](blanked, mask) for name in names}
        shown = np.where(mask > 0.5, np.uint8(128), truth)
        return draw_sheet({"input": shown, **completed, "original": truth})

    first = np.arange(min(_SHOWN, len(results)))
    sheets = {"The first images": sheet(first, list(completers))}
    for name in completers:
        order = np.argsort(results.scores[name]["hole"]["psnr"], kind="stable")
        half = min(_SHOWN // 2, len(order))
        extremes = np.concatenate([order[:half], order[::-1][:half]])
        sheets[f"Worst (left) and best of {name}"] = sheet(extremes, [name])
    return sheets
