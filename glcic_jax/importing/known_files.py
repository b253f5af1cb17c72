"""Which files of other programs are known, and what becomes of their arrays.

A kind is told by the names and shapes of the arrays alone. To add one whose network is a form of
`CompletionNetwork`: an entry in `_KINDS`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import flax.traverse_util
import numpy as np

from glcic_jax.config.settings import Config, ModelConfig
from glcic_jax.errors import UserError
from glcic_jax.networks.interface import Layer

_DEPTH = 17
_TRANSPOSED = (13, 15)
_OUTPUT = Layer("output", 3)
NORM = ("weight", "bias", "running_mean", "running_var")
_SHOWN = 4
"""Most names in a message."""


@dataclasses.dataclass(frozen=True)
class Kind:
    """One program's form of the paper's completion network."""

    title: str
    model: ModelConfig
    """The form; its width is that of the file."""
    image_size: int
    """Side in pixels of the images that it was trained with."""
    names: tuple[tuple[str, str], ...]
    """Prefix of each convolution's arrays and of its normalisation's, in order; "": none."""
    mean: tuple[float, float, float] | None = None
    """The mean pixel that the program has in itself; None: a file beside the weights says it."""


_PAPER = ModelConfig(
    width=64, dilated_residual=False, fill="mean", convolution_bias=True, deepest=0.0
)
OTENIM = Kind(
    "model_cn of otenim/GLCIC-PyTorch",
    dataclasses.replace(_PAPER, normalisation="after_relu"),
    160,
    tuple(
        (f"{'deconv' if n in _TRANSPOSED else 'conv'}{n}", f"bn{n}" if n < _DEPTH else "")
        for n in range(1, _DEPTH + 1)
    ),
)
IIZUKA = Kind(
    "Iizuka's network as yangwangx/inpainting_glcic_pytorch converts it",
    dataclasses.replace(_PAPER, contrast="centred"),
    256,
    (*((f"{n}.0", f"{n}.1") for n in range(_DEPTH - 1)), (f"{_DEPTH - 1}", "")),
    (0.4560, 0.4472, 0.4155),
)
_KINDS = (OTENIM, IIZUKA)


def recognise(where: str, arrays: Mapping[str, np.ndarray]) -> Kind:
    """The kind whose names the arrays have.

    Args:
        where: the file, for messages.
        arrays: any shape, by name.

    Raises:
        UserError: none; says what is missing or too much for the nearest.
    """
    if any(name.startswith(("model_ld.", "model_gd.")) for name in arrays):
        raise UserError(
            f"{where} holds discriminators, as model_cd of otenim/GLCIC-PyTorch does; give the "
            "file of the completion network, model_cn (a training run takes this one by "
            "--initial-discriminators)"
        )
    kind = min(_KINDS, key=lambda kind: len(_names(kind) - arrays.keys()))
    faults = faults_of(arrays, _names(kind))
    if faults:
        raise UserError(
            f"{where} is no GLCIC completion network that can be imported; the nearest is "
            f"{kind.title}, but the file {faults}. See docs/exchange.md"
        )
    return kind


def faults_of(arrays: Mapping[str, np.ndarray], names: set[str]) -> str:
    """Which names a file lacks or has beside these, for a message; "" if it has just these.

    Args:
        arrays: any shape, by name.
        names: of a whole file.
    """
    missing, other = names - arrays.keys(), arrays.keys() - names
    faults = [f"lacks {_listed(missing)}"] if missing else []
    faults += [f"has {_listed(other)} beside them"] if other else []
    return " and ".join(faults)


def config_of(where: str, arrays: Mapping[str, np.ndarray], kind: Kind) -> Config:
    """The configuration of the network in a file; all that does not decide it is the default.

    Args:
        where: the file, for messages.
        arrays: any shape, by name.
        kind: as `recognise` found.

    Raises:
        UserError: the first layer is of no width, or reads no mask.
    """
    name = f"{kind.names[0][0]}.weight"
    shape = arrays[name].shape
    if len(shape) == 4 and shape[1] == 3:
        raise UserError(
            f"{where} is an early form of {kind.title}, whose {name} of shape {shape} reads three "
            "channels and no mask; only the later form, with four, can be imported"
        )
    if len(shape) != 4:
        raise UserError(f"{where}: {name} has shape {shape}; expected (64, 4, 5, 5)")
    return Config(image_size=kind.image_size, model=dataclasses.replace(kind.model, width=shape[0]))


def variables_of(
    where: str,
    arrays: Mapping[str, np.ndarray],
    kind: Kind,
    layers: tuple[Layer, ...],
    mean_pixel: np.ndarray,
) -> dict[str, Any]:
    """The variables of the generator.

    Args:
        where: the file, for messages.
        arrays: float32 of any shape, by name.
        kind: as `recognise` found.
        layers: of the generator.
        mean_pixel: float32 of shape (3,), in [0, 1].

    Raises:
        UserError: an array has another shape, or numbers that can't be.
    """
    variables: dict[str, Any] = {"constants/mean_pixel": mean_pixel}
    channels = 4
    for layer, (conv, norm) in zip((*layers, _OUTPUT), kind.names, strict=True):
        side = 4 if layer.doubles else layer.size
        pair = (channels, layer.features) if layer.doubles else (layer.features, channels)
        kernel = checked(where, arrays, f"{conv}.weight", (*pair, side, side))
        # The operators take kernels as PyTorch's do, but for the order of the axes.
        axes = (2, 3, 0, 1) if layer.doubles else (2, 3, 1, 0)
        variables[f"params/{layer.name}/kernel"] = np.ascontiguousarray(kernel.transpose(axes))
        shape_F = (layer.features,)
        variables[f"params/{layer.name}/bias"] = checked(where, arrays, f"{conv}.bias", shape_F)
        channels = layer.features
        if not norm:
            continue
        place = f"{layer.name}_norm/norm"
        variables |= normalisation_of(where, arrays, norm, place, layer.features)
    return flax.traverse_util.unflatten_dict(variables, sep="/")


def _names(kind: Kind) -> set[str]:
    convolutions = {f"{conv}.{name}" for conv, _ in kind.names for name in ("weight", "bias")}
    return convolutions | {f"{norm}.{name}" for _, norm in kind.names if norm for name in NORM}


def normalisation_of(
    where: str, arrays: Mapping[str, np.ndarray], norm: str, place: str, features: int
) -> dict[str, np.ndarray]:
    """The variables at `place` of the batch normalisation whose arrays begin with `norm`.

    Raises:
        UserError: an array has another shape, or numbers that can't be.
    """
    scale, bias, mean, variance = (
        checked(where, arrays, f"{norm}.{name}", (features,)) for name in NORM
    )
    if variance.min() < 0:
        raise UserError(f"{where}: {norm}.running_var has negative values; the file is damaged")
    return {
        f"params/{place}/scale": scale,
        f"params/{place}/bias": bias,
        f"batch_stats/{place}/mean": mean,
        f"batch_stats/{place}/var": variance,
    }


def checked(
    where: str, arrays: Mapping[str, np.ndarray], name: str, shape: tuple[int, ...]
) -> np.ndarray:
    """The array of that name.

    Raises:
        UserError: it has another shape, or values that are not finite.
    """
    array = arrays[name]
    if array.shape != shape:
        raise UserError(f"{where}: {name} has shape {array.shape}; expected {shape}")
    if not np.isfinite(array).all():
        raise UserError(f"{where}: {name} has values that are not finite; the file is damaged")
    return array


def _listed(names: Iterable[str]) -> str:
    ordered = sorted(names)
    more = len(ordered) - _SHOWN
    return ", ".join(ordered[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
