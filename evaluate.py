"""Score a trained run against classical fills: `python evaluate.py --workdir runs/x`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

import tyro

from glcic_jax.command_line import ALONE, JobOptions, job, parse, run

Method = Literal["mean_pixel", "telea", "navier_stokes", "biharmonic", "harmonic", "model"]


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Score a trained run and classical fills on the same images and holes.

    Prints a table, writes a picture grid to WORKDIR/results-PROTOCOL-SPLIT.png and the scores to
    WORKDIR/results.json under the key PROTOCOL-SPLIT; what else that file holds stays.
    """

    workdir: Path
    """Directory that train.py wrote."""
    protocol: Literal["rectangle", "center", "freeform", "pixels"] = "rectangle"
    """Shape of the holes: one rectangle, the middle quarter, brush strokes, or single pixels."""
    split: Literal["test", "validation"] = "test"
    """Images to score; none of either was trained on."""
    seed: int = 0
    """Start of the random holes; the same seed gives every method and run the same holes."""
    batch_size: int = 64
    """Images in memory at once. The scores don't depend on it."""
    limit: int | None = None
    """Score only so many images, from the first."""
    methods: tuple[Method, ...] = (
        "mean_pixel",
        "telea",
        "navier_stokes",
        "biharmonic",
        "harmonic",
        "model",
    )
    """Which methods to score."""
    job: Annotated[JobOptions, tyro.conf.arg(name="")] = ALONE


def main() -> None:
    """Read the command line, then load what is slow to import."""
    arguments = parse(Arguments, description=Arguments.__doc__)
    from glcic_jax.devices import keep_compiled_programs
    from glcic_jax.reporting import evaluate_run

    keep_compiled_programs()

    options = {
        field.name: getattr(arguments, field.name)
        for field in dataclasses.fields(arguments)
        if field.name != "job"
    }
    with job(arguments.job, arguments, sync_stops=False):
        evaluate_run(**options)


if __name__ == "__main__":
    run(main)
