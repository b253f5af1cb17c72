"""The study's base: an encoder, a fully connected bottleneck and a decoder.

After the context encoder of Pathak et al., CVPR 2016 (arXiv:1604.07379), section 3, with batch
normalisation and ReLU as in the other networks here. Its bottleneck fixes the size of the image.
"""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp

from glcic_jax.config.model import Contrast, Fill
from glcic_jax.networks.completion import fill_first, seen_by_network, to_image
from glcic_jax.networks.layers import Conv, ConvTranspose, NormReLU


class ContextEncoder(nn.Module):
    """Reads an image and its mask, answers with a whole image of the same, fixed size.

    5x5 convolutions of stride 2 down to about 4x4, channels doubling from `width`; a vector of
    `bottleneck` values that sees everything; transposed 4x4 convolutions up again. `fill` as in
    `CompletionNetwork`; `constants/mean_pixel` too.
    """

    image_size: int
    width: int = 64
    bottleneck: int = 512
    fill: Fill = "mean"
    contrast: Contrast = "absolute"
    momentum: float = 0.9
    dtype: jnp.dtype = jnp.float32
    axis_name: str | None = None

    @property
    def deepest(self) -> float:
        """Everything in one pass: no image is half the size of this one."""
        return 0.0

    @property
    def refines(self) -> bool:
        """Nothing to go on from."""
        return False

    @property
    def views(self) -> int:
        """The image alone."""
        return 1

    @property
    def mirror_margin(self) -> int:
        """None: it completes images of one size."""
        return 0

    @property
    def downsamples(self) -> int:
        """How often the image is halved: down to 4 to 7 pixels."""
        return max(1, (self.image_size // 4).bit_length() - 1)

    @property
    def multiple(self) -> int:
        """What height and width must divide by, so that the image comes out as large as it was."""
        return 2**self.downsamples

    def layers(self) -> None:
        """No chain of convolutions: the bottleneck sees everything."""

    @nn.compact
    def __call__(
        self,
        image_BxSxSx3: jax.Array,
        mask_BxSxSx1: jax.Array,
        *,
        train: bool,
        start_BxHxWx3: jax.Array | None = None,
    ) -> jax.Array:
        """Complete `image` where `mask` is 1; arguments and result as for `CompletionNetwork`.

        Raises:
            ValueError: the image is not `image_size` pixels wide and high.
        """
        if image_BxSxSx3.shape[1:3] != (self.image_size, self.image_size):
            raise ValueError(
                f"this context encoder completes images of {self.image_size} x {self.image_size} "
                f"pixels; got {image_BxSxSx3.shape[1]} x {image_BxSxSx3.shape[2]}"
            )
        mean_pixel = self.variable("constants", "mean_pixel", lambda: jnp.full(3, 0.5)).value
        filled_BxSxSx3 = fill_first(
            self.fill, image_BxSxSx3, mask_BxSxSx1, mean_pixel, start_BxHxWx3
        )
        seen_BxSxSx3, scale = seen_by_network(
            self.contrast, filled_BxSxSx3, mask_BxSxSx1, mean_pixel
        )
        x = jnp.concatenate([seen_BxSxSx3, mask_BxSxSx1], -1)
        widths = [self.width * min(2**level, 8) for level in range(self.downsamples)]
        for level, features in enumerate(widths, start=1):
            x = Conv(features, 5, stride=2, use_bias=False, dtype=self.dtype, name=f"down{level}")(
                x
            )
            x = self._norm(f"down{level}_norm", x, train)
        shape = x.shape
        for name, features in (("encoded", self.bottleneck), ("decoded", x[0].size)):
            x = x.reshape(shape[0], -1)
            x = nn.Dense(features, use_bias=False, dtype=self.dtype, name=name)(x)
            x = self._norm(f"{name}_norm", x, train)
        x = x.reshape(shape)
        for level, features in reversed(list(enumerate([self.width, *widths[:-1]], start=1))):
            x = ConvTranspose(features, dtype=self.dtype, name=f"up{level}")(x)
            x = self._norm(f"up{level}_norm", x, train)
        last = Conv(3, dtype=self.dtype, zero_init=self.fill == "harmonic", name="output")
        return to_image(self.fill, filled_BxSxSx3, last(x), scale, train=train)

    def _norm(self, name: str, x: jax.Array, train: bool) -> jax.Array:
        return NormReLU(self.momentum, self.dtype, self.axis_name, name=name)(x, train=train)
