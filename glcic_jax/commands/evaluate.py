"""`glcic-jax evaluate --workdir runs/x`: score runs beside classical fills.

Any number of runs, files and names is compared on identical images and holes.
"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Annotated

import tyro

from glcic_jax.commands import evaluate_photographs
from glcic_jax.commands.command_line import ALONE, JobOptions, job, parse
from glcic_jax.config.scoring import STANDARD, Scoring
from glcic_jax.errors import UserError


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Score trained runs and classical fills on the same images and holes.

    One run: prints a table, writes a picture grid to WORKDIR/results-PROTOCOL-SPLIT.png and the
    scores to WORKDIR/results.json under the key PROTOCOL-SPLIT; what else that file holds stays.
    Several, or a file or a name: prints a table that compares them; with --report also writes a
    page, the table in Markdown and results.json there.
    On whole photographs: glcic-jax evaluate photographs --help.
    """

    workdir: tuple[str, ...]
    """Directories that train.py wrote, files that glcic-jax export wrote, or names of generators
    that come with the package; any number of them."""
    report: Path | None = None
    """Directory for a page that compares the runs; opens from disk."""
    scoring: Annotated[Scoring, tyro.conf.arg(name="")] = STANDARD
    classifier: Path | None = None
    """With --report: file that glcic-jax train-classifier wrote. Adds how often it sees the same
    class in the completed image as in the original, and the Frechet distance of its features."""
    job: Annotated[JobOptions, tyro.conf.arg(name="")] = ALONE


def main() -> None:
    """Read the command line, then load what is slow to import."""
    if sys.argv[1:2] == ["photographs"]:
        sys.argv = [f"{sys.argv[0]} photographs", *sys.argv[2:]]
        evaluate_photographs.main()
        return
    arguments = parse(Arguments, description=Arguments.__doc__)
    if not arguments.workdir:
        raise UserError("--workdir names nothing; give a run, a file or a name, or several")
    paths = [Path(name).expanduser() for name in arguments.workdir]
    is_run = len(paths) == 1 and not paths[0].is_file() and _is_path(arguments.workdir[0])
    if arguments.classifier is not None and arguments.report is None:
        raise UserError("--classifier is used by the report: say where it goes, --report DIRECTORY")
    from glcic_jax.evaluation.reporting import compare_to_report, evaluate_run
    from glcic_jax.runtime.devices import keep_compiled_programs

    keep_compiled_programs()
    with job(arguments.job, arguments, sync_stops=False):
        if arguments.report is None and is_run:
            evaluate_run(paths[0], arguments.scoring)
        else:
            compare_to_report(
                arguments.workdir, arguments.report, arguments.scoring, arguments.classifier
            )


def _is_path(name: str) -> bool:
    """Whether this is the directory of a run, or would be, and not the name of a generator."""
    return Path(name).expanduser().is_dir() or Path(name).name != name
