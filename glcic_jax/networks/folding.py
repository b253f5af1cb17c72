"""Batch normalisation folded into the convolutions: the generator as inference needs it."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from glcic_jax.networks.interface import Generator
from glcic_jax.networks.layers import EPSILON


class Folded(NamedTuple):
    """A convolution that does what convolution and batch normalisation did.

    `kernel_KxKxCxF`, `bias_F` and both parts of `after` are float32.
    """

    kernel: jax.Array
    bias: jax.Array
    after: tuple[jax.Array, jax.Array] | None = None
    """factor_F and offset_F of a normalisation that follows the ReLU: `relu(y) * factor + offset`.
    It does not fold into the next kernel, because that reads zeros beyond the border, not offsets.
    """


def fold(generator: Generator, variables: Any) -> dict[str, Folded]:
    """Fold the running statistics of every layer into its kernel; exact but for rounding.

    With running statistics, normalisation is the affine map `scale * (y - mean) / deviation +
    offset` of each feature, and an affine map of a convolution is a convolution with a bias. Behind
    a ReLU it stays an affine map.

    Args:
        generator: a network whose `layers()` are not None.
        variables: its `params` and `batch_stats`.

    Returns:
        The layers by name, `output` among them.

    Raises:
        ValueError: the network is no chain of convolutions.
    """
    layers = generator.layers()
    if layers is None:
        raise ValueError(
            f"{type(generator).__name__} is no chain of convolutions, so nothing folds"
        )
    params, statistics = variables["params"], variables["batch_stats"]
    folded = {}
    for layer in layers:
        if layer.closes:
            folded[layer.name] = _as_it_is(params[layer.name])
            continue
        norm = params[f"{layer.name}_norm"]["norm"]
        running = statistics[f"{layer.name}_norm"]["norm"]
        factor_F = norm["scale"] * jax.lax.rsqrt(running["var"] + EPSILON)
        offset_F = norm["bias"] - running["mean"] * factor_F
        kernel = params[layer.name]["kernel"]
        bias_F = params[layer.name].get("bias", jnp.zeros_like(factor_F))
        folded[layer.name] = (
            Folded(kernel, bias_F, (factor_F, offset_F))
            if layer.rectifies_first
            else Folded(kernel * factor_F, bias_F * factor_F + offset_F)
        )
    return folded | {"output": _as_it_is(params["output"])}


def _as_it_is(params: Any) -> Folded:
    return Folded(jnp.asarray(params["kernel"]), jnp.asarray(params["bias"]))
