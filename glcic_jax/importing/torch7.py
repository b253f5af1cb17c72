"""Reads files of Torch 7 (`.t7`): numbers, strings, tables, tensors; nothing in them is run.

The format is that of `torch.save` in its binary form on 64-bit little-endian machines: each object
is a type, an int32, and what belongs to it. Tables and objects have an index, by which a later
place can name them again. Lua functions are skipped as bytes.
"""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

import numpy as np

_NIL, _NUMBER, _STRING, _TABLE, _TORCH, _BOOLEAN = range(6)
_FUNCTION, _RECURSIVE_FUNCTIONS = 6, (7, 8)
_TYPES: dict[str, type] = {
    "Float": np.float32,
    "Double": np.float64,
    "Half": np.float16,
    "Long": np.int64,
    "Int": np.int32,
    "Short": np.int16,
    "Char": np.int8,
    "Byte": np.uint8,
    "Cuda": np.float32,
    "CudaDouble": np.float64,
    "CudaHalf": np.float16,
    "CudaLong": np.int64,
    "CudaInt": np.int32,
    "CudaShort": np.int16,
    "CudaChar": np.int8,
    "CudaByte": np.uint8,
}
_MOST_DIMENSIONS = 16
_DEEPEST = 400
"""Objects inside objects; a chain of layers as a graph may hold three for each of its nodes. Each
takes two calls, of which Python allows 1000."""


class Damaged(ValueError):
    """The bytes are no file of Torch 7, or not all of one."""


class Object(NamedTuple):
    """An object of a Lua class, such as `nn.Sequential`, with its fields."""

    kind: str
    fields: dict[Any, Any]


def read_torch7(data: bytes) -> Any:
    """The object in a file of Torch 7.

    Args:
        data: the file's bytes.

    Returns:
        Tables are dictionaries, of which whole numbers as keys are int; tensors are NumPy arrays,
        empty ones of shape (0,); objects of other classes are `Object`; functions are None.

    Raises:
        Damaged: the bytes are something else, or end too early.
    """
    try:
        return _Reader(data).object(0)
    except (struct.error, UnicodeDecodeError, RecursionError, TypeError) as error:
        raise Damaged(str(error)) from error


class _Reader:
    def __init__(self, data: bytes):
        self.data = data
        self.place = 0
        self.known: dict[int, Any] = {}

    def take(self, count: int) -> bytes:
        if not 0 <= count <= len(self.data) - self.place:
            raise Damaged(f"{count} bytes wanted at {self.place} of {len(self.data)}")
        self.place += count
        return self.data[self.place - count : self.place]

    def int32(self) -> int:
        return struct.unpack("<i", self.take(4))[0]

    def int64s(self, count: int) -> tuple[int, ...]:
        return struct.unpack(f"<{count}q", self.take(8 * count))

    def string(self) -> str:
        return self.take(self.int32()).decode("utf-8", "replace")

    def object(self, depth: int) -> Any:
        """The next object; `depth` is how many it lies in."""
        if depth > _DEEPEST:
            raise Damaged(f"objects lie more than {_DEEPEST} deep in one another")
        kind = self.int32()
        if kind == _NIL:
            return None
        if kind == _NUMBER:
            (number,) = struct.unpack("<d", self.take(8))
            return int(number) if number.is_integer() else number
        if kind == _STRING:
            return self.string()
        if kind == _BOOLEAN:
            return self.int32() != 0
        if kind == _FUNCTION:
            return self.function(depth)
        if kind not in (_TABLE, _TORCH, *_RECURSIVE_FUNCTIONS):
            raise Damaged(f"there is no type {kind}, at {self.place - 4}")
        index = self.int32()
        if index in self.known:
            return self.known[index]
        if kind == _TABLE:
            return self.table(index, depth)
        if kind == _TORCH:
            return self.instance(index, depth)
        self.known[index] = None
        return self.function(depth)

    def function(self, depth: int) -> None:
        """Skips its code; what it had bound is read past, since it may name objects."""
        self.take(self.int32())
        self.object(depth + 1)

    def table(self, index: int, depth: int) -> dict[Any, Any]:
        found: dict[Any, Any] = {}
        self.known[index] = found  # before it is filled: it may lie in itself
        for _ in range(self.int32()):
            key = self.object(depth + 1)
            value = self.object(depth + 1)
            if isinstance(key, (int, float, str)):  # nothing else is looked up
                found[key] = value
        return found

    def instance(self, index: int, depth: int) -> Any:
        kind = self.string()
        if kind.startswith("V "):  # the version stands before the name; oldest files have none
            kind = self.string()
        word = kind.removeprefix("torch.")
        for ending, read in (("Tensor", self.tensor), ("Storage", self.storage)):
            dtype = _TYPES.get(word.removesuffix(ending))
            if word != kind and word.endswith(ending) and dtype is not None:
                self.known[index] = None
                self.known[index] = read(np.dtype(dtype), depth)
                return self.known[index]
        found = Object(kind, {})
        self.known[index] = found
        fields = self.object(depth + 1)
        if isinstance(fields, dict):
            found.fields.update(fields)
        return found

    def storage(self, dtype: np.dtype, depth: int) -> np.ndarray:
        del depth
        (count,) = self.int64s(1)
        return np.frombuffer(self.take(count * dtype.itemsize), dtype.newbyteorder("<"))

    def tensor(self, dtype: np.dtype, depth: int) -> np.ndarray:
        """A copy of the part of a storage that sizes, strides and the offset describe."""
        dimensions = self.int32()
        if not 0 <= dimensions <= _MOST_DIMENSIONS:
            raise Damaged(f"a tensor has {dimensions} dimensions, at {self.place - 4}")
        sizes, strides = self.int64s(dimensions), self.int64s(dimensions)
        (first,) = self.int64s(1)
        storage = self.object(depth + 1)
        if storage is None or not dimensions or 0 in sizes:
            return np.zeros(0, dtype)
        count = 1
        for size in sizes:
            count *= size
        last = first - 1 + sum((n - 1) * step for n, step in zip(sizes, strides, strict=True))
        fits = isinstance(storage, np.ndarray) and storage.dtype == dtype and storage.ndim == 1
        if min(*sizes, *strides, first - 1) < 0 or not fits:
            raise Damaged(f"a tensor of sizes {sizes} has no storage like it")
        if last >= len(storage) or count > len(storage):
            raise Damaged(f"a tensor of sizes {sizes} does not fit its storage")
        steps = [step * dtype.itemsize for step in strides]
        part = np.lib.stride_tricks.as_strided(storage[first - 1 :], sizes, steps)
        return part.astype(dtype)
