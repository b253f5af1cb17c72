"""A comparison's training curves as SVG, for `page.py`."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence

import numpy as np

from glcic_jax.evaluation.curves import TITLES, shown_points
from glcic_jax.evaluation.records import Curves, Point

_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#999999", "#000000")
"""Okabe & Ito's, which readers who don't see all colours can tell apart."""


def charts(curves: Mapping[str, Curves]) -> list[str]:
    """Each curve of all runs over the steps, as a heading and an SVG with its legend.

    Args:
        curves: by run; a run keeps its line in every chart.
    """
    strokes = {name: _stroke(number) for number, name in enumerate(curves)}
    drawn = []
    for key, title in TITLES.items():
        lines = {name: shown_points(of_run, key) for name, of_run in curves.items()}
        lines = {name: points for name, points in lines.items() if points}
        if lines:
            drawn.append(f"<h4>{html.escape(title)}</h4>{_chart(lines, strokes)}")
    return drawn


def _chart(lines: Mapping[str, Sequence[Point]], strokes: Mapping[str, str]) -> str:
    """Lines over steps as an SVG; `strokes` are the lines' attributes, the same in every chart."""
    width, height, left, bottom = 900, 260, 70, 30
    every = np.array([point for points in lines.values() for point in points], np.float64)
    (low_x, low_y), (high_x, high_y) = every.min(0), every.max(0)
    span_x, span_y = max(high_x - low_x, 1e-12), max(high_y - low_y, 1e-12)

    def place(point: Point) -> str:
        x = left + (point.step - low_x) / span_x * (width - left - 10)
        y = (height - bottom) - (point.value - low_y) / span_y * (height - bottom - 10)
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
