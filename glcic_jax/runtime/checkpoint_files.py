"""The files of one checkpoint: which arrays each item holds, verified against their checksums.

An item is a tree of arrays, on disk a flat table by dotted name. The summary says of every array of
every item what it must be, and is itself sealed by a checksum.
"""

from __future__ import annotations

import dataclasses
import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from glcic_jax.errors import UserError

PyTree = Any
Description = dict[str, dict[str, Any]]
"""Shape, dtype and checksum of each array of an item, by its dotted name."""

STATE, GENERATOR = "state", "generator"
"""Items: all that training goes on from, and the generator alone, as it is used."""
CONFIG = "config.json"
"""Name of the array, bytes of UTF-8, that holds the configuration in the item `GENERATOR`."""


class DamagedError(Exception):
    """A checkpoint whose files are missing or not as they were written."""


@dataclasses.dataclass(frozen=True)
class Summary:
    """What is known about a checkpoint without reading its arrays.

    `arrays` describes the item `STATE`, `generator` the item `GENERATOR`; that one is empty in
    checkpoints of the first versions, which have no such item.
    """

    step: int
    score: float | None
    arrays: Description
    generator: Description = dataclasses.field(default_factory=dict)


def describe(arrays: Mapping[str, np.ndarray]) -> Description:
    """What the summary says of these arrays, of any shape."""
    return {name: _describe(array) for name, array in arrays.items()}


def seal(summary: Summary) -> dict[str, Any]:
    """The summary as JSON values, with its own checksum."""
    return _sealed(dataclasses.asdict(summary))


def read_summary(path: Path) -> Summary:
    """The summary of the checkpoint at `path`.

    Raises:
        DamagedError: it is missing, or not as it was written.
    """
    from glcic_jax.runtime.orbax_files import SUMMARY_FILE, brief

    try:
        values = json.loads((path / SUMMARY_FILE).read_bytes())
        content = {key: value for key, value in values.items() if key != "crc32"}
        if _sealed(content) != values:
            raise ValueError("checksum differs")
        return Summary(**content)
    except (OSError, ValueError, AttributeError, TypeError, RecursionError) as error:
        if isinstance(error, PermissionError):
            raise
        raise DamagedError(f"its summary is not readable: {brief(error)}") from error


def read_state(path: Path, abstract_state: PyTree) -> dict[str, np.ndarray]:
    """All arrays of the training state, by dotted name.

    Raises:
        DamagedError: a file is not as it was written.
        UserError: the checkpoint is whole but holds other arrays than `abstract_state` names.
    """
    summary = _own_summary(path)
    _require_same_arrays(path, summary, abstract_state)
    return _read_verified(path / STATE, summary.arrays)


def read_generator(path: Path) -> tuple[dict[str, np.ndarray], str | None]:
    """The generator's variables by dotted name, and the configuration that is saved with them.

    Of a checkpoint without an item for it, the variables are picked from the training state, and
    the configuration is None. Nothing else is read.

    Raises:
        DamagedError: a file is not as it was written.
        UserError: a whole checkpoint that holds no generator.
    """
    summary = _own_summary(path)
    if summary.generator:
        arrays = _read_verified(path / GENERATOR, summary.generator)
        return arrays, arrays.pop(CONFIG).tobytes().decode()
    names = _generator_in_state(summary.arrays)
    if not names:
        raise UserError(f"{path} holds no generator; another program saved it")
    arrays = _read_verified(path / STATE, {old: summary.arrays[old] for old in names.values()})
    return {name: arrays[old] for name, old in names.items()}, None


def named_leaves(tree: PyTree) -> list[tuple[str, Any]]:
    """(dotted path, leaf) of every leaf; the names say on disk what an array is."""
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    named = [(jax.tree_util.keystr(path, simple=True, separator="."), x) for path, x in leaves]
    if len({name for name, _ in named}) != len(named):
        raise ValueError("two arrays of the state have the same dotted name")
    return named


def host_copy(leaf: jax.Array) -> np.ndarray:
    """The values, of any shape, in memory of our own.

    `np.asarray` may show a buffer that is donated next.
    """
    if isinstance(leaf, jax.Array) and not leaf.is_fully_addressable:
        leaf = leaf.addressable_data(0)
    return np.array(leaf, copy=True)


def to_devices(arrays: dict[str, np.ndarray], abstract_state: PyTree) -> PyTree:
    """Host arrays of any shape by name -> the pytree with the shardings of `abstract_state`."""

    def place(name: str, leaf: jax.ShapeDtypeStruct) -> jax.Array:
        host = arrays[name]
        if leaf.sharding is None:
            return jax.device_put(host)
        return jax.make_array_from_callback(host.shape, leaf.sharding, lambda at: host[at])

    leaves = [place(name, leaf) for name, leaf in named_leaves(abstract_state)]
    return jax.tree.unflatten(jax.tree.structure(abstract_state), leaves)


def nested(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Dictionaries in dictionaries from dotted names; arrays of any shape."""
    tree: dict[str, Any] = {}
    for name, array in arrays.items():
        *path, last = name.split(".")
        table = tree
        for part in path:
            table = table.setdefault(part, {})
        table[last] = array
    return tree


def _generator_in_state(arrays: Description) -> dict[str, str]:
    """Name among the generator's variables -> name in the state, for what evaluation uses."""
    average = any(name.startswith("average.") for name in arrays)
    found = {}
    for collection in ("params", "batch_stats"):
        home = f"{'average' if average else 'generator'}.{collection}."
        for name in arrays:
            if name.startswith(home):
                found[f"{collection}.{name.removeprefix(home)}"] = name
    if found and "mean_pixel" in arrays:
        found["constants.mean_pixel"] = "mean_pixel"
    return found


def _own_summary(path: Path) -> Summary:
    summary = read_summary(path)
    if str(summary.step) != path.name:
        raise DamagedError(f"it holds step {summary.step}")
    return summary


def _read_verified(path: Path, expected: Description) -> dict[str, np.ndarray]:
    from glcic_jax.runtime import orbax_files

    try:
        arrays = orbax_files.read_arrays(path, expected)
    except (MemoryError, PermissionError):
        raise  # says nothing about the files
    except Exception as error:  # what Orbax raises for a damaged file depends on the file
        brief = orbax_files.brief(error)
        raise DamagedError(f"its arrays are not readable: {brief}") from error
    for name, description in expected.items():
        if _describe(arrays[name]) != description:
            raise DamagedError(f"{name} is not as it was saved")
    return arrays


def _require_same_arrays(path: Path, summary: Summary, abstract_state: PyTree) -> None:
    """Whole files that hold other arrays are a mistake of the caller, not damage."""
    saved = {name: (tuple(x["shape"]), x["dtype"]) for name, x in summary.arrays.items()}
    wanted = {
        name: (tuple(x.shape), np.dtype(x.dtype).name) for name, x in named_leaves(abstract_state)
    }
    for name in sorted(saved.keys() | wanted.keys()):
        if saved.get(name) != wanted.get(name):
            raise UserError(
                f"{path} holds {name} as {saved.get(name, 'nothing')}, expected "
                f"{wanted.get(name, 'nothing')}; another version of the program saved it"
            )


def _describe(array: np.ndarray) -> dict[str, Any]:
    crc = zlib.crc32(np.ascontiguousarray(array).reshape(-1).view(np.uint8))
    return {"shape": list(array.shape), "dtype": array.dtype.name, "crc32": crc}


def _sealed(summary: dict[str, Any]) -> dict[str, Any]:
    text = json.dumps(summary, sort_keys=True)
    return summary | {"crc32": zlib.crc32(text.encode())}


def newest_step(workdir: Path) -> int:
    """Steps of the newest checkpoint of a run, whole or not; 0 where there is none."""
    entries = (Path(workdir) / "checkpoints").glob("*")
    return max((int(entry.name) for entry in entries if entry.name.isdigit()), default=0)
