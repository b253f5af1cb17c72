"""Flax layers that all networks share: convolution, batch normalisation, activation.

The operators behind them are chosen per platform in `operators.py`; the layers only hold
parameters. Every layer computes in `dtype` and keeps float32 parameters and statistics.
"""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp

from glcic_jax.networks import operators

EPSILON = 1e-5
"""Added to the variance in batch normalisation."""

_kernel_init = nn.initializers.he_normal()


class Conv(nn.Module):
    """Convolution with a bias; the input is padded by zeros so that stride 1 keeps the size."""

    features: int
    size: int = 3
    stride: int = 1
    dilation: int = 1
    dtype: jnp.dtype = jnp.float32
    use_bias: bool = True
    zero_init: bool = False

    @nn.compact
    def __call__(self, x_BxHxWxC: jax.Array) -> jax.Array:
        """B x ceil(H / stride) x ceil(W / stride) x `features`, of type `dtype`."""
        shape = (self.size, self.size, x_BxHxWxC.shape[-1], self.features)
        init = nn.initializers.zeros_init() if self.zero_init else _kernel_init
        kernel = self.param("kernel", init, shape)
        y = operators.convolve(
            x_BxHxWxC.astype(self.dtype),
            kernel.astype(self.dtype),
            stride=self.stride,
            dilation=self.dilation,
        )
        if self.use_bias:
            y = _with_bias(self, y)
        return y


class ConvTranspose(nn.Module):
    """4x4 transposed convolution of stride 2: doubles height and width."""

    features: int
    dtype: jnp.dtype = jnp.float32
    use_bias: bool = False

    @nn.compact
    def __call__(self, x_BxHxWxC: jax.Array) -> jax.Array:
        """B x 2H x 2W x `features`, of type `dtype`."""
        # Each output pixel sums a quarter of the taps, so the fan-in is that of a 2x2 kernel.
        init = nn.initializers.variance_scaling(8.0, "fan_in", "truncated_normal")
        kernel = self.param("kernel", init, (4, 4, x_BxHxWxC.shape[-1], self.features))
        y = operators.convolve_transpose(x_BxHxWxC.astype(self.dtype), kernel.astype(self.dtype))
        return _with_bias(self, y) if self.use_bias else y


class InterpolatedConv(nn.Module):
    """Every pixel twice along both axes, then a 3x3 convolution: doubles the map."""

    features: int
    dtype: jnp.dtype = jnp.float32
    use_bias: bool = False

    @nn.compact
    def __call__(self, x_BxHxWxC: jax.Array) -> jax.Array:
        """B x 2H x 2W x `features`, of type `dtype`."""
        kernel = self.param("kernel", _kernel_init, (3, 3, x_BxHxWxC.shape[-1], self.features))
        y = operators.convolve_doubled(x_BxHxWxC.astype(self.dtype), kernel.astype(self.dtype))
        return _with_bias(self, y) if self.use_bias else y


def _with_bias(layer: nn.Module, y_BxHxWxF: jax.Array) -> jax.Array:
    """Adds the layer's parameter `bias`, which starts at zero."""
    bias = layer.param("bias", nn.initializers.zeros_init(), (y_BxHxWxF.shape[-1],))
    return y_BxHxWxF + bias.astype(y_BxHxWxF.dtype)


class NormReLU(nn.Module):
    """Batch normalisation over batch, height and width, then ReLU; or `rectifies_first`.

    `axis_name` is the mapped axis over which `jax.pmap` or `shard_map` spreads the batch; under
    `jit` with a sharded batch the statistics span the whole batch by themselves.
    """

    momentum: float
    dtype: jnp.dtype = jnp.float32
    axis_name: str | None = None
    rectifies_first: bool = False

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Normalise each feature and cut negative values off, or the other way round.

        Args:
            x: x_BxHxWxF or x_BxF; float32 or bfloat16.
            train: use (and update) the batch's statistics instead of the running ones.

        Returns:
            The result, of the shape of `x`, of type `dtype`.
        """
        norm = BatchNorm(self.momentum, self.dtype, self.axis_name, name="norm")
        if self.rectifies_first:
            return norm(nn.relu(x), train=train)
        return nn.relu(norm(x, train=train))


class BatchNorm(nn.Module):
    """Batch normalisation (Ioffe & Szegedy 2015, arXiv:1502.03167) over all axes but the last.

    Its variables are those of `flax.linen.BatchNorm`, its results the same but for rounding. It
    differs in that it multiplies and adds one number each for a feature. Flax subtracts the mean
    first, and on CPUs XLA keeps that difference for the gradient: one more array written and read
    for each layer, 7 % of a joint step at 32 px (`benchmarks.train_step`).
    """

    momentum: float
    dtype: jnp.dtype = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """As `NormReLU`, without the ReLU; `x` has any shape that ends in the features."""
        shape = x.shape[-1:]
        running_mean = self.variable("batch_stats", "mean", jnp.zeros, shape)
        running_var = self.variable("batch_stats", "var", jnp.ones, shape)
        scale_F = self.param("scale", nn.initializers.ones_init(), shape)
        bias_F = self.param("bias", nn.initializers.zeros_init(), shape)
        x = x.astype(jnp.float32)
        if train:
            mean_F, var_F = self._statistics(x)
            if not self.is_initializing():
                kept = self.momentum
                running_mean.value = kept * running_mean.value + (1 - kept) * mean_F
                running_var.value = kept * running_var.value + (1 - kept) * var_F
        else:
            mean_F, var_F = running_mean.value, running_var.value
        factor_F = scale_F * jax.lax.rsqrt(var_F + EPSILON)
        return (x * factor_F + (bias_F - mean_F * factor_F)).astype(self.dtype)

    def _statistics(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """mean_F and var_F of the whole batch."""
        axes = tuple(range(x.ndim - 1))
        moments_2xF = jnp.stack([x.mean(axes), jnp.square(x).mean(axes)])
        if self.axis_name is not None and not self.is_initializing():
            moments_2xF = jax.lax.pmean(moments_2xF, self.axis_name)
        mean_F, square_F = moments_2xF
        return mean_F, jnp.maximum(square_F - jnp.square(mean_F), 0.0)
