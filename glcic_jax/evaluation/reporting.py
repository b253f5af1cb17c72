"""What `evaluate.py` shows of an evaluation: tables, a sheet of pictures, `results.json`."""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from PIL import Image
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table

from glcic_jax.config.scoring import HoleProtocol, Scoring, check_scoring
from glcic_jax.data.pipeline import require_same
from glcic_jax.data.sources import Split, open_evaluation
from glcic_jax.errors import UserError
from glcic_jax.evaluation import comparison, metrics
from glcic_jax.evaluation.loop import MODEL, Images, Results, evaluate, examples
from glcic_jax.evaluation.model import model_completer
from glcic_jax.evaluation.report import tables
from glcic_jax.evaluation.report.page import check_directory, write_report
from glcic_jax.imaging import classical
from glcic_jax.imaging.classical import Completer
from glcic_jax.imaging.sheets import draw_sheet
from glcic_jax.inpainting import generators
from glcic_jax.runtime import files, jobs

_COLUMNS = (
    ("PSNR dB", "psnr", 2),
    ("of mean MSE", "psnr_of_mean_mse", 2),
    ("SSIM", "ssim", 3),
    ("L1", "l1", 4),
    ("MSE", "mse", 5),
    ("L2 millions", "l2_millions", 3),
    ("Dice", "dice", 4),
    ("Keras Dice", "keras_dice", 3),
    ("IoU", "iou", 4),
    ("cross entropy", "cross_entropy", 3),
)


def score_table(results: Results, region: metrics.Region) -> Table:
    """A table for the terminal: methods as rows, at most 120 columns wide."""
    summaries = {name: results.summary(name, region) for name in results.scores}
    first = next(iter(summaries.values()))
    place = "inside the hole" if region == "hole" else "over the whole image"
    table = Table(
        title=f"{results.protocol}: {len(results)} images, {place}",
        caption=f"A perfect copy scores PSNR {metrics.PSNR_CAP:.2f} dB, "
        f"Keras Dice {first['keras_dice_ceiling']:.3f}, "
        f"cross entropy {first['cross_entropy_floor']:.3f}; SSIM, Dice and IoU 1.",
        box=SIMPLE_HEAD,
        padding=(0, 1),
    )
    table.add_column("method", no_wrap=True)
    for title, _, _ in _COLUMNS:
        table.add_column(title, justify="right", min_width=6)
    for name, summary in summaries.items():
        values = [f"{summary[metric]:.{digits}f}" for _, metric, digits in _COLUMNS]
        table.add_row(name, *values, style="bold" if name == MODEL else None)
    return table


def picture_grid(
    completers: Mapping[str, Completer],
    image_set: Images,
    *,
    protocol: HoleProtocol,
    seed: int,
    count: int = 8,
) -> np.ndarray:
    """The first images as a labelled sheet: input with its hole in grey, each method, original.

    The masks are `evaluate`'s. Returns uint8 image_HxWx3, see `draw_sheet`.
    """
    indices = np.arange(min(count, len(image_set)))
    truth, mask = examples(image_set, indices, protocol, seed)
    blanked = np.where(mask > 0.5, np.uint8(0), truth)
    rows = {
        "input": np.where(mask > 0.5, np.uint8(128), truth),
        **{name: completer(blanked, mask) for name, completer in completers.items()},
        "original": truth,
    }
    return draw_sheet(rows)


# --- Evaluation of a run ------------------------------------------------------------------------


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
    jobs.from_first(lambda: _read_results(workdir / "results.json"))
    image_set = jobs.together(lambda: open_evaluation(run.config, scoring.split))
    require_same([image_set])
    completers: dict[str, Completer] = {
        **classical.classical_fills(run.variables["constants"]["mean_pixel"]),
        MODEL: model_completer(run.generator, run.variables),
    }
    completers = {name: completers[name] for name in completers if name in scoring.methods}
    for protocol in dict.fromkeys(scoring.protocols):
        with _progress(min(len(image_set), scoring.limit or len(image_set))) as progress:
            results = evaluate(
                completers,
                image_set,
                protocol=protocol,
                seed=scoring.seed,
                batch_size=scoring.batch_size,
                limit=scoring.limit,
                progress=progress,
            )
        write = functools.partial(_report, workdir, run, scoring.split, results)
        jobs.from_first(functools.partial(write, completers, image_set))


def compare_to_report(
    workdirs: Sequence[Path],
    report: Path,
    scoring: Scoring,
    classifier: Path | None = None,
) -> None:
    """Compare runs with each other and with the classical fills; write a report, print its table.

    Args:
        workdirs: of the runs, see `comparison.compare_runs`.
        report: directory for `index.html`, `results.md` and `results.json`.
        scoring: which images, holes, fills and checkpoints.
        classifier: see `comparison.compare_runs`.

    Raises:
        UserError: none of the runs can be scored, several processes, or `report` can't be written.
    """
    check_scoring(scoring)
    if jax.process_count() > 1:
        raise UserError("--report compares in one process; leave --coordinator and its like out")
    check_directory(report)
    with _progress(None) as progress:
        contest = comparison.compare_runs(workdirs, scoring, classifier, progress)
    page = write_report(report, contest)
    console = Console()
    if not console.is_terminal:
        console.width = 160
    for protocol, found in contest.record["protocols"].items():
        header, rows = tables.main_table(found)
        table = Table(title=protocol, box=SIMPLE_HEAD, padding=(0, 1))
        for number, title in enumerate(header):
            table.add_column(title, justify="right" if number else "left")
        for row in rows:
            table.add_row(*map(escape, row))
        console.print(table)
    for name, reason in contest.record["left_out"].items():
        console.print(f"{name} was left out: {reason}", markup=False, soft_wrap=True)
    console.print(f"report: {page}", soft_wrap=True)


def _report(
    workdir: Path,
    run: generators.Run,
    split: Split,
    results: Results,
    completers: Mapping[str, Completer],
    image_set: Images,
) -> None:
    """Write both files, print both tables."""
    protocol: Any = results.protocol
    sheet = picture_grid(completers, image_set, protocol=protocol, seed=results.seed)
    key = f"{protocol}-{split}"
    entry = {
        "split": split,
        "step": run.step,
        "image_size": run.config.image_size,
        "sources": list(run.config.data.sources),
        "fill": run.config.model.fill,
        "width": run.config.model.width,
        **results.to_dict(),
    }
    written = _write(workdir, key, entry, sheet)
    console = Console()
    if not console.is_terminal:
        console.width = 120
    for region in metrics.REGIONS:
        console.print(score_table(results, region))
    console.print(
        f"step {run.step}, seed {results.seed}; {' '.join(map(str, written))}", soft_wrap=True
    )


@contextlib.contextmanager
def _progress(total: int | None) -> Iterator[Callable[[int], None]]:
    """A progress bar on stderr where that is a terminal."""
    console = Console(stderr=True)
    shown = console.is_terminal and jobs.is_first()
    with Progress(console=console, transient=True, disable=not shown) as bar:
        task = bar.add_task("images", total=total)
        yield lambda done: bar.update(task, completed=done)


def _write(
    workdir: Path, key: str, entry: dict[str, Any], sheet_u8: np.ndarray
) -> tuple[Path, Path]:
    """Save the pictures, and the scores among those of other keys; the paths of both files."""
    results_path, grid_path = workdir / "results.json", workdir / f"results-{key}.png"
    # Read again: another evaluation may have finished in the meantime.
    document = {**_read_results(results_path), key: entry}
    text = json.dumps(document, indent=2, allow_nan=False) + "\n"
    _replace(grid_path, lambda temporary: Image.fromarray(sheet_u8).save(temporary, format="PNG"))
    _replace(results_path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
    return results_path, grid_path


def _read_results(path: Path) -> dict[str, Any]:
    """The entries of an existing `results.json`; none where there is no file."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise UserError(f"{path} can't be read ({error}); move it away and try again") from error
    if not isinstance(document, dict):
        raise UserError(f"{path} holds no results of an evaluation; move it away and try again")
    return document


def _replace(path: Path, write: Callable[[Path], Any]) -> None:
    try:
        files.replace_file(path, write)
    except OSError as error:
        raise UserError(f"can't write {path}: {error.strerror or error}") from error
