"""What is shown of scores on whole photographs: a table and a sheet of pictures."""

from __future__ import annotations

import functools
import html
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from glcic_jax.errors import UserError
from glcic_jax.evaluation.intervals import Interval
from glcic_jax.evaluation.photograph_holes import draw_hole
from glcic_jax.evaluation.photographs import Fill, Row
from glcic_jax.imaging.sheets import draw_sheet
from glcic_jax.imaging.values import SHOWN_HOLE, blank
from glcic_jax.runtime.files import replace_file

_VERSION = 2
"""Of results.json; 1 had neither detail nor features."""
_STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 76rem; padding: 0 1rem; }
table { border-collapse: collapse; margin-bottom: 1rem; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .7rem; text-align: right; border-bottom: 1px solid #8885; }
th:first-child, td:first-child { text-align: left; }
img { max-width: 100%; }
"""
_SIDE = 192


def print_rows(rows: Sequence[Row], kind: str) -> None:
    """Print one kind of hole as a table, methods as rows."""
    console = Console()
    if not console.is_terminal:
        console.width = 150
    if not rows:
        console.print(f"holes {kind}: no photograph is large enough")
        return
    titles, lines = _cells(rows, "..")
    table = Table(title=f"holes: {kind}, {rows[0].count} photographs", box=SIMPLE_HEAD)
    table.add_column(titles[0], no_wrap=True)
    for title in titles[1:]:
        table.add_column(title, justify="right", overflow="fold")
    for line in lines:
        table.add_row(escape(line[0]), *line[1:])
    console.print(table)


def write_report(directory: Path, scores: Mapping[str, Sequence[Row]], about: str) -> Path:
    """Write `results.json` and `index.html`, which shows the sheets that lie beside it.

    Args:
        directory: an existing one; what is there under these names is replaced.
        scores: the rows of each kind of hole.
        about: what was scored, for the head of the page.

    Returns:
        The page.

    Raises:
        UserError: a file can't be written.
    """
    record = {
        "version": _VERSION,
        "about": about,
        "holes": {kind: [_record(row) for row in rows] for kind, rows in scores.items()},
    }
    parts = [f"<h1>Whole photographs</h1><p>{html.escape(about)}</p>"]
    for kind, rows in scores.items():
        parts.append(f"<h2>holes: {html.escape(kind)}</h2>{_html_table(rows)}")
        if (directory / _sheet_name(kind)).is_file():
            parts.append(f'<img src="{_sheet_name(kind)}" alt="holes {html.escape(kind)}">')
    head = f"<!doctype html><meta charset='utf-8'><title>Photographs</title><style>{_STYLE}</style>"
    page = directory / "index.html"
    texts = {
        directory / "results.json": json.dumps(record, indent=1),
        page: "\n".join([head, *parts]),
    }
    try:
        for path, text in texts.items():
            replace_file(path, functools.partial(Path.write_text, data=text, encoding="utf-8"))
    except OSError as error:
        raise UserError(f"can't write to {directory}: {error.strerror or error}") from error
    return page


def _record(row: Row) -> dict[str, Any]:
    over = row.over_baseline
    others = {
        "detail_ratio": row.detail,
        "feature_distance": row.features,
        "patch_frechet_distance": row.patches,
    }
    return {
        "method": row.method,
        "photographs": row.count,
        "hole_psnr": row.psnr._asdict(),
        "over_harmonic": over.difference._asdict() | {"p": over.p},
        **{name: one and one._asdict() for name, one in others.items()},
        "seconds": row.seconds,
    }


def _cells(rows: Sequence[Row], to: str) -> tuple[list[str], list[list[str]]]:
    """Titles of the columns, and a line of cells for each row; `to` stands inside intervals."""
    titles = ["method", "hole PSNR dB", "95 %", "over harmonic", "95 %", "detail"]
    perceptual = any(row.features for row in rows)
    if perceptual:
        titles += ["features", "95 %", "patches"]
    lines = []
    for row in rows:
        over = row.over_baseline.difference
        line = [
            row.method,
            f"{row.psnr.mean:.2f}",
            f"{row.psnr.low:.2f}{to}{row.psnr.high:.2f}",
            f"{over.mean:+.2f}",
            f"{over.low:+.2f}{to}{over.high:+.2f}",
            _mean(row.detail, 2),
        ]
        if row.features:
            low, high = row.features.low, row.features.high
            line += [_mean(row.features, 3), f"{low:.3f}{to}{high:.3f}", _mean(row.patches, 2)]
        lines.append([*line, f"{row.seconds:.3f}"])
    return [*titles, "seconds"], lines


def _mean(interval: Interval | None, digits: int) -> str:
    return f"{interval.mean:.{digits}f}" if interval else "-"


def _html_table(rows: Sequence[Row]) -> str:
    if not rows:
        return "<p>No photograph is large enough.</p>"
    titles, lines = _cells(rows, " to ")
    head = "".join(f"<th>{title}</th>" for title in titles)
    body = ["".join(f"<td>{html.escape(cell)}</td>" for cell in line) for line in lines]
    title = f"<caption>{rows[0].count} photographs</caption>"
    return f"<table>{title}" + "".join(f"<tr>{line}</tr>" for line in [head, *body]) + "</table>"


def _sheet_name(kind: str) -> str:
    return f"holes-{kind}.png"


def write_sheet(
    directory: Path,
    photos: Iterable[np.ndarray],
    methods: Mapping[str, Fill],
    kind: str,
    seed: int,
    most: int = 6,
) -> None:
    """Write `holes-<kind>.png`: the surroundings of the first holes, completed by each method.

    Args:
        directory: an existing one.
        photos: uint8 image_HxWx3 each.
        methods: by name.
        kind: of the holes.
        seed: of the holes.
        most: photographs on the sheet.
    """
    rows: dict[str, list[np.ndarray]] = {}
    for index, photo in enumerate(photos):
        mask = draw_hole(kind, seed, index, photo.shape[:2])
        if mask is None or min(mask.shape) < _SIDE:
            continue
        corner = _corner(mask)
        blanked = blank(photo, mask[..., None])
        shown = {"input": blank(photo, mask[..., None], SHOWN_HOLE)}
        shown |= {name: fill(blanked, mask) for name, fill in methods.items()}
        for name, image in (shown | {"original": photo}).items():
            part = image[corner[0] : corner[0] + _SIDE, corner[1] : corner[1] + _SIDE]
            rows.setdefault(name, []).append(part)
        if len(rows["input"]) == most:
            break
    if rows:
        sheet = draw_sheet({name: np.stack(parts) for name, parts in rows.items()})
        Image.fromarray(sheet).save(directory / _sheet_name(kind))


def _corner(mask_HxW: np.ndarray) -> tuple[int, int]:
    """Top and left of a square of the sheet's side around the middle of the hole."""
    middle = np.argwhere(mask_HxW).mean(0)
    top, left = (
        int(np.clip(place - _SIDE / 2, 0, length - _SIDE))
        for place, length in zip(middle, mask_HxW.shape, strict=True)
    )
    return top, left
