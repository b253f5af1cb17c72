"""Records as plain JSON values and back, by the types of their fields."""

from __future__ import annotations

import collections.abc
import dataclasses
import types
import typing
from typing import Any, Literal, Union


def to_json(record: Any) -> Any:
    """Numbers, text, lists and dictionaries, with a record's fields in their order.

    Args:
        record: a dataclass, a NamedTuple (becomes a list), a mapping, a tuple, or plain already.
    """
    if hasattr(record, "to_json"):
        return record.to_json()
    if dataclasses.is_dataclass(record):
        return {
            field.name: to_json(getattr(record, field.name)) for field in dataclasses.fields(record)
        }
    if isinstance(record, collections.abc.Mapping):
        return {name: to_json(value) for name, value in record.items()}
    if isinstance(record, (tuple, list)):
        return [to_json(value) for value in record]
    return record


def from_json(kind: Any, value: Any) -> Any:
    """The inverse of `to_json`.

    Fields that are missing take their defaults, and keys that are no fields are passed over: files
    of other versions can be read as far as they go.

    Args:
        kind: the type to make, as it stands at a field.
        value: what `json.loads` made.

    Raises:
        ValueError: the value is not of this kind; says where in it.
    """
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (Union, types.UnionType):
        (inner,) = (argument for argument in arguments if argument is not type(None))
        return None if value is None else from_json(inner, value)
    if origin is Literal:
        return _require(value in arguments, f"one of {', '.join(map(str, arguments))}", value)
    if origin is tuple:
        _require(isinstance(value, list), "a list", value)
        return tuple(_inside(f"[{i}]", arguments[0], part) for i, part in enumerate(value))
    if origin is collections.abc.Mapping:
        _require(isinstance(value, dict), "an object", value)
        return {name: _inside(f".{name}", arguments[1], part) for name, part in value.items()}
    if kind is float:
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return _require(is_number, "a number", value)
    if kind in (int, str, bool):
        return _require(type(value) is kind, kind.__name__, value)
    return _record_from_json(kind, value)


def _record_from_json(kind: Any, value: Any) -> Any:
    hints = typing.get_type_hints(kind)
    if issubclass(kind, tuple):  # a NamedTuple
        fits = isinstance(value, list) and len(value) == len(kind._fields)
        _require(fits, f"a list of {', '.join(kind._fields)}", value)
        names = zip(kind._fields, value, strict=True)
        return kind(*(_inside(f".{name}", hints[name], part) for name, part in names))
    _require(isinstance(value, dict), "an object", value)
    if hasattr(kind, "from_json"):
        try:
            return kind.from_json(value)
        except KeyError as error:
            raise ValueError(f": {error.args[0]} is missing") from None
    found = {}
    for field in dataclasses.fields(kind):
        if field.name in value:
            found[field.name] = _inside(f".{field.name}", hints[field.name], value[field.name])
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise ValueError(f": {field.name} is missing")
    return kind(**found)


def _require(fits: bool, expected: str, value: Any) -> Any:
    if not fits:
        raise ValueError(f": expected {expected}, got {str(value)[:60]!r}")
    return value


def _inside(place: str, kind: Any, value: Any) -> Any:
    try:
        return from_json(kind, value)
    except ValueError as error:
        raise ValueError(f"{place}{error}") from None
