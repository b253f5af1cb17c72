"""The GLCIC completion network (Iizuka, Simo-Serra & Ishikawa 2017, section 3.3 and table 1)."""

from __future__ import annotations

from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from glcic_jax.fill import harmonic_fill, mean_fill
from glcic_jax.models.layers import Conv, ConvTranspose, NormReLU


class CompletionNetwork(nn.Module):
    """Fully convolutional; reads an image and its mask, answers with a whole image.

    With `width` 64, two downsamples, rates (2, 4, 8, 16), `fill` "mean" and no residual additions
    it is the paper's table 1: 5x5, then for each halving a 3x3 of stride 2 and a 3x3, one more
    3x3, the dilated layers, two 3x3, then for each doubling a transposed 4x4 and a 3x3, and the
    3x3 output. Each convolution but the last is followed by batch normalisation and ReLU, so none
    of them needs a bias.

    `fill` decides what stands in the hole first. "mean": the mean pixel, and the output is a
    sigmoid, as in the paper. "harmonic": the smooth solution of Laplace's equation; the output is
    that surface plus the last layer, which starts at zero, clipped to [0, 1] outside training.

    The mean pixel of the training set is part of the variables: `constants/mean_pixel`.
    """

    width: int = 64
    downsamples: int = 2
    dilations: tuple[int, ...] = (2, 4, 8, 16)
    dilated_residual: bool = False
    fill: Literal["mean", "harmonic"] = "mean"
    momentum: float = 0.9
    dtype: jnp.dtype = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(
        self, image_BxHxWx3: jax.Array, mask_BxHxWx1: jax.Array, *, train: bool
    ) -> jax.Array:
        """Complete `image` where `mask` is 1.

        Args:
            image_BxHxWx3: float32 in [0, 1]; values in the hole are not read. H and W must divide
                by `2**downsamples`.
            mask_BxHxWx1: float32, 1 is the hole.
            train: use (and update) the batch's statistics instead of the running ones.

        Returns:
            float32 image_BxHxWx3, the network's raw output over the whole image.
        """
        mean_pixel = self.variable("constants", "mean_pixel", lambda: jnp.full(3, 0.5)).value
        fill = harmonic_fill if self.fill == "harmonic" else mean_fill
        filled_BxHxWx3 = fill(image_BxHxWx3, mask_BxHxWx1, mean_pixel)

        x = jnp.concatenate([filled_BxHxWx3, mask_BxHxWx1], -1)
        x = self._encode(x, train)
        x = self._dilate(x, train)
        x = self._decode(x, train)

        last = Conv(3, dtype=self.dtype, zero_init=self.fill == "harmonic", name="output")
        output_BxHxWx3 = last(x).astype(jnp.float32)
        if self.fill == "mean":
            return nn.sigmoid(output_BxHxWx3)
        completed = filled_BxHxWx3 + output_BxHxWx3
        return completed if train else jnp.clip(completed, 0.0, 1.0)

    def _conv(self, x, features, train, name, **conv):
        x = Conv(features, use_bias=False, dtype=self.dtype, name=name, **conv)(x)
        return self._norm_relu(x, train, name)

    def _norm_relu(self, x, train, name):
        norm = NormReLU(self.momentum, self.dtype, self.axis_name, name=f"{name}_norm")
        return norm(x, train=train)

    def _encode(self, x, train):
        x = self._conv(x, self.width, train, "entry", size=5)
        for level in range(1, self.downsamples + 1):
            features = self.width * 2**level
            x = self._conv(x, features, train, f"down{level}", stride=2)
            x = self._conv(x, features, train, f"down{level}_conv")
        return self._conv(x, features, train, "middle")

    def _dilate(self, x, train):
        features = x.shape[-1]
        for number, rate in enumerate(self.dilations, start=1):
            y = self._conv(x, features, train, f"dilated{number}", dilation=rate)
            x = x + y if self.dilated_residual else y
        x = self._conv(x, features, train, "merge1")
        return self._conv(x, features, train, "merge2")

    def _decode(self, x, train):
        for level in range(self.downsamples, 0, -1):
            features = self.width * 2 ** (level - 1)
            up = ConvTranspose(features, dtype=self.dtype, name=f"up{level}")
            x = self._norm_relu(up(x), train, f"up{level}")
            # The paper's last convolution before the output has half the channels.
            narrow = features // 2 if level == 1 else features
            x = self._conv(x, narrow, train, f"up{level}_conv")
        return x
