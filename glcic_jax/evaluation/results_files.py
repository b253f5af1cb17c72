"""Both kinds of `results.json`, written and read here alone: a report's and a run's.

A report's holds one `Comparison`, a run's one `RunEvaluation` for each `<protocol>-<split>`. The
number `schema` stands at the top of a report's and in each entry of a run's. Files from before it
was written have the fields of schema 1 and are read as that.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from glcic_jax.errors import UserError
from glcic_jax.evaluation.records import Comparison, RunEvaluation
from glcic_jax.evaluation.results_json import from_json, to_json
from glcic_jax.runtime import files

RESULTS = "results.json"

SCHEMA = 1
"""Goes up when a key gets another meaning or is taken away; new keys leave it as it is."""


def comparison_text(comparison: Comparison) -> str:
    """A report's `results.json`."""
    return _text({"schema": SCHEMA, **to_json(comparison)})


def read_comparison(path: Path) -> Comparison:
    """The inverse of `comparison_text`, from a file.

    Raises:
        UserError: the file can't be read, is of a newer schema, or no comparison's.
    """
    document = _read(path)
    if not _is_comparison(document):
        raise UserError(f"{path} was not written by evaluate.py --report")
    return _record(Comparison, document, str(path))


def holds_comparison(path: Path) -> bool:
    """Whether a report wrote this file, of whatever schema."""
    try:
        return _is_comparison(_read(path))
    except UserError:
        return False


def read_evaluations(path: Path) -> dict[str, RunEvaluation]:
    """The entries of a run's `results.json` by `<protocol>-<split>`.

    Raises:
        UserError: as `read_entries`; or an entry is of a newer schema, or no evaluation's.
    """
    return {
        key: _record(RunEvaluation, entry, f"{path}: {key}")
        for key, entry in read_entries(path).items()
    }


def read_entries(path: Path) -> dict[str, Any]:
    """The entries of a run's `results.json` as they are; none where there is no file.

    Raises:
        UserError: the file can't be read, or is something else.
    """
    document = _read(path, missing={})
    if not isinstance(document, dict):
        raise UserError(f"{path} holds no results of an evaluation; move it away and try again")
    return document


def write_entry(path: Path, key: str, evaluation: RunEvaluation) -> None:
    """Put one entry into a run's `results.json`, whole or not at all; the others stay as they are.

    Raises:
        UserError: as `read_entries`, or the file can't be written.
    """
    # Read again: another evaluation may have finished in the meantime.
    text = _text({**read_entries(path), key: {"schema": SCHEMA, **to_json(evaluation)}})
    replace(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def replace(path: Path, write: Callable[[Path], Any]) -> None:
    """`files.replace_file`, with its error told to the user.

    Raises:
        UserError: the file can't be written.
    """
    try:
        files.replace_file(path, write)
    except OSError as error:
        raise UserError(f"can't write {path}: {error.strerror or error}") from error


def _text(document: Mapping[str, Any]) -> str:
    return json.dumps(document, indent=2, allow_nan=False) + "\n"


def _read(path: Path, missing: Any = None) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        if missing is None:
            raise UserError(f"there is no {path}") from error
        return missing
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} can't be read ({error}); move it away and try again") from error


def _is_comparison(document: Any) -> bool:
    return isinstance(document, dict) and "protocols" in document


def _record(kind: Any, document: Any, place: str) -> Any:
    schema = document.get("schema", 1) if isinstance(document, dict) else 1
    if schema != SCHEMA:
        raise UserError(
            f"{place} is of schema {schema!r}, and this version of glcic_jax reads {SCHEMA}; read "
            "it with the version that wrote it, or score the runs again"
        )
    try:
        return from_json(kind, document)
    except ValueError as error:
        told = str(error).lstrip(".: ")
        raise UserError(f"{place} can't be read: {told}; score the runs again") from error
