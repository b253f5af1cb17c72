"""A configuration as JSON, and what keeps a saved one from being used as another."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable
from typing import Any, Literal, get_args, get_origin, get_type_hints

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
        else:
            value = _read(value, types[name])
        default = getattr(kind(), name)
        if value is None:
            raise UserError(
                f"the saved configuration has {prefix}{name} = {values[name]!r}; expected a value "
                f"like {default!r}"
            )
        built[name] = value
    return kind(**built)


def _read(value: Any, kind: Any) -> Any:
    """A value of JSON as a field of this type holds it; None if it can't be one."""
    if get_origin(kind) is tuple:
        member = get_args(kind)[0]
        members = tuple(_read(one, member) for one in value) if isinstance(value, list) else (None,)
        return None if None in members else members
    if get_origin(kind) is Literal:
        kind = type(get_args(kind)[0])
    if kind is float and type(value) is int and abs(value) <= sys.float_info.max:
        value = float(value)
    return value if type(value) is kind else None


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
