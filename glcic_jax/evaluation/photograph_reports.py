"""What is shown of scores on whole photographs: a table and a sheet of pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from glcic_jax.evaluation.photograph_holes import draw_hole
from glcic_jax.evaluation.photographs import Fill, Row
from glcic_jax.imaging.sheets import draw_sheet
from glcic_jax.imaging.values import SHOWN_HOLE, blank

_SHOWN = 6
_SIDE = 192


def print_rows(rows: Sequence[Row], kind: str) -> None:
    """Print one kind of hole as a table, methods as rows."""
    console = Console()
    if not console.is_terminal:
        console.width = 120
    if not rows:
        console.print(f"holes {kind}: no photograph is large enough")
        return
    table = Table(title=f"holes: {kind}, {rows[0].count} photographs", box=SIMPLE_HEAD)
    table.add_column("method", no_wrap=True)
    for title in ("hole PSNR dB", "95 %", "over harmonic", "95 %", "seconds"):
        table.add_column(title, justify="right")
    for row in rows:
        over = row.over_baseline.difference
        table.add_row(
            escape(row.method),
            f"{row.psnr.mean:.2f}",
            f"{row.psnr.low:.2f}..{row.psnr.high:.2f}",
            f"{over.mean:+.2f}",
            f"{over.low:+.2f}..{over.high:+.2f}",
            f"{row.seconds:.3f}",
        )
    console.print(table)


def write_sheet(
    directory: Path,
    photos: Sequence[np.ndarray],
    methods: Mapping[str, Fill],
    kind: str,
    seed: int,
) -> None:
    """Write `holes-<kind>.png`: the surroundings of the first holes, completed by each method.

    Args:
        directory: an existing one.
        photos: uint8 image_HxWx3 each.
        methods: by name.
        kind: of the holes.
        seed: of the holes.
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
        if len(rows["input"]) == _SHOWN:
            break
    if rows:
        sheet = draw_sheet({name: np.stack(parts) for name, parts in rows.items()})
        Image.fromarray(sheet).save(directory / f"holes-{kind}.png")


def _corner(mask_HxW: np.ndarray) -> tuple[int, int]:
    """Top and left of a square of the sheet's side around the middle of the hole."""
    middle = np.argwhere(mask_HxW).mean(0)
    top, left = (
        int(np.clip(place - _SIDE / 2, 0, length - _SIDE))
        for place, length in zip(middle, mask_HxW.shape, strict=True)
    )
    return top, left
