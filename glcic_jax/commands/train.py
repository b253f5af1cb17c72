"""`glcic-jax train --workdir runs/x`: train a network, or go on with a run."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Annotated

import tyro

from glcic_jax.commands.command_line import ALONE, JobOptions, job, parse
from glcic_jax.config.presets import PRESETS, preset
from glcic_jax.config.settings import Config


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Train the completion network and its discriminators; run it again to resume."""

    workdir: Path
    """Directory of the run: config.json, checkpoints, metrics.jsonl, TensorBoard, samples."""
    extend: bool = False
    """Go on with a run for more steps: give its own options, and longer phases."""
    preset: str = "photos"
    """Settings to start from; every other option overrides one of them."""
    config: Annotated[Config, tyro.conf.arg(name="")] = PRESETS["photos"]
    job: Annotated[JobOptions, tyro.conf.arg(name="")] = ALONE


def parse_arguments() -> Arguments:
    """Read the command line; `--preset` decides the defaults of all other options."""
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument("--preset", default="photos")
    name = first.parse_known_args()[0].preset
    return parse(
        Arguments,
        default=Arguments(tyro.MISSING, preset=name, config=preset(name)),
        description=f"{Arguments.__doc__} Presets: {', '.join(PRESETS)}.",
    )


def main() -> None:
    """Read the command line, then load what is slow to import."""
    arguments = parse_arguments()
    # Imported late, so that --help and a mistyped option answer at once.
    from glcic_jax.runtime.devices import keep_compiled_programs, set_cpu_devices
    from glcic_jax.training.loop import train

    set_cpu_devices(arguments.config.loop.cpu_devices)
    keep_compiled_programs()
    with job(arguments.job, arguments, sync_stops=True):
        train(arguments.workdir, arguments.config, extend=arguments.extend)
