"""A comparison as a page that opens from disk, as a Markdown table and as `results.json`.

Everything shown is read from the record of `comparison.compare_runs`, so the page's numbers are
those of `results.json`. The page needs no network: pictures and curves are inside it.
"""

from __future__ import annotations

import base64
import html
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from glcic_jax import metrics
from glcic_jax.comparison import GOALS, Contest
from glcic_jax.errors import UserError

PAGE, TABLE, NUMBERS = "index.html", "results.md", "results.json"

Row = Sequence[str]

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 76rem; padding: 0 1rem;
  color: #1d1d1f; background: #fff; }
h1 { font-size: 1.7rem; } h2 { margin-top: 2.5rem; border-bottom: 1px solid #ccc; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .7rem; text-align: right; border-bottom: 1px solid #eee; }
th:first-child, td:first-child { text-align: left; }
div.wide { overflow-x: auto; } img { max-width: 100%; image-rendering: pixelated; }
p.note { color: #555; } p.warning { background: #fff3cd; padding: .5rem 1rem; }
"""
_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#999999", "#000000")
"""Okabe & Ito's, which readers who don't see all colours can tell apart."""


def write_report(directory: Path, contest: Contest) -> Path:
    """Write `index.html`, `results.md` and `results.json`; the path of the page.

    Raises:
        UserError: the directory can't be written to.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        numbers = json.dumps(contest.record, indent=2, allow_nan=False) + "\n"
        (directory / NUMBERS).write_text(numbers, encoding="utf-8")
        (directory / TABLE).write_text(markdown(contest.record), encoding="utf-8")
        page = directory / PAGE
        page.write_text(render_page(contest), encoding="utf-8")
    except OSError as error:
        raise UserError(f"can't write the report to {directory}: {error}") from error
    return page


def check_directory(directory: Path) -> None:
    """Find out before the scoring whether a report can be written to `directory`.

    Raises:
        UserError: it is a file, or can't be made.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"can't write a report to {directory}: {error.strerror}") from error


# --- Tables -------------------------------------------------------------------------------------


def main_table(record: Mapping[str, Any]) -> tuple[Row, list[Row]]:
    """Header and rows: every method's main scores, means with 95 % intervals."""
    header = (
        "method",
        "hole PSNR dB",
        "hole SSIM",
        "hole L1",
        "whole PSNR dB",
        "whole SSIM",
        "L2 millions",
        "Dice",
    )
    rows: list[Row] = []
    for name, scores in record["methods"].items():
        interval = record["intervals"][name]
        rows.append(
            (
                name,
                _interval(interval["hole"]["psnr"], 2),
                _interval(interval["hole"]["ssim"], 3),
                _interval(interval["hole"]["l1"], 4),
                _interval(interval["whole"]["psnr"], 2),
                _interval(interval["whole"]["ssim"], 3),
                _interval(interval["whole"]["l2_millions"], 3),
                f"{scores['whole']['dice']:.4f}",
            )
        )
    return header, rows


def pair_table(record: Mapping[str, Any]) -> tuple[Row, list[Row]]:
    """Header and rows: differences in hole PSNR between any two methods."""
    rows: list[Row] = [
        (
            f"{pair['one']} minus {pair['other']}",
            _interval(pair["difference"], 3),
            f"{pair['p']:.2g}" if pair["p"] > 0.0006 else "< 0.001",
        )
        for pair in record["paired"]
    ]
    return ("pair", "difference in hole PSNR, dB", "p"), rows


def bin_table(record: Mapping[str, Any]) -> tuple[Row, list[Row]]:
    """Header and rows: hole PSNR by the hole's share of the image."""
    first = next(iter(record["methods"].values()))["bins"]
    header = ("method", *(f"{b['above']:.0%} to {b['up_to']:.0%} ({b['count']})" for b in first))
    rows: list[Row] = [
        (name, *(f"{b['hole']['psnr']:.2f}" for b in scores["bins"]))
        for name, scores in record["methods"].items()
    ]
    return header, rows


def run_table(record: Mapping[str, Any]) -> tuple[Row, list[Row]]:
    """Header and rows: what each run is, and what it cost."""
    header = (
        "run",
        "generator",
        "discriminator",
        "width",
        "seed",
        "parameters",
        "step scored",
        "images trained on",
        "minutes",
        "ms an image",
    )
    rows: list[Row] = []
    for name, run in record["runs"].items():
        training = run["training"]
        rows.append(
            (
                name,
                run["generator"],
                run["discriminator"],
                str(run["width"]),
                str(run["seed"]),
                f"{run['parameters']:,}",
                f"{run['step']:,}",
                f"{training['images']:,.0f}",
                f"{training['seconds'] / 60:.1f}",
                f"{record['seconds_per_image'][name] * 1e3:.2f}",
            )
        )
    return header, rows


def goal_table(record: Mapping[str, Any]) -> tuple[Row, list[Row]]:
    """Header and rows: whether each run reaches the study's goals."""
    titles = [f"{goal}: L2 ≤ {l2}, Dice ≥ {dice}" for goal, (dice, l2) in GOALS.items()]
    rows: list[Row] = []
    for name, reached in record["goals"].items():
        whole = record["methods"][name]["whole"]
        cells = [
            f"{_yes(reached[goal]['l2'])}, {_yes(reached[goal]['dice'])} "
            f"(Keras Dice {_yes(reached[goal]['keras_dice'])})"
            for goal in GOALS
        ]
        rows.append(
            (
                name,
                f"{whole['l2_millions']:.3f}",
                f"{whole['dice']:.4f}",
                f"{whole['keras_dice']:.3f} of {whole['keras_dice_ceiling']:.3f}",
                *cells,
            )
        )
    return ("run", "L2", "Dice", "Keras Dice of its ceiling", *titles), rows


def health_table(record: Mapping[str, Any]) -> tuple[Row, list[Row]]:
    """Header and rows: the adversarial balance at the end of the joint phase."""
    rows: list[Row] = []
    for name, run in record["runs"].items():
        balance = run["health"]
        if balance is None:
            rows.append((name, "no joint phase", "", "", ""))
            continue
        rows.append(
            (
                name,
                f"{balance['accuracy_real']:.0%}",
                f"{balance['accuracy_completed']:.0%}",
                f"{balance['gradient_ratio']:.3f}",
                f"{balance['saturated']:.0%}" + (" ⚠" if balance["saturated"] > 0.5 else ""),
            )
        )
    header = ("run", "right on real", "right on completed", "gradient ratio", "reports saturated")
    return header, rows


def perception_table(record: Mapping[str, Any]) -> tuple[Row, list[Row]]:
    """Header and rows: what a classifier sees in the completed images."""
    rows: list[Row] = [
        (name, f"{seen['same_class']:.1%}", f"{seen['frechet_distance']:.3f}")
        for name, seen in record["perception"].items()
    ]
    return ("method", "same class as in the original", "Fréchet distance"), rows


def markdown(record: Mapping[str, Any]) -> str:
    """The main table in Markdown."""
    header, rows = main_table(record)
    lines = [f"| {' | '.join(header)} |", "|---" * len(header) + "|"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    if record["perception"]:
        header, rows = perception_table(record)
        lines += ["", f"| {' | '.join(header)} |", "|---" * len(header) + "|"]
        lines += [f"| {' | '.join(row)} |" for row in rows]
    return f"{_title(record)}\n\n" + "\n".join(lines) + "\n"


def _interval(interval: Sequence[float], digits: int) -> str:
    mean, low, high = (f"{value:.{digits}f}" for value in interval)
    return f"{mean} ({low}..{high})"


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _title(record: Mapping[str, Any]) -> str:
    return (
        f"{record['count']:,} {record['split']} images of {', '.join(record['sources'])}, "
        f"{record['image_size']} px, holes: {record['protocol']}, seed {record['seed']}"
    )


# --- The page -----------------------------------------------------------------------------------


def render_page(contest: Contest) -> str:
    """The whole page as text."""
    record = contest.record
    some = next(iter(record["methods"].values()))["whole"]
    parts = [
        "<h1>Completed images, compared</h1>",
        f"<p>{html.escape(_title(record))}. Every method completed the same images with the same "
        "holes.</p>",
        *(
            f'<p class="warning">{html.escape(name)} was left out: {html.escape(reason)}</p>'
            for name, reason in record["left_out"].items()
        ),
        "<h2>Scores</h2>",
        _table(*main_table(record)),
        _note(
            "Means over images of the 8-bit completed image, with 95 % bootstrap intervals over "
            "images; they do not cover what another training run would give. A perfect copy scores "
            f"{metrics.PSNR_CAP:.2f} dB, SSIM 1, Dice 1, L2 0."
        ),
        "<h2>Hole PSNR in dB, by the hole's share of the image</h2>",
        _table(*bin_table(record)),
        *_perception(record),
        "<h2>Runs</h2>",
        _table(*run_table(record)),
        _note("Minutes of training steps alone. ms an image: completing, in calls of 64 images."),
        "<h2>The study's goals</h2>",
        _table(*goal_table(record)),
        _note(
            "L2 in millions: squared differences on the 0..255 scale, summed over an image. Dice: "
            "2Σxy / (Σx² + Σy²). Keras examples write 2Σxy / (Σx + Σy), with which a perfect copy "
            f"of these images scores only {some['keras_dice_ceiling']:.3f}."
        ),
        "<h2>Training</h2>",
        *_charts(record),
        "<h2>Adversarial balance</h2>",
        _table(*health_table(record)),
        _note(
            "Means over the last third of the joint phase. Gradient ratio: norm of the adversarial "
            "over that of the reconstruction gradient at the generator's output. Saturated: right "
            "on at least 95 % of both kinds of image."
        ),
        "<h2>Pictures</h2>",
        *(
            f'<h3>{html.escape(title)}</h3><div class="wide">{_picture(title, sheet)}</div>'
            for title, sheet in contest.pictures.items()
        ),
        "<h2>Any two methods</h2>",
        _table(*pair_table(record)),
        _note("Paired over images: bootstrap interval and sign-flip permutation test."),
    ]
    body = "\n".join(parts)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        "<title>Completed images, compared</title>"
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head>\n'
        f"<body>\n{body}\n</body></html>\n"
    )


def _perception(record: Mapping[str, Any]) -> list[str]:
    if not record["perception"]:
        return []
    return [
        "<h2>What a classifier sees</h2>",
        _table(*perception_table(record)),
        _note(
            "Same class: how often a small CIFAR-100 classifier names the same class in the "
            "completed image as in the original. Fréchet distance between its features of the "
            "completed and of the original images (not Inception's: comparable here only)."
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


def _charts(record: Mapping[str, Any]) -> list[str]:
    titles = {
        "validation": "Hole PSNR on validation images, dB",
        "reconstruction": "Reconstruction loss (running mean)",
        "accuracy": "Accuracy of the discriminators (running mean)",
        "gradient_ratio": "Adversarial over reconstruction gradient (running mean)",
    }
    charts = []
    for key, title in titles.items():
        lines = {name: curves[key] for name, curves in record["curves"].items() if curves[key]}
        if lines:
            smooth = key != "validation"
            chart = _chart({n: _running_mean(v) if smooth else v for n, v in lines.items()})
            charts.append(f"<h3>{html.escape(title)}</h3>{chart}")
    return charts


def _running_mean(points: Sequence[Sequence[float]], count: int = 15) -> list[tuple[float, float]]:
    steps = [point[0] for point in points]
    values = np.array([point[1] for point in points])
    means = [values[max(0, i - count + 1) : i + 1].mean() for i in range(len(values))]
    return list(zip(steps, map(float, means), strict=True))


def _chart(lines: Mapping[str, Sequence[Sequence[float]]]) -> str:
    """Lines over steps as an SVG."""
    width, height, left, bottom = 900, 260, 70, 30
    every = np.array([point for points in lines.values() for point in points], np.float64)
    (low_x, low_y), (high_x, high_y) = every.min(0), every.max(0)
    span_x, span_y = max(high_x - low_x, 1e-12), max(high_y - low_y, 1e-12)

    def place(point: Sequence[float]) -> str:
        x = left + (point[0] - low_x) / span_x * (width - left - 10)
        y = (height - bottom) - (point[1] - low_y) / span_y * (height - bottom - 10)
        return f"{x:.1f},{y:.1f}"

    drawn = []
    for number, (name, points) in enumerate(lines.items()):
        dash = ' stroke-dasharray="6 3"' if number >= len(_COLORS) else ""
        color = _COLORS[number % len(_COLORS)]
        drawn.append(
            f'<polyline fill="none" stroke="{color}" stroke-width="1.5"{dash} '
            f'points="{" ".join(map(place, points))}"><title>{html.escape(name)}</title></polyline>'
        )
    frame = f'<path d="M{left},10 V{height - bottom} H{width - 10}" fill="none" stroke="#999"/>'
    labels = (
        f'<text x="{left - 6}" y="18" text-anchor="end">{high_y:.3g}</text>'
        f'<text x="{left - 6}" y="{height - bottom}" text-anchor="end">{low_y:.3g}</text>'
        f'<text x="{left}" y="{height - 8}">step {low_x:.0f}</text>'
        f'<text x="{width - 10}" y="{height - 8}" text-anchor="end">{high_x:.0f}</text>'
    )
    legend = " ".join(
        f'<span style="color:{_COLORS[number % len(_COLORS)]}">■ {html.escape(name)}</span>'
        for number, name in enumerate(lines)
    )
    return (
        f'<svg viewBox="0 0 {width} {height}" width="{width}" font-size="12">{frame}{labels}'
        f"{''.join(drawn)}</svg><p>{legend}</p>"
    )
