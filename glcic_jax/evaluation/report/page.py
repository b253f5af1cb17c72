"""A comparison as a page that opens from disk, as a Markdown table and as `results.json`.

Everything shown is read from the record of `comparison.compare_runs`, so the page's numbers are
those of `results.json`. The page needs no network: pictures and curves are inside it.
"""

from __future__ import annotations

import base64
import functools
import html
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from glcic_jax.errors import UserError
from glcic_jax.evaluation import metrics
from glcic_jax.evaluation.records import Comparison, Contest, ProtocolResult
from glcic_jax.evaluation.report import tables
from glcic_jax.evaluation.report.charts import charts
from glcic_jax.evaluation.report.tables import Row
from glcic_jax.evaluation.results_files import RESULTS, comparison_text, holds_comparison
from glcic_jax.runtime import files

PAGE, TABLE, NUMBERS = "index.html", "results.md", RESULTS

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 76rem; padding: 0 1rem;
  color: #1d1d1f; background: #fff; }
h1 { font-size: 1.7rem; } h2 { margin-top: 2.5rem; border-bottom: 1px solid #ccc; }
table { border-collapse: collapse; margin-bottom: .8rem; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .7rem; text-align: right; border-bottom: 1px solid #eee; }
th:first-child, td:first-child { text-align: left; white-space: nowrap; }
div.wide { overflow-x: auto; } img { max-width: 100%; image-rendering: pixelated; }
p.note { color: #555; } p.warning { background: #fff3cd; padding: .5rem 1rem; }
"""


def write_report(directory: Path, contest: Contest) -> Path:
    """Write `index.html`, `results.md` and `results.json`; the path of the page.

    Call `check_directory` before the scoring: this one replaces what is there.

    Raises:
        UserError: the directory can't be written to.
    """
    texts = {
        NUMBERS: comparison_text(contest.record),
        TABLE: tables.markdown(contest.record),
        PAGE: render_page(contest),
    }
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            files.replace_file(
                directory / name, functools.partial(Path.write_text, data=text, encoding="utf-8")
            )
    except OSError as error:
        raise UserError(f"can't write the report to {directory}: {error}") from error
    return directory / PAGE


def check_directory(directory: Path) -> None:
    """Find out before the scoring whether a report can be written to `directory`. Writes nothing.

    Raises:
        UserError: it is a file, can't be made or written to, or holds files of a report's names
            that no report wrote, such as the `results.json` of a run.
    """
    try:
        files.probe(directory)
        there = [name for name in (PAGE, TABLE, NUMBERS) if (directory / name).exists()]
    except OSError as error:
        raise UserError(f"can't write a report to {directory}: {error.strerror}") from error
    if there and not holds_comparison(directory / NUMBERS):
        raise UserError(
            f"{directory} already holds {', '.join(there)}, which no report wrote; choose another "
            "directory, or move them away"
        )


def render_page(contest: Contest) -> str:
    """The whole page as text."""
    record = contest.record
    protocols = record.protocols
    shown = [html.escape(name) for name in (*protocols, "runs")]
    links = " · ".join(f'<a href="#{name}">{name}</a>' for name in shown)
    parts = [
        "<h1>Completed images, compared</h1>",
        f"<p>{html.escape(tables.title(record))}. Every method completed the same images "
        f"with the same holes. {links}</p>",
        *(
            f'<p class="warning">{html.escape(name)} was left out: {html.escape(reason)}</p>'
            for name, reason in record.left_out.items()
        ),
    ]
    for name, found in protocols.items():
        title = html.escape(name)
        heading = f'<h2 id="{title}">Holes: {title}</h2>'
        parts += [heading, *_protocol(found, contest.pictures[name])]
    body = "\n".join([*parts, *_runs(record)])
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        "<title>Completed images, compared</title>"
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head>\n'
        f"<body>\n{body}\n</body></html>\n"
    )


def _runs(record: Comparison) -> list[str]:
    """What does not depend on the holes: the runs and their training."""
    return [
        '<h2 id="runs">Runs</h2>',
        _table(*tables.run_table(record)),
        _note(
            "Images and minutes are those of the whole run, of training steps alone, whichever of "
            "its checkpoints was scored. ms an image: completing, in calls of 64 images."
        ),
        "<h3>Training</h3>",
        *charts(record.curves),
        "<h3>Adversarial balance</h3>",
        _table(*tables.health_table(record)),
        _note(
            "Means over the last third of the joint phase. Gradient ratio: norm of the adversarial "
            "over that of the reconstruction gradient at the generator's output. Saturated: right "
            "on at least 95 % of both kinds of image."
        ),
    ]


def _protocol(found: ProtocolResult, pictures: Mapping[str, np.ndarray]) -> list[str]:
    """All that was found with holes of one kind."""
    return [
        "<h3>Scores</h3>",
        _table(*tables.main_table(found)),
        _note(
            "Means over images of the 8-bit completed image, with 95 % bootstrap intervals over "
            "images; they do not cover what another training run would give. A perfect copy scores "
            f"{metrics.PSNR_CAP:.2f} dB, SSIM 1, Dice 1, L2 0."
        ),
        *_seeds(found),
        "<h3>Hole PSNR in dB, by the hole's share of the image</h3>",
        _table(*tables.bin_table(found)),
        *_perception(found),
        *(_goals(found) if found.goals else []),
        "<h3>Pictures</h3>",
        *(
            f'<h4>{html.escape(title)}</h4><div class="wide">{_picture(title, sheet)}</div>'
            for title, sheet in pictures.items()
        ),
        "<h3>Any two methods</h3>",
        _table(*tables.pair_table(found)),
        _note(
            "Paired over images: bootstrap interval and sign-flip permutation test. Both concern "
            "the choice of images for these two trained networks: two seeds of one variant can "
            "differ as surely. The tests are not corrected for the number of pairs."
        ),
    ]


def _seeds(found: ProtocolResult) -> list[str]:
    means, differences = tables.seed_tables(found)
    if not means[1]:
        return []
    return [
        "<h3>Over seeds</h3>",
        _table(*means),
        *([_table(*differences)] if differences[1] else []),
        _note(
            "Runs that differ in their seed only, with 95 % intervals of Student's and of Welch's "
            "t over the runs: they cover what another seed would give, not the choice of images."
        ),
    ]


def _perception(found: ProtocolResult) -> list[str]:
    if not found.perception:
        return []
    accuracy = found.perception.accuracy
    return [
        "<h3>What a classifier sees</h3>",
        _table(*tables.perception_table(found.perception)),
        _note(
            "Same class: how often a small CIFAR-100 classifier names the same class in the "
            "completed image as in the original. Fréchet distance between its features of the "
            "completed and of the original images (not Inception's: comparable here only). 95 % "
            f"intervals over images. The classifier is right on {accuracy:.1%} of the test images."
        ),
    ]


def _goals(found: ProtocolResult) -> list[str]:
    ceiling = next(iter(found.methods.values())).whole["keras_dice_ceiling"]
    return [
        "<h3>The study's goals</h3>",
        _table(*tables.goal_table(found)),
        _note(
            "They were set for CIFAR-100 with one rectangle. L2 in millions: squared differences "
            "on the 0..255 scale, summed over an image. Dice: "
            "2Σxy / (Σx² + Σy²). Keras examples write 2Σxy / (Σx + Σy), with which a perfect copy "
            f"of these images scores only {ceiling:.3f}."
        ),
    ]


def _table(header: Row, rows: Sequence[Row]) -> str:
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in header)
    body = "\n".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f'<div class="wide"><table><tr>{head}</tr>\n{body}\n</table></div>'


def _note(text: str) -> str:
    return f'<p class="note">{html.escape(text)}</p>'


def _picture(title: str, sheet_u8: np.ndarray) -> str:
    buffer = io.BytesIO()
    Image.fromarray(sheet_u8).save(buffer, format="PNG", optimize=True)
    data = base64.b64encode(buffer.getvalue()).decode()
    return f'<img alt="{html.escape(title)}" src="data:image/png;base64,{data}">'
