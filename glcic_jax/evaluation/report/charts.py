"""A comparison's training curves as SVG, for `report_page.py`."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#999999", "#000000")
"""Okabe & Ito's, which readers who don't see all colours can tell apart."""


def charts(record: Mapping[str, Any]) -> list[str]:
    """Each curve of all runs over the steps, as a heading and an SVG with its legend."""
    titles = {
        "validation": "Hole PSNR on validation images, dB",
        "reconstruction": "Reconstruction loss (running mean)",
        "accuracy": "Accuracy of the discriminators (running mean)",
        "gradient_ratio": "Adversarial over reconstruction gradient (running mean)",
    }
    drawn = []
    strokes = {name: _stroke(number) for number, name in enumerate(record["curves"])}
    for key, title in titles.items():
        lines = {name: curves[key] for name, curves in record["curves"].items() if curves[key]}
        if lines:
            smooth = key != "validation"
            smoothed = {n: _running_mean(v) if smooth else v for n, v in lines.items()}
            chart = _chart(smoothed, strokes)
            drawn.append(f"<h4>{html.escape(title)}</h4>{chart}")
    return drawn


def _running_mean(points: Sequence[Sequence[float]], count: int = 15) -> list[tuple[float, float]]:
    steps = [point[0] for point in points]
    values = np.array([point[1] for point in points])
    means = [values[max(0, i - count + 1) : i + 1].mean() for i in range(len(values))]
    return list(zip(steps, map(float, means), strict=True))


def _chart(lines: Mapping[str, Sequence[Sequence[float]]], strokes: Mapping[str, str]) -> str:
    """Lines over steps as an SVG; `strokes` are the lines' attributes, the same in every chart."""
    width, height, left, bottom = 900, 260, 70, 30
    every = np.array([point for points in lines.values() for point in points], np.float64)
    (low_x, low_y), (high_x, high_y) = every.min(0), every.max(0)
    span_x, span_y = max(high_x - low_x, 1e-12), max(high_y - low_y, 1e-12)

    def place(point: Sequence[float]) -> str:
        x = left + (point[0] - low_x) / span_x * (width - left - 10)
        y = (height - bottom) - (point[1] - low_y) / span_y * (height - bottom - 10)
        return f"{x:.1f},{y:.1f}"

    drawn = []
    for name, points in lines.items():
        # A line of no length with round ends is a dot: a single point shows too.
        places = " ".join(map(place, points if len(points) > 1 else [*points, *points]))
        drawn.append(
            f'<polyline fill="none" {strokes[name]} points="{places}">'
            f"<title>{html.escape(name)}</title></polyline>"
        )
    frame = f'<path d="M{left},10 V{height - bottom} H{width - 10}" fill="none" stroke="#999"/>'
    labels = (
        f'<text x="{left - 6}" y="18" text-anchor="end">{high_y:.3g}</text>'
        f'<text x="{left - 6}" y="{height - bottom}" text-anchor="end">{low_y:.3g}</text>'
        f'<text x="{left}" y="{height - 8}">step {low_x:.0f}</text>'
        f'<text x="{width - 10}" y="{height - 8}" text-anchor="end">{high_x:.0f}</text>'
    )
    legend = " ".join(
        f'<span style="white-space: nowrap"><svg width="26" height="10"><path d="M0,5 H24" '
        f"{strokes[name]}/></svg> {html.escape(name)}</span>"
        for name in lines
    )
    return (
        f'<svg viewBox="0 0 {width} {height}" width="{width}" font-size="12">{frame}{labels}'
        f"{''.join(drawn)}</svg><p>{legend}</p>"
    )


def _stroke(number: int) -> str:
    """Attributes of a line; those after the last colour are dashed, then dotted, then thicker."""
    dashes = ("", ' stroke-dasharray="6 4"', ' stroke-dasharray="1 4"')
    turn, color = divmod(number, len(_COLORS))
    thicker, dash = divmod(turn, len(dashes))
    width = f'stroke-width="{1.5 + 1.5 * thicker}" stroke-linecap="round"'
    return f'stroke="{_COLORS[color]}" {width}{dashes[dash]}'
