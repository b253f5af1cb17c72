"""A completion network in a file of Torch 7: its arrays under the names of the converted form."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from glcic_jax.config.model import Normalisation
from glcic_jax.errors import UserError
from glcic_jax.importing.torch7 import Damaged, Object, read_torch7
from glcic_jax.networks.interface import Layer
from glcic_jax.networks.layers import EPSILON

_LAYERS = {
    "SpatialConvolution": "c",
    "SpatialConvolutionMM": "c",
    "SpatialDilatedConvolution": "c",
    "SpatialFullConvolution": "c",
    "SpatialBatchNormalization": "n",
    "ReLU": "r",
    "Sigmoid": "s",
    "Identity": "",
}
"""Classes of `nn` and `cudnn`, and one letter each for the order in which they stand."""
_ORDERS: dict[Normalisation, str] = {"before_relu": r"(cnr)+cs", "after_relu": r"(crn)+cs"}


_MOST_LAYERS, _MOST_DEEP = 1000, 20
"""Modules in a file, counted as often as they stand somewhere, and in each other."""


class Torch7Network(NamedTuple):
    """What a file says of a network.

    Attributes:
        arrays: float32; `I.0.weight`, `I.0.bias` and `I.1.*` of layer I, counted from 0, and
            `I.weight`, `I.bias` of the last.
        steps: stride, padding and dilation of each convolution, along rows and columns.
        normalisation: as `ModelConfig.normalisation`.
        mean: float32 mean_3 of the training set, or None.
    """

    arrays: dict[str, np.ndarray]
    steps: tuple[tuple[int, ...], ...]
    normalisation: Normalisation
    mean: np.ndarray | None


def read_torch7_network(where: str, data: bytes) -> Torch7Network:
    """The network in the bytes of a file: the entry `model` of a table, or the object itself.

    Args:
        where: the file's name, for messages.
        data: its bytes.

    Raises:
        UserError: it is no such file, is damaged, or holds another kind of network.
    """
    try:
        found = read_torch7(data)
    except Damaged as error:
        raise UserError(
            f"{where} is no binary file of Torch 7, or it is damaged or cut short ({error})"
        ) from error
    model = found.get("model") if isinstance(found, dict) else found
    if not isinstance(model, Object):
        raise UserError(f"{where} is a file of Torch 7 without a network in its entry 'model'")
    layers: list[tuple[str, Object]] = []
    for visited, found_layer in enumerate(_flat(where, model, 0)):
        if visited > _MOST_LAYERS:
            raise UserError(f"{where} holds another network: it has over {_MOST_LAYERS} layers")
        layers += [found_layer] if found_layer[0] else []
    order = "".join(letter for letter, _ in layers)
    fitting = [name for name, pattern in _ORDERS.items() if re.fullmatch(pattern, order)]
    if not fitting:
        raise UserError(
            f"{where} holds another network: convolutions (c), normalisations (n), ReLU (r) and "
            f"sigmoid (s) stand as {order[:60] or 'none'}; expected cnr or crn for each layer, "
            "then cs"
        )
    arrays, steps = _collect(layers)
    return Torch7Network(arrays, steps, fitting[0], _mean(found))


def require_steps_of(
    where: str, steps: tuple[tuple[int, ...], ...], layers: tuple[Layer, ...]
) -> None:
    """Check strides, padding and dilations, which shapes of weights don't tell.

    Raises:
        UserError: a layer has others than the network it should be.
    """
    for number, (found, layer) in enumerate(zip(steps, layers, strict=True)):
        stride = 2 if layer.doubles else layer.stride
        padding = 1 if layer.doubles else layer.dilation * (layer.size // 2)
        wanted = (stride, stride, padding, padding, layer.dilation, layer.dilation)
        if found != wanted:
            raise UserError(
                f"{where}: convolution {number + 1} has stride, padding and dilation {found}; the "
                f"completion network's are {wanted}"
            )


def _flat(where: str, module: Object, depth: int) -> Iterator[tuple[str, Object]]:
    """All modules inside a module and itself, in order, with their letters; "" says nothing.

    One may stand in several places, or inside itself: that ends by their number or their depth.
    """
    kind = module.kind.removeprefix("nn.").removeprefix("cudnn.")
    inner = module.fields.get("modules")
    if isinstance(inner, dict) and kind == "Sequential" and depth < _MOST_DEEP:
        yield "", module
        for number in sorted(key for key in inner if isinstance(key, int)):
            if isinstance(inner[number], Object):
                yield from _flat(where, inner[number], depth + 1)
        return
    letter = _LAYERS.get(kind)
    if letter is None or isinstance(inner, dict):
        raise UserError(f"{where} holds another network: it has a layer {module.kind!r}")
    fault = _fault(letter, module.fields)
    if fault:
        raise UserError(f"{where} holds another network: {module.kind!r} with {fault}")
    yield letter, module


def _fault(letter: str, fields: dict[Any, Any]) -> str:
    """An option of a layer that changes what it computes, and that this package's have not."""
    names = {"c": ("adjH", "adjW"), "r": ("threshold", "val")}.get(letter, ())
    return ", ".join(f"{name} {fields[name]}" for name in names if fields.get(name, 0) != 0)


def _collect(
    layers: list[tuple[str, Object]],
) -> tuple[dict[str, np.ndarray], tuple[tuple[int, ...], ...]]:
    arrays: dict[str, np.ndarray] = {}
    steps: list[tuple[int, ...]] = []
    last = sum(letter == "c" for letter, _ in layers) - 1
    for letter, module in layers:
        fields = module.fields
        if letter == "c":
            number = len(steps)
            prefix = f"{number}" if number == last else f"{number}.0"
            steps.append(_steps(fields))
            found = {"weight": _kernel(fields), "bias": fields.get("bias")}
        elif letter == "n":
            prefix = f"{len(steps) - 1}.1"
            found = {name: fields.get(name) for name in ("weight", "bias", "running_mean")}
            found["running_var"] = _variance(fields)
        else:
            continue
        for name, value in found.items():
            if isinstance(value, np.ndarray):
                with np.errstate(over="ignore"):  # what is not finite is refused later, by name
                    arrays[f"{prefix}.{name}"] = value.astype(np.float32)
    return arrays, tuple(steps)


def _steps(fields: dict[Any, Any]) -> tuple[int, ...]:
    pairs = (("dH", 1), ("dW", 1), ("padH", 0), ("padW", 0), ("dilationH", 1), ("dilationW", 1))
    return tuple(fields.get(name, otherwise) for name, otherwise in pairs)


def _kernel(fields: dict[Any, Any]) -> Any:
    """Some versions keep the weights of a convolution as a matrix."""
    weight = fields.get("weight")
    shape = [fields.get(name, 0) for name in ("nOutputPlane", "nInputPlane", "kH", "kW")]
    if not isinstance(weight, np.ndarray) or weight.ndim != 2:
        return weight
    whole = all(isinstance(n, int) and n > 0 for n in shape)
    fits = whole and math.prod(shape) == weight.size
    return weight.reshape(shape) if fits else weight


def _variance(fields: dict[Any, Any]) -> Any:
    """Of the running statistics, as it stands beside this package's epsilon."""
    epsilon = fields.get("eps", EPSILON)
    variance, inverse = fields.get("running_var"), fields.get("running_std")
    if variance is None and isinstance(inverse, np.ndarray):  # oldest: 1 / sqrt(var + eps)
        with np.errstate(divide="ignore"):
            return 1 / np.square(np.float64(inverse)) - EPSILON
    if not isinstance(variance, np.ndarray) or not isinstance(epsilon, (int, float)):
        return None
    return np.float64(variance) + (epsilon - EPSILON)


def _mean(found: Any) -> np.ndarray | None:
    mean = found.get("mean") if isinstance(found, dict) else None
    if isinstance(mean, dict):
        values = [mean.get(number) for number in (1, 2, 3)]
        mean = np.array(values) if all(isinstance(v, (int, float)) for v in values) else None
    if not isinstance(mean, np.ndarray) or mean.size != 3:
        return None
    with np.errstate(over="ignore"):  # what is not finite is refused later
        return mean.reshape(3).astype(np.float32)
