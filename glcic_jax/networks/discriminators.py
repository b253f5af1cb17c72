"""Discriminators: of the whole image, of the local window, of patches.

Sources: Iizuka et al. 2017, section 3.4 and table 2, for the global and the local one; Demir & Unal
2018 (arXiv:1803.07422), section 3.2, for the shared first layers and the grid of decisions about
patches; Miyato et al. 2018 (arXiv:1802.05957) for spectral normalisation.

Every discriminator is called with whole images and local windows and answers with float32 logits
by name; positive means real. None has a sigmoid. `BUILDERS` at the end has one entry for each value
of `model.discriminator`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from glcic_jax.config.model import Fusion, LocalHead, ModelConfig
from glcic_jax.networks.layers import Conv, NormReLU

_SMALLEST_SIDE = 4
_MOST_SHARED = 3
"""Shared layers: after three each patch decision sees 61 px of a 256 px image."""

_Views = Literal["both", "global", "local"]


def strided_layers(side: int) -> int:
    """How many halvings bring an image of `side` pixels to about 4x4: 6 at 256, 3 at 32."""
    layers = 1
    while -(-side // 2 ** (layers + 1)) >= _SMALLEST_SIDE:
        layers += 1
    return layers


class _Settings(nn.Module):
    """What all parts of the discriminators have in common.

    `spectral` divides every kernel by its largest singular value, estimated by one more power
    iteration in each pass (a step has two: real and completed images), and leaves batch
    normalisation out. `halvings` is how often an image is halved, 0: `strided_layers`.
    `rectifies_first`: each layer normalises what it has rectified, and has a bias.
    """

    width: int = 64
    dense_features: int = 1024
    halvings: int = 0
    rectifies_first: bool = False
    spectral: bool = False
    momentum: float = 0.9
    dtype: jnp.dtype = jnp.float32
    axis_name: str | None = None

    def _settings(self) -> tuple:
        form = ("width", "dense_features", "halvings", "rectifies_first", "spectral")
        return tuple(getattr(self, field) for field in (*form, "momentum", "dtype", "axis_name"))

    def _halvings(self, side: int) -> int:
        return self.halvings or strided_layers(side)

    def _conv(
        self, name: str, x: jax.Array, features: int, *, size: int, stride: int = 1, train: bool
    ) -> jax.Array:
        """Convolution, normalisation, ReLU."""
        has_bias = self.spectral or self.rectifies_first
        conv = Conv(features, size, stride, use_bias=has_bias, dtype=self.dtype, name=name)
        if self.spectral:
            return nn.relu(nn.SpectralNorm(conv, name=f"{name}_sn")(x, update_stats=train))
        norm = NormReLU(
            self.momentum, self.dtype, self.axis_name, self.rectifies_first, name=f"{name}_norm"
        )
        return norm(conv(x), train=train)

    def _strided(self, x: jax.Array, layers: Sequence[int], train: bool) -> jax.Array:
        """5x5 convolutions of stride 2; channels double from `width` up to `8 * width`."""
        for layer in layers:
            features = self.width * min(2**layer, 8)
            x = self._conv(f"conv{layer + 1}", x, features, size=5, stride=2, train=train)
        return x

    def _vector(self, x: jax.Array, train: bool) -> jax.Array:
        """vector_BxF, F = `dense_features`."""
        dense = nn.Dense(self.dense_features, dtype=self.dtype, name="dense")
        x = x.reshape(x.shape[0], -1)
        if self.spectral:
            return nn.relu(nn.SpectralNorm(dense, name="dense_sn")(x, update_stats=train))
        return nn.relu(dense(x))

    def _logit(self, name: str, vector: jax.Array, train: bool) -> jax.Array:
        """logit_B."""
        dense = nn.Dense(1, dtype=jnp.float32, name=f"{name}_logit")
        if self.spectral:
            return nn.SpectralNorm(dense, name=f"{name}_logit_sn")(vector, update_stats=train)[:, 0]
        return dense(vector)[:, 0]

    def _patch_logits(self, name: str, x: jax.Array, train: bool) -> jax.Array:
        """logits_BxHxW: one decision for each place of a feature map, from its surroundings."""
        x = self._conv(f"{name}_patches", x, x.shape[-1], size=3, train=train)
        conv = Conv(1, dtype=self.dtype, name=f"{name}_logit")
        if self.spectral:
            y = nn.SpectralNorm(conv, name=f"{name}_logit_sn")(x, update_stats=train)
        else:
            y = conv(x)
        return y[..., 0].astype(jnp.float32)


class ImageEncoder(_Settings):
    """5x5 convolutions of stride 2 down to about 4x4, then one vector.

    At 256 px and width 64 this is the paper's global, at 128 px its local discriminator.
    """

    @nn.compact
    def __call__(self, image_BxHxWx3: jax.Array, *, train: bool) -> jax.Array:
        """Returns vector_BxF, F = `dense_features`."""
        layers = range(self._halvings(image_BxHxWx3.shape[1]))
        return self._vector(self._strided(image_BxHxWx3, layers, train), train)


class PatchDiscriminator(_Settings):
    """A grid of decisions: strided convolutions, one halving fewer than `ImageEncoder` (or one)."""

    @nn.compact
    def __call__(self, image_BxHxWx3: jax.Array, *, train: bool) -> jax.Array:
        """Returns logits_BxHxW of the patches."""
        layers = range(max(1, self._halvings(image_BxHxWx3.shape[1]) - 1))
        return self._patch_logits("patch", self._strided(image_BxHxWx3, layers, train), train)


class ContextDiscriminator(_Settings):
    """Global discriminator of the whole image, local one of the window around the hole.

    `views` leaves one of them out. `fusion` "joint" concatenates both vectors and maps them to one
    logit, as in the paper; "separate" gives each discriminator a logit of its own. `local_head`
    "patch" lets the local one decide about patches of its window; it needs separate logits.
    """

    views: _Views = "both"
    fusion: Fusion = "joint"
    local_head: LocalHead = "vector"

    @nn.compact
    def __call__(
        self, image_BxSxSx3: jax.Array, window_BxPxPx3: jax.Array, *, train: bool
    ) -> dict[str, jax.Array]:
        """Judge images.

        Args:
            image_BxSxSx3: whole images, float32; completed ones may leave [0, 1] in training.
            window_BxPxPx3: a square cut out of each.
            train: use (and update) the batch's statistics instead of the running ones.

        Returns:
            float32 logits by name: {"joint"}, or "global" and "local" or one of them. Of shape B;
            patches' logits of shape BxHxW.
        """
        views = {"global": image_BxSxSx3, "local": window_BxPxPx3}
        if self.views != "both":
            views = {self.views: views[self.views]}
        logits, vectors = {}, {}
        for name, view in views.items():
            if name == "local" and self.local_head == "patch":
                patches = PatchDiscriminator(*self._settings(), name="local")
                logits[name] = patches(view, train=train)
            else:
                encoder = ImageEncoder(*self._settings(), name=name)
                vectors[name] = encoder(view, train=train)
        if self.views == "both" and self.fusion == "joint":
            vectors = {"joint": jnp.concatenate([vectors["global"], vectors["local"]], -1)}
        judged = {name: self._logit(name, vector, train) for name, vector in vectors.items()}
        return judged | logits


class SharedPatchDiscriminator(_Settings):
    """First layers of the whole image shared; then one decision for it, and a grid for its patches.

    The local window is not read. With two halvings or more the last ones belong to the global head
    alone.
    """

    @nn.compact
    def __call__(
        self, image_BxSxSx3: jax.Array, window_BxPxPx3: jax.Array, *, train: bool
    ) -> dict[str, jax.Array]:
        """As `ContextDiscriminator`; returns logits "global" of shape B, "patch" of BxHxW."""
        del window_BxPxPx3
        layers = range(self._halvings(image_BxSxSx3.shape[1]))
        shared = layers[: min(_MOST_SHARED, max(1, len(layers) - 1))]
        x = self._strided(image_BxSxSx3, shared, train)
        vector = self._vector(self._strided(x, layers[len(shared) :], train), train)
        return {
            "global": self._logit("global", vector, train),
            "patch": self._patch_logits("patch", x, train),
        }


def _context(views: _Views) -> Callable[[ModelConfig, dict[str, Any]], nn.Module]:
    def build(model: ModelConfig, common: dict[str, Any]) -> nn.Module:
        return ContextDiscriminator(
            views=views, fusion=model.fusion, local_head=model.local_head, **common
        )

    return build


def _shared_patch(model: ModelConfig, common: dict[str, Any]) -> nn.Module:
    del model
    return SharedPatchDiscriminator(**common)


BUILDERS: Mapping[str, Callable[[ModelConfig, dict[str, Any]], nn.Module]] = {
    "context": _context("both"),
    "global": _context("global"),
    "local": _context("local"),
    "shared_patch": _shared_patch,
}
"""By the value of `model.discriminator`: from the model's settings and what all discriminators have
in common, the fields of `_Settings`, to one module."""
