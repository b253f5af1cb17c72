"""Writes files of Torch 7 in its documented binary format, as its `torch.save` would."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from torch import nn

_KINDS = {np.dtype(np.float32): "Float", np.dtype(np.float64): "Double"}


class Module(dict):
    """The fields of an object of a Lua class."""

    def __init__(self, kind: str, **fields: Any):
        super().__init__(fields)
        self.kind = kind


class Function(bytes):
    """The code of a Lua function, which nothing may run."""


def to_bytes(value: Any) -> bytes:
    """The file that holds one object."""
    return _Writer().written(value)


class _Writer:
    def __init__(self):
        self.index: dict[int, int] = {}

    def written(self, value: Any) -> bytes:
        if value is None:
            return struct.pack("<i", 0)
        if isinstance(value, bool):
            return struct.pack("<ii", 5, value)
        if isinstance(value, (int, float)):
            return struct.pack("<id", 1, value)
        if isinstance(value, str):
            return struct.pack("<i", 2) + text(value)
        kind = 8 if isinstance(value, Function) else 3 + isinstance(value, (Module, np.ndarray))
        if id(value) in self.index:
            return struct.pack("<ii", kind, self.index[id(value)])
        head = struct.pack("<ii", kind, self.number(value))
        if isinstance(value, Function):
            return head + struct.pack("<i", len(value)) + value + self.written({})
        if isinstance(value, np.ndarray):
            return head + self.tensor(value)
        if isinstance(value, Module):
            return head + text("V 1") + text(value.kind) + self.table(dict(value))
        return head + self.pairs(value)

    def number(self, value: Any) -> int:
        return self.index.setdefault(id(value), len(self.index) + 1)

    def table(self, pairs: dict) -> bytes:
        return struct.pack("<ii", 3, self.number(pairs)) + self.pairs(pairs)

    def pairs(self, pairs: dict) -> bytes:
        self.kept = [*getattr(self, "kept", []), pairs]  # so that no other gets its id
        body = b"".join(self.written(key) + self.written(one) for key, one in pairs.items())
        return struct.pack("<i", len(pairs)) + body

    def tensor(self, array: np.ndarray) -> bytes:
        kind, steps = _KINDS[array.dtype], [step // array.itemsize for step in array.strides]
        # Two other numbers before it, as if it were a part of a longer storage.
        storage = np.concatenate([[7, 7], array.ravel(order="K")]).astype(array.dtype)
        return (
            text("V 1")
            + text(f"torch.{kind}Tensor")
            + struct.pack(f"<i{2 * array.ndim + 1}q", array.ndim, *array.shape, *steps, 3)
            + struct.pack("<ii", 4, self.number(storage))
            + text("V 1")
            + text(f"torch.{kind}Storage")
            + struct.pack("<q", len(storage))
            + self.pairs_kept(storage)
        )

    def pairs_kept(self, storage: np.ndarray) -> bytes:
        self.kept = [*getattr(self, "kept", []), storage]
        return storage.tobytes()


def text(value: str) -> bytes:
    return struct.pack("<i", len(value)) + value.encode()


def as_torch7(network: nn.Sequential, mean: tuple[float, ...]) -> dict[str, Any]:
    """A `Centred` network as the table that such files hold."""
    modules: list[Module] = []
    for place, layer in enumerate(network):
        inner = layer if isinstance(layer, nn.Sequential) else [layer]
        modules.append(_convolution(inner[0]))
        if place == len(network) - 1:
            modules.append(Module("nn.Sigmoid"))
            continue
        modules += [_normalisation(inner[1]), Module("nn.ReLU", inplace=True, threshold=0)]
    chain = Module("nn.Sequential", modules=dict(enumerate(modules, 1)), hook=Function(b"\x1bLua"))
    chain["self"] = chain
    return {"model": chain, "mean": dict(enumerate(mean, 1))}


def _convolution(layer: nn.Module) -> Module:
    (stride, _), (padding, _), (rate, _) = layer.stride, layer.padding, layer.dilation
    fields = {
        "weight": np.ascontiguousarray(layer.weight.detach().numpy()),
        "bias": layer.bias.detach().numpy(),
        "dH": stride,
        "dW": stride,
        "padH": padding,
        "padW": padding,
    }
    if isinstance(layer, nn.ConvTranspose2d):
        return Module("nn.SpatialFullConvolution", **fields)
    if rate > 1:
        return Module("nn.SpatialDilatedConvolution", dilationH=rate, dilationW=rate, **fields)
    return Module("nn.SpatialConvolution", **fields)


def _normalisation(layer: nn.BatchNorm2d) -> Module:
    arrays = {
        name: getattr(layer, name).detach().double().numpy()
        for name in ("weight", "bias", "running_mean", "running_var")
    }
    return Module("nn.SpatialBatchNormalization", eps=1e-5, **arrays)
