"""What `evaluate.py` does: score runs, write the files, print the tables.

What is printed: `console.py`; a run's `results.json`: `results_files.py`; reports: `report/`.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path

import jax
from PIL import Image

from glcic_jax.config.scoring import Scoring, check_scoring, protocol_key, relocated
from glcic_jax.config.settings import Config
from glcic_jax.data.pipeline import require_same
from glcic_jax.data.sources import Split
from glcic_jax.errors import UserError
from glcic_jax.evaluation import comparison, console
from glcic_jax.evaluation.images import open_images
from glcic_jax.evaluation.loop import MODEL, Images, evaluate
from glcic_jax.evaluation.model import model_completer
from glcic_jax.evaluation.pictures import picture_grid
from glcic_jax.evaluation.records import RunEvaluation
from glcic_jax.evaluation.report.page import check_directory, write_report
from glcic_jax.evaluation.results import Results
from glcic_jax.evaluation.results_files import RESULTS, read_entries, replace, write_entry
from glcic_jax.imaging import classical
from glcic_jax.imaging.classical import Completer
from glcic_jax.inpainting import generators
from glcic_jax.runtime import jobs


def evaluate_run(workdir: Path, scoring: Scoring) -> None:
    """Score a trained model and the classical fills; print tables, write results and pictures.

    For each protocol writes `<workdir>/results-<protocol>-<split>.png`, and puts the scores into
    `<workdir>/results.json` under the key `<protocol>-<split>`; other keys stay as they are. Of
    several processes, all score and the first one writes and prints.

    Args:
        workdir: of the run.
        scoring: which images, holes, methods and checkpoint.

    Raises:
        UserError: no checkpoint, a setting out of range, unreadable data, a `results.json` that is
            something else, or a file that can't be written. Nothing is written then.
    """
    check_scoring(scoring)
    run = generators.load_run(workdir, scoring.checkpoint)
    config = relocated(run.config, scoring.sources)
    jobs.from_first(lambda: read_entries(workdir / RESULTS))
    image_set = jobs.together(lambda: open_images(config, scoring))
    require_same([image_set])
    completers: dict[str, Completer] = {
        **classical.classical_fills(run.variables["constants"]["mean_pixel"]),
        MODEL: model_completer(run.generator, run.variables),
    }
    completers = {name: completers[name] for name in completers if name in scoring.methods}
    for protocol in dict.fromkeys(scoring.protocols):
        with console.progress_bar(min(len(image_set), scoring.limit or len(image_set))) as progress:
            results = evaluate(
                completers,
                image_set,
                protocol=protocol,
                seed=scoring.seed,
                batch_size=scoring.batch_size,
                limit=scoring.limit,
                progress=progress,
            )
        write = functools.partial(_report, workdir, config, run.step, scoring.split, results)
        jobs.from_first(functools.partial(write, completers, image_set))


def compare_to_report(
    sources: Sequence[str | Path],
    report: Path | None,
    scoring: Scoring,
    classifier: Path | None = None,
) -> None:
    """Compare runs with each other and with the classical fills; print a table, write a report.

    Args:
        sources: the runs, see `comparison.compare_runs`.
        report: directory for `index.html`, `results.md` and `results.json`; None: only print.
        scoring: which images, holes, fills and checkpoints.
        classifier: see `comparison.compare_runs`.

    Raises:
        UserError: none of the runs can be scored, several processes, or `report` can't be written.
    """
    check_scoring(scoring)
    if jax.process_count() > 1:
        raise UserError(
            "several runs, files and names are compared in one process; leave --coordinator and "
            "its like out"
        )
    if report is not None:
        check_directory(report)
    with console.progress_bar(None) as progress:
        contest = comparison.compare_runs(sources, scoring, classifier, progress)
    page = None if report is None else write_report(report, contest)
    console.print_comparison(contest.record, page)


def _report(
    workdir: Path,
    config: Config,
    step: int,
    split: Split,
    results: Results,
    completers: Mapping[str, Completer],
    image_set: Images,
) -> None:
    """Write both files, print both tables."""
    sheet = picture_grid(completers, image_set, protocol=results.protocol, seed=results.seed)
    key = f"{protocol_key(results.protocol)}-{split}"
    evaluation = RunEvaluation(
        split=split,
        step=step,
        image_size=config.image_size,
        sources=tuple(config.data.sources),
        fill=config.model.fill,
        width=config.model.width,
        protocol=results.protocol,
        seed=results.seed,
        count=len(results),
        methods=results.methods(),
    )
    pictures = workdir / f"results-{key}.png"
    replace(pictures, lambda temporary: Image.fromarray(sheet).save(temporary, format="PNG"))
    write_entry(workdir / RESULTS, key, evaluation)
    console.print_evaluation(evaluation, [workdir / RESULTS, pictures])
