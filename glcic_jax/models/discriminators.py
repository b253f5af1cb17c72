"""The global and the local discriminator (Iizuka et al. 2017, section 3.4 and table 2)."""

from __future__ import annotations

from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from glcic_jax.models.layers import Conv, NormReLU

_SMALLEST_SIDE = 4


def strided_layers(side: int) -> int:
    """How many halvings bring an image of `side` pixels to about 4x4: 6 at 256, 3 at 32."""
    layers = 1
    while -(-side // 2 ** (layers + 1)) >= _SMALLEST_SIDE:
        layers += 1
    return layers


class ImageEncoder(nn.Module):
    """5x5 convolutions of stride 2 down to about 4x4, then one vector.

    Channels double from `width` up to `8 * width`; batch normalisation and ReLU follow each.
    At 256 px and width 64 this is the paper's global, at 128 px its local discriminator.
    """

    width: int
    dense_features: int
    momentum: float
    dtype: jnp.dtype = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, image_BxHxWx3: jax.Array, *, train: bool) -> jax.Array:
        """Returns vector_BxF, F = `dense_features`."""
        x = image_BxHxWx3
        for layer in range(strided_layers(x.shape[1])):
            features = self.width * min(2**layer, 8)
            x = Conv(
                features, 5, stride=2, use_bias=False, dtype=self.dtype, name=f"conv{layer + 1}"
            )(x)
            norm = NormReLU(self.momentum, self.dtype, self.axis_name, name=f"conv{layer + 1}_norm")
            x = norm(x, train=train)
        x = x.reshape(x.shape[0], -1)
        return nn.relu(nn.Dense(self.dense_features, dtype=self.dtype, name="dense")(x))


class ContextDiscriminator(nn.Module):
    """Global discriminator of the whole image, local one of the window around the hole.

    `fusion` "joint" concatenates both vectors and maps them to one logit, as in the paper;
    "separate" gives each discriminator a logit of its own.
    """

    width: int = 64
    dense_features: int = 1024
    fusion: Literal["joint", "separate"] = "joint"
    momentum: float = 0.9
    dtype: jnp.dtype = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(
        self, image_BxSxSx3: jax.Array, window_BxPxPx3: jax.Array, *, train: bool
    ) -> dict[str, jax.Array]:
        """Judge images.

        Args:
            image_BxSxSx3: whole images, float32 in [0, 1].
            window_BxPxPx3: a square cut out of each.
            train: use (and update) the batch's statistics instead of the running ones.

        Returns:
            float32 logits_B by name: {"joint"} or {"global", "local"}. Positive means real.
        """

        def encoder(name):
            return ImageEncoder(
                self.width,
                self.dense_features,
                self.momentum,
                self.dtype,
                self.axis_name,
                name=name,
            )

        vectors = {
            "global": encoder("global")(image_BxSxSx3, train=train),
            "local": encoder("local")(window_BxPxPx3, train=train),
        }
        if self.fusion == "joint":
            vectors = {"joint": jnp.concatenate([vectors["global"], vectors["local"]], -1)}
        return {
            name: nn.Dense(1, dtype=jnp.float32, name=f"{name}_logit")(vector)[:, 0]
            for name, vector in vectors.items()
        }
