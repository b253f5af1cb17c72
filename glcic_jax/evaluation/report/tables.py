"""A comparison's tables, as header and rows of text, and all of them in Markdown.

Everything is read from the record of `comparison.compare_runs`, which `results.json` holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from glcic_jax.evaluation.goals import GOALS
from glcic_jax.evaluation.metrics import METRICS, Region
from glcic_jax.evaluation.records import Comparison, Perception, ProtocolResult

Row = Sequence[str]


class Table(NamedTuple):
    """Text in cells."""

    header: Row
    rows: Sequence[Row]


_UNKNOWN = "not recorded"


def main_table(found: ProtocolResult) -> Table:
    """Every method's main scores, means with 95 % intervals over images."""
    columns: list[tuple[str, Region, str]] = [
        *((f"hole {METRICS[name].title}", "hole", name) for name in ("psnr", "ssim", "l1")),
        *((f"whole {METRICS[name].title}", "whole", name) for name in ("psnr", "ssim")),
        (METRICS["l2_millions"].title, "whole", "l2_millions"),
    ]
    dice = METRICS["dice"]
    rows: list[Row] = []
    for name, scores in found.methods.items():
        by_region = {"hole": found.intervals[name].hole, "whole": found.intervals[name].whole}
        cells = [
            _interval(by_region[region][metric], METRICS[metric].digits)
            for _, region, metric in columns
        ]
        rows.append((name, *cells, f"{scores.whole['dice']:.{dice.digits}f}"))
    return Table(("method", *(title for title, _, _ in columns), dice.title), rows)


def pair_table(found: ProtocolResult) -> Table:
    """Differences in hole PSNR between any two methods."""
    rows: list[Row] = [
        (
            f"{pair.one} minus {pair.other}",
            _interval(pair.difference, 3),
            f"{pair.p:.2g}" if pair.p > 0.0006 else "< 0.001",
        )
        for pair in found.paired
    ]
    return Table(("pair", "difference in hole PSNR, dB", "p"), rows)


def bin_table(found: ProtocolResult) -> Table:
    """Hole PSNR by the hole's share of the image."""
    first = next(iter(found.methods.values())).bins
    header = ("method", *(f"{b.above:.0%} to {b.up_to:.0%} ({b.count})" for b in first))
    rows: list[Row] = [
        (name, *(f"{b.hole['psnr']:.2f}" for b in scores.bins))
        for name, scores in found.methods.items()
    ]
    return Table(header, rows)


def run_table(record: Comparison) -> Table:
    """What each run is, and what it cost."""
    header = (
        "run",
        "generator",
        "discriminator",
        "width",
        "seed",
        "parameters",
        "starts from",
        "step scored",
        "images of the run",
        "its minutes",
        "ms an image",
    )
    speeds = next(iter(record.protocols.values())).seconds_per_image
    rows: list[Row] = []
    for name, run in record.runs.items():
        training = run.training
        rows.append(
            (
                name,
                run.generator,
                run.discriminator,
                str(run.width),
                str(run.seed),
                f"{run.parameters:,}",
                run.initial or "random weights",
                f"{run.step:,}",
                f"{training.images:,.0f}" if training.images else _UNKNOWN,
                f"{training.seconds / 60:.1f}" if training.images else _UNKNOWN,
                f"{speeds[name] * 1e3:.2f}" if name in speeds else _UNKNOWN,
            )
        )
    return Table(header, rows)


def goal_table(found: ProtocolResult) -> Table:
    """Whether each run reaches the study's goals."""
    titles = [
        f"{name}: L2 ≤ {goal.l2_millions}, Dice ≥ {goal.dice}" for name, goal in GOALS.items()
    ]
    rows: list[Row] = []
    for name, reached in found.goals.items():
        whole = found.methods[name].whole
        cells = [
            f"{_yes(reached[goal].l2)}, {_yes(reached[goal].dice)} "
            f"(Keras Dice {_yes(reached[goal].keras_dice)})"
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
    return Table(("run", "L2", "Dice", "Keras Dice of its ceiling", *titles), rows)


def health_table(record: Comparison) -> Table:
    """The adversarial balance at the end of the joint phase."""
    rows: list[Row] = []
    for name, run in record.runs.items():
        balance = run.health
        if balance is None:
            none = "no joint phase" if run.joint_steps == 0 else _UNKNOWN
            rows.append((name, none, "", "", ""))
            continue
        ratio = balance.gradient_ratio
        rows.append(
            (
                name,
                f"{balance.accuracy_real:.0%}",
                f"{balance.accuracy_completed:.0%}",
                "" if ratio is None else f"{ratio:.3f}",
                f"{balance.saturated:.0%}" + (" ⚠" if balance.saturated > 0.5 else ""),
            )
        )
    header = ("run", "right on real", "right on completed", "gradient ratio", "reports saturated")
    return Table(header, rows)


def perception_table(perception: Perception) -> Table:
    """What a classifier sees in the completed images."""
    rows: list[Row] = []
    for name, seen in perception.methods.items():
        mean, low, high = (f"{value:.1%}" for value in seen.same_class)
        rows.append((name, f"{mean} ({low}..{high})", _interval(seen.frechet_distance, 3)))
    return Table(("method", "same class as in the original", "Fréchet distance"), rows)


def seed_tables(found: ProtocolResult) -> tuple[Table, Table]:
    """Two tables: variants that were trained with several seeds, and their differences."""
    means: list[Row] = [
        (
            title,
            " ".join(f"{value:.2f}" for value in one.values),
            _interval(one.mean, 2),
        )
        for title, one in found.seeds.means.items()
    ]
    differences: list[Row] = [
        (f"{one.one} minus {one.other}", _interval(one.difference, 2))
        for one in found.seeds.differences
    ]
    return (
        Table(("variant", "hole PSNR of each run, dB", "mean over seeds"), means),
        Table(("variants", "difference of the means, dB"), differences),
    )


def markdown(record: Comparison) -> str:
    """The main tables of all protocols in Markdown."""
    lines = [f"{title(record)}"]
    for protocol, found in record.protocols.items():
        lines += ["", f"## Holes: {protocol}", ""]
        lines += _markdown_table(*main_table(found))
        if found.perception:
            lines += ["", *_markdown_table(*perception_table(found.perception))]
        for header, rows in seed_tables(found):
            if rows:
                lines += ["", *_markdown_table(header, rows)]
    return "\n".join(lines) + "\n"


def _markdown_table(header: Row, rows: Sequence[Row]) -> list[str]:
    return [
        f"| {' | '.join(header)} |",
        "|---" * len(header) + "|",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]


def _interval(interval: Sequence[float], digits: int) -> str:
    mean, low, high = (f"{value:.{digits}f}" for value in interval)
    return f"{mean} ({low}..{high})"


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def title(record: Comparison) -> str:
    """Which images and holes were scored."""
    count = next(iter(record.protocols.values())).count
    return (
        f"{count:,} {record.split} images of {', '.join(record.sources)}, "
        f"{record.image_size} px, seed {record.seed}; of each run the "
        f"{record.checkpoint} checkpoint"
    )
