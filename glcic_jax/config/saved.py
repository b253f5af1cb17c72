"""A configuration as JSON, and what keeps a saved one from being used as another."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any, get_type_hints

from glcic_jax.config.settings import Config
from glcic_jax.errors import UserError


def to_json(config: Config) -> str:
    """The whole configuration as indented JSON."""
    return json.dumps(dataclasses.asdict(config), indent=2) + "\n"


def from_json(text: str) -> Config:
    """The inverse of `to_json`; a missing field takes its default.

    Raises:
        UserError: not JSON, or a field that this version does not know or of another type.
    """
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:  # too deeply nested is no JSON of ours either
        raise UserError(f"the saved configuration is not valid JSON: {error}") from error
    return _build(Config, values, "")


def _build(kind: Callable[..., Any], values: Any, prefix: str) -> Any:
    if not isinstance(values, dict):
        raise UserError(f"the saved configuration has no table {prefix or 'at its top'!r}")
    types = get_type_hints(kind)
    unknown = sorted(set(values) - set(types))
    if unknown:
        raise UserError(
            f"the saved configuration has the unknown field {prefix}{unknown[0]}; "
            "it was written by another version of glcic_jax"
        )
    built = {}
    for name, value in values.items():
        if dataclasses.is_dataclass(types[name]):
            value = _build(types[name], value, f"{prefix}{name}.")
        elif isinstance(value, list):
            value = tuple(value)
        default = getattr(kind(), name)
        number = isinstance(default, float) and isinstance(value, int)
        if type(value) is not type(default) and not number:
            raise UserError(
                f"the saved configuration has {prefix}{name} = {value!r}; expected a value like "
                f"{default!r}"
            )
        built[name] = value
    return kind(**built)


def differences(old: Config, new: Config) -> list[str]:
    """Fields that keep `old` from being resumed as `new`, as lines `field: old -> new`.

    `loop` and `data.workers` decide no step but for rounding, so they may differ.
    """
    before, after = flatten(old), flatten(new)
    return [
        f"{name}: {before[name]!r} -> {after[name]!r}"
        for name in before
        if before[name] != after[name] and not name.startswith(("loop.", "data.workers"))
    ]


def flatten(config: Any, prefix: str = "") -> dict[str, Any]:
    """Every field's value by its dotted name, such as `model.width`."""
    flat: dict[str, Any] = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            flat |= flatten(value, f"{prefix}{field.name}.")
        else:
            flat[f"{prefix}{field.name}"] = value
    return flat
