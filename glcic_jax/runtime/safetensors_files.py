"""Arrays by name in one file of the safetensors format, which many other programs read.

The format: the length of the header, 8 bytes, little-endian; the header, JSON, with the type, shape
and place of each array, and strings under `__metadata__`; the arrays, one after the other. Nothing
in it is executed.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from glcic_jax.runtime.files import replace_file

_TYPES: dict[str, np.dtype] = {"F32": np.dtype("<f4"), "F16": np.dtype("<f2")}
_LONGEST_HEADER = 100_000_000
_METADATA = "__metadata__"


def save_safetensors(path: Path, arrays: Mapping[str, Any], metadata: Mapping[str, str]) -> None:
    """Write arrays, as float32, and strings.

    Raises:
        OSError: as `replace_file`.
    """
    header: dict[str, Any] = {_METADATA: dict(metadata)}
    parts, place = [], 0
    for name, values in arrays.items():
        data = np.ascontiguousarray(values, _TYPES["F32"])
        end = place + data.nbytes
        header[name] = {"dtype": "F32", "shape": list(data.shape), "data_offsets": [place, end]}
        parts.append(data.tobytes())
        place = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # arrays begin at a multiple of 8 bytes
    content = b"".join([struct.pack("<Q", len(text)), text, *parts])
    replace_file(path, lambda temporary: temporary.write_bytes(content))


def read_safetensors(file: IO[bytes]) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The arrays, float32 or float16, and the strings.

    Raises:
        ValueError: it is no such file, it is damaged, or an array has another type.
        OSError: as the operating system says.
    """
    content = memoryview(file.read())
    if len(content) < 8:
        raise ValueError("it is too short")
    (length,) = struct.unpack("<Q", content[:8])
    if length > min(len(content) - 8, _LONGEST_HEADER):
        raise ValueError("its header is cut short")
    header = json.loads(bytes(content[8 : 8 + length]))
    if not isinstance(header, dict):
        raise ValueError("its header names no arrays")
    metadata = header.pop(_METADATA, {})
    data = content[8 + length :]
    return {name: _array(name, entry, data) for name, entry in header.items()}, metadata


def _array(name: str, entry: Any, data: memoryview) -> np.ndarray:
    try:
        dtype, shape = _TYPES[entry["dtype"]], tuple(map(int, entry["shape"]))
        start, end = map(int, entry["data_offsets"])
    except (KeyError, TypeError) as error:
        raise ValueError(f"the array {name} is not described as float32 or float16") from error
    if (
        min(start, *shape, 0) < 0
        or end > len(data)
        or end - start != math.prod(shape) * dtype.itemsize
    ):
        raise ValueError(f"the array {name} is cut short")
    return np.frombuffer(data[start:end], dtype).reshape(shape)
