"""What every benchmark prints and writes: a table, the machine it ran on, JSON."""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import os
import platform
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.timing import Spread
from glcic_jax.errors import UserError

_PACKAGES = (
    "jax",
    "jaxlib",
    "libtpu",
    "torch",
    "onnxruntime",
    "numpy",
    "opencv-python-headless",
    "pillow",
)


def cores() -> int:
    """Processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS and Windows
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def machine() -> dict[str, Any]:
    """What the numbers depend on besides the code: processor, versions, load at this moment."""
    return {
        "processor": _processor(),
        "cores": cores(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "load_average": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def number(value: float) -> str:
    """Three significant figures, without an exponent for everyday sizes."""
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def spread(values: Spread, scale: float = 1.0) -> str:
    """`median (lowest..highest)`, each times `scale`."""
    low, high = number(values.low * scale), number(values.high * scale)
    return f"{number(values.median * scale)} ({low}..{high})"


def check_counts(arguments: Any, *names: str) -> None:
    """Raise a `UserError` unless each of these fields of the arguments is at least 1."""
    for name in names:
        value = getattr(arguments, name)
        if value < 1:
            raise UserError(f"--{name.replace('_', '-')} is {value}; it must be at least 1")


def check_output(path: Path | None) -> None:
    """Find out before an hour of measuring whether the JSON file can be written.

    Raises:
        UserError: its directory does not exist, or it is a directory.
    """
    if path is None:
        return
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise UserError(f"--json {path}: give a file in a directory that exists")


def publish(
    title: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    notes: Sequence[str] = (),
) -> None:
    """Print a table: the first column is a name, all others are numbers; then the notes."""
    table = Table(title=title, title_justify="left")
    for index, column in enumerate(columns):
        table.add_column(column, justify="right" if index else "left")
    for row in rows:
        table.add_row(*row)
    console = Console()
    if not console.is_terminal:
        # In a log or a pipe, rich would squeeze the columns into 80 characters.
        console = Console(width=200)
    console.print(table)
    for note in notes:
        console.print(note, highlight=False, soft_wrap=True)


def write_json(path: Path | None, record: dict[str, Any]) -> None:
    """Write `record` and the machine to `path`; nothing where that is None."""
    if path is not None:
        text = json.dumps({"machine": machine(), **record}, indent=2) + "\n"
        try:
            path.write_text(text)
        except OSError as error:
            raise UserError(f"--json {path} can't be written: {error.strerror or error}") from error


def _processor() -> str:
    """The processor's name where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
