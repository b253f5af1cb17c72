"""Masks a second of each plain kind that training draws, against a NumPy loop that draws it.

Ours are drawn by one jitted call for a batch, keys and all; NumPy draws one image at a time, as a
data loader's workers do. Both write float32 zeros and ones.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from benchmarks import report
from glcic_jax.commands.command_line import parse, run
from glcic_jax.config.checks import check
from glcic_jax.config.settings import Config, MaskConfig, pixels

if TYPE_CHECKING:
    from benchmarks.timing import Run

Kind = Literal["rectangle", "rectangles", "freeform", "pixels"]
KINDS: tuple[Kind, ...] = get_args(Kind)
_VERTICES = 8
_OURS, _THEIRS = "glcic_jax", "NumPy"


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Masks a second of every kind, side by side with a NumPy loop."""

    kinds: tuple[Kind, ...] = KINDS
    """Kinds to measure."""
    image_size: int = 32
    """Side of the masks in pixels."""
    batch_size: int = 64
    """Masks that one call of ours draws."""
    rounds: int = 9
    """Turns of each side."""
    seconds: float = 0.5
    """Least length of a turn."""
    json: Path | None = None
    """File to write all samples to."""


def default_config() -> Config:
    """The settings that masks are drawn with: those of training by default."""
    return Config()


def main() -> None:
    """Measure, print a table, write JSON."""
    arguments = parse(Arguments, description=Arguments.__doc__)
    report.check_output(arguments.json)
    report.check_counts(arguments, "batch_size", "rounds")
    check(dataclasses.replace(default_config(), image_size=arguments.image_size))
    import jax

    from benchmarks.work import write_bandwidth

    jax.config.update("jax_platforms", "cpu")
    bandwidth = write_bandwidth()
    limit = bandwidth / (4 * arguments.image_size**2)
    results = [_measure(kind, arguments) for kind in arguments.kinds]
    _publish(results, arguments, bandwidth, limit)
    report.write_json(
        arguments.json,
        {"bytes_per_second": bandwidth, "limit_masks_per_second": limit, "results": results},
    )


def _measure(kind: Kind, arguments: Arguments) -> dict[str, Any]:
    from benchmarks.timing import alternate

    config = dataclasses.replace(default_config().masks, kind=kind)
    size, batch = arguments.image_size, arguments.batch_size
    contenders = {
        _OURS: _our_run(config, size, batch),
        _THEIRS: _their_run(config, size, batch),
    }
    samples = alternate(contenders, rounds=arguments.rounds, seconds=arguments.seconds)
    return {
        "kind": kind,
        "image_size": size,
        "batch_size": batch,
        "samples": {side: sample.record() for side, sample in samples.items()},
        **{side: dataclasses.asdict(sample.rate(batch)) for side, sample in samples.items()},
    }


def _our_run(config: MaskConfig, size: int, batch: int) -> Run:
    import jax
    import jax.numpy as jnp

    from glcic_jax.imaging.training_masks import training_masks

    @jax.jit
    def draw(step: jax.Array) -> jax.Array:
        key = jax.random.fold_in(jax.random.key(0), step)
        keys = jax.vmap(jax.random.fold_in, in_axes=(None, 0))(key, jnp.arange(batch))
        return training_masks(keys, size, config)

    def calls(count: int) -> None:
        # Every call is waited for, as its masks would be used before the next are drawn.
        for step in range(count):
            draw(step).block_until_ready()

    return calls


def _their_run(config: MaskConfig, size: int, batch: int) -> Run:
    rng = np.random.default_rng(0)

    def calls(count: int) -> None:
        for _ in range(count):
            np.stack([numpy_mask(rng, size, config) for _ in range(batch)])

    return calls


# --- The same kinds in NumPy ------------------------------------------------------------------


def numpy_mask(rng: np.random.Generator, size: int, config: MaskConfig) -> np.ndarray:
    """One mask of the configured kind: float32 mask_SxS, 1 is the hole."""
    draw: dict[str, Callable[..., np.ndarray]] = {
        "rectangle": _rectangle,
        "rectangles": _rectangles,
        "freeform": _freeform,
        "pixels": _pixels,
    }
    return draw[config.kind](rng, size, config)


def _region(rng: np.random.Generator, size: int, config: MaskConfig) -> tuple[int, int, int]:
    """Top, left and side of a square that is to contain all holes, in pixels."""
    side = pixels(config.local_window, size)
    top, left = rng.integers(0, size - side + 1, 2)
    return int(top), int(left), side


def _rectangle(rng: np.random.Generator, size: int, config: MaskConfig) -> np.ndarray:
    low, high = pixels(config.min_side, size), pixels(config.max_side, size)
    height, width = rng.integers(low, high + 1, 2)
    top, left = rng.integers(0, size - height + 1), rng.integers(0, size - width + 1)
    mask = np.zeros((size, size), np.float32)
    mask[top : top + height, left : left + width] = 1
    return mask


def _rectangles(rng: np.random.Generator, size: int, config: MaskConfig) -> np.ndarray:
    low, high = pixels(config.min_side, size), pixels(config.max_side, size)
    region_top, region_left, region = _region(rng, size, config)
    count = rng.integers(config.min_count, config.max_count + 1)
    mask = np.zeros((size, size), np.float32)
    for _ in range(count):
        sides = rng.integers(low, high + 1, 2) / np.sqrt(count)
        height, width = (max(1, round(side)) for side in sides)
        top = region_top + rng.integers(0, region - height + 1)
        left = region_left + rng.integers(0, region - width + 1)
        mask[top : top + height, left : left + width] = 1
    return mask


def _freeform(rng: np.random.Generator, size: int, config: MaskConfig) -> np.ndarray:
    top, left, region = _region(rng, size, config)
    # Only the region is drawn in: a stroke's pixels outside it are known anyway.
    rows, columns = np.ogrid[:region, :region]
    hole = np.zeros((region, region), bool)
    for _ in range(rng.integers(config.min_count, config.max_count + 1)):
        radius = max(0.5 * rng.uniform(config.min_brush, config.max_brush) * size, 0.75)
        point, angle = rng.uniform(0, region - 1, 2), rng.uniform(0, 2 * np.pi)
        for _ in range(_VERTICES):
            angle += rng.uniform(-0.5, 0.5) * np.pi
            step = np.array([np.sin(angle), np.cos(angle)]) * rng.uniform() * region / 4
            end = point + step
            step = np.where((end < 0) | (end > region - 1), -step, step)
            end = np.clip(point + step, 0, region - 1)
            angle = np.arctan2(step[0], step[1])
            hole |= _distance2(rows, columns, point, end) <= radius**2
            point = end
    mask = np.zeros((size, size), np.float32)
    mask[top : top + region, left : left + region] = hole
    return mask


def _distance2(
    rows: np.ndarray, columns: np.ndarray, start: np.ndarray, end: np.ndarray
) -> np.ndarray:
    """Squared distance of every pixel from a line segment."""
    along = end - start
    y, x = rows - start[0], columns - start[1]
    share = np.clip((y * along[0] + x * along[1]) / max(along @ along, 1e-6), 0, 1)
    return (y - share * along[0]) ** 2 + (x - share * along[1]) ** 2


def _pixels(rng: np.random.Generator, size: int, config: MaskConfig) -> np.ndarray:
    top, left, region = _region(rng, size, config)
    share = rng.uniform(config.min_missing, config.max_missing)
    mask = np.zeros((size, size), np.float32)
    mask[top : top + region, left : left + region] = rng.random((region, region)) < share
    return mask


def _publish(
    results: list[dict[str, Any]], arguments: Arguments, bandwidth: float, limit: float
) -> None:
    from benchmarks.timing import Spread

    rows = []
    for result in results:
        ours, theirs = Spread(**result[_OURS]), Spread(**result[_THEIRS])
        rows.append(
            (
                result["kind"],
                report.spread(ours),
                report.spread(theirs),
                report.number(ours.median / theirs.median),
                report.number(limit),
                f"{ours.median / limit:.1%}",
            )
        )
    report.publish(
        f"Masks of {arguments.image_size} px, batch {arguments.batch_size}, on "
        f"{report.cores()} cores: median (lowest..highest)",
        ("kind", f"{_OURS} masks/s", f"{_THEIRS} masks/s", "ratio", "limit masks/s", "of limit"),
        rows,
        notes=(f"limit: one core fills memory at {bandwidth / 1e9:.1f} GB/s",),
    )


if __name__ == "__main__":
    run(main)
