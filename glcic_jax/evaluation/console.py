"""What `evaluate.py` prints: tables, a progress bar, and where the files are."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table

from glcic_jax.evaluation.loop import MODEL
from glcic_jax.evaluation.metrics import METRICS, PSNR_CAP, REGIONS, Region
from glcic_jax.evaluation.records import Comparison, RunEvaluation
from glcic_jax.evaluation.report import tables
from glcic_jax.evaluation.results import PSNR_OF_MEAN_MSE
from glcic_jax.runtime import jobs


def print_evaluation(evaluation: RunEvaluation, written: Sequence[Path]) -> None:
    """The scores of a run with holes of one kind, over both regions."""
    console = _console(width=120)
    for region in REGIONS:
        console.print(score_table(evaluation, region))
    console.print(
        f"step {evaluation.step}, seed {evaluation.seed}; {' '.join(map(str, written))}",
        soft_wrap=True,
    )


def print_comparison(comparison: Comparison, page: Path | None) -> None:
    """The main table of each protocol, and why runs were left out."""
    console = _console(width=160)
    for protocol, found in comparison.protocols.items():
        header, rows = tables.main_table(found)
        table = Table(title=protocol, box=SIMPLE_HEAD, padding=(0, 1))
        for number, title in enumerate(header):
            table.add_column(title, justify="right" if number else "left")
        for row in rows:
            table.add_row(*map(escape, row))
        console.print(table)
    for name, reason in comparison.left_out.items():
        console.print(f"{name} was left out: {reason}", markup=False, soft_wrap=True)
    where = "not written; --report DIRECTORY writes one" if page is None else page
    console.print(f"report: {where}", soft_wrap=True)


def score_table(evaluation: RunEvaluation, region: Region) -> Table:
    """A table for the terminal: methods as rows, at most 120 columns wide."""
    summaries = {name: scores.region(region) for name, scores in evaluation.methods.items()}
    first = next(iter(summaries.values()))
    place = "inside the hole" if region == "hole" else "over the whole image"
    table = Table(
        title=f"{evaluation.protocol}: {evaluation.count} images, {place}",
        caption=f"A perfect copy scores PSNR {PSNR_CAP:.2f} dB, "
        f"Keras Dice {first['keras_dice_ceiling']:.3f}, "
        f"cross entropy {first['cross_entropy_floor']:.3f}; SSIM, Dice and IoU 1.",
        box=SIMPLE_HEAD,
        padding=(0, 1),
    )
    table.add_column("method", no_wrap=True)
    columns = [(m.title, name, m.digits) for name, m in METRICS.items() if not m.is_bound]
    columns.insert(1, ("of mean MSE", PSNR_OF_MEAN_MSE, METRICS["psnr"].digits))
    for title, _, _ in columns:
        table.add_column(title, justify="right", min_width=6)
    for name, summary in summaries.items():
        values = [f"{summary[metric]:.{digits}f}" for _, metric, digits in columns]
        table.add_row(name, *values, style="bold" if name == MODEL else None)
    return table


@contextlib.contextmanager
def progress_bar(total: int | None) -> Iterator[Callable[[int], None]]:
    """A progress bar on stderr where that is a terminal; takes the number of images done."""
    console = Console(stderr=True)
    shown = console.is_terminal and jobs.is_first()
    with Progress(console=console, transient=True, disable=not shown) as bar:
        task = bar.add_task("images", total=total)
        yield lambda done: bar.update(task, completed=done)


def _console(width: int) -> Console:
    """Of the terminal's own width; of this one where the output goes to a file."""
    console = Console()
    if not console.is_terminal:
        console.width = width
    return console
