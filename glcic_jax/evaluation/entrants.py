"""Which runs can be compared, what each is and what it cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, get_args

import jax
import numpy as np

from glcic_jax.config.scoring import Method, Scoring, relocated
from glcic_jax.errors import UserError
from glcic_jax.evaluation.model import model_completer
from glcic_jax.evaluation.records import Health, RunRecord, TrainingCost
from glcic_jax.imaging.classical import Completer
from glcic_jax.inpainting import generators
from glcic_jax.runtime.journal import HISTORY, health, read_history, training_time

_TAKEN = (*get_args(Method), "input", "original")
"""Rows of a sheet that are no runs: none may pass for them."""


class Entrant(NamedTuple):
    """A run that takes part, under a name of its own."""

    name: str
    source: Path
    run: generators.Run
    completer: Completer

    def history(self) -> list[dict[str, Any]]:
        """What its `metrics.jsonl` holds; nothing where it is no run's directory."""
        return read_history(self.source / HISTORY)


def enter_runs(
    sources: Sequence[str | Path], scoring: Scoring
) -> tuple[list[Entrant], dict[str, str]]:
    """The runs that can be scored, and why the others can't, by name.

    The first that loads decides which images are scored; a run that is named twice counts once.

    Args:
        sources: directories of runs, files of generators, or names, see `load_generator`.
        scoring: which checkpoint, and where the images are.

    Raises:
        UserError: there is none.
    """
    entrants: list[Entrant] = []
    left_out: dict[str, str] = {}
    distinct = list({Path(one).expanduser().resolve(): one for one in sources}.values())
    names = [Path(source).expanduser().resolve().name for source in distinct]
    for source, short in zip(distinct, names, strict=True):
        name = short if names.count(short) == 1 else str(source)
        if name in _TAKEN:
            name = f"run {name}"
        try:
            run = generators.find_run(source, scoring.checkpoint)
            run = run._replace(config=relocated(run.config, scoring.sources))
            if entrants:
                _require_same_images(entrants[0], run)
        except UserError as error:
            left_out[name] = str(error)
            continue
        completer = model_completer(run.generator, run.variables)
        entrants.append(Entrant(name, Path(source).expanduser(), run, completer))
    _require_any(entrants, left_out)
    return entrants, left_out


def leave_out_diverged(
    entrants: Sequence[Entrant], left_out: Mapping[str, str], image_u8: np.ndarray
) -> tuple[list[Entrant], dict[str, str]]:
    """Those whose output on one image is finite; the others, too, are left out.

    Args:
        entrants: who takes part so far.
        left_out: why others don't, by name.
        image_u8: uint8 image_HxWx3.

    Raises:
        UserError: none is finite.
    """
    mask = np.zeros((1, *image_u8.shape[:2], 1), np.float32)
    mask[:, mask.shape[1] // 2, mask.shape[2] // 2] = 1
    sound, out = [], dict(left_out)
    for entrant in entrants:
        try:
            entrant.completer(image_u8[None], mask)
        except UserError as error:
            out[entrant.name] = str(error)
        else:
            sound.append(entrant)
    _require_any(sound, out)
    return sound, out


def describe(entrant: Entrant) -> RunRecord:
    """What a run is and what it cost."""
    run, history = entrant.run, entrant.history()
    model, balance = run.config.model, health(history)
    cost = training_time(history, run.config.data.batch_size)
    return RunRecord(
        generator=model.generator,
        discriminator=model.discriminator,
        adversarial=run.config.losses.adversarial,
        fill=model.fill,
        width=model.width,
        dilations=tuple(getattr(run.generator, "dilations", ())),
        seed=run.config.seed,
        initial=run.config.initial,
        step=run.step,
        batch_size=run.config.data.batch_size,
        parameters=sum(leaf.size for leaf in jax.tree.leaves(run.variables["params"])),
        joint_steps=run.config.phases.joint_steps,
        training=TrainingCost.from_json(cost),
        health=Health(**balance) if balance else None,
    )


def _require_any(entrants: Sequence[Entrant], left_out: Mapping[str, str]) -> None:
    if not entrants:
        raise UserError(
            "none of the runs can be scored:\n"
            + "\n".join(f"{name}: {reason}" for name, reason in left_out.items())
        )


def _require_same_images(first: Entrant, run: generators.Run) -> None:
    for what, one, other in (
        ("image-size", first.run.config.image_size, run.config.image_size),
        ("data.sources", first.run.config.data.sources, run.config.data.sources),
    ):
        if one != other:
            raise UserError(
                f"trained with {what} {other}, but {first.name}, which was named first, with "
                f"{one}; runs are compared on the same images"
            )
