"""The GLCIC completion network (Iizuka, Simo-Serra & Ishikawa 2017, section 3.3 and table 1)."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp

from glcic_jax.config.model import Contrast, Fill, Normalisation
from glcic_jax.imaging.fills import harmonic_fill, mean_fill
from glcic_jax.imaging.values import composite
from glcic_jax.networks.contrast import local_contrast, normalised, restored
from glcic_jax.networks.interface import Layer
from glcic_jax.networks.layers import Conv, ConvTranspose, InterpolatedConv, NormReLU
from glcic_jax.networks.views import mean_of_views, stack_views


class CompletionNetwork(nn.Module):
    """Fully convolutional; reads an image and its mask, answers with a whole image.

    With `width` 64, two downsamples, rates (2, 4, 8, 16), `fill` "mean" and no residual additions
    it is the paper's table 1: 5x5, then for each halving a 3x3 of stride 2 and a 3x3, one more
    3x3, the dilated layers, two 3x3, then for each doubling a transposed 4x4 and a 3x3, and the
    3x3 output. Each convolution but the last is followed by batch normalisation and ReLU, so none
    of them needs a bias. Networks trained elsewhere have one all the same (`convolution_bias`), or
    the normalisation behind the ReLU (`normalisation`).

    `fill` decides what stands in the hole first. "mean": the mean pixel, and the output is a
    sigmoid, as in the paper. "harmonic": the smooth solution of Laplace's equation; the output is
    that surface plus the last layer, which starts at zero, clipped to [0, 1] outside training.

    With `contrast` "local" the network sees the filled image without its local brightness and
    contrast, and what it adds is scaled by them, see `networks/contrast.py`; with "centred" the
    image less the mean pixel.

    Outside training the last layer is the mean over `views` mirrored views of the image. Whoever
    completes an image continues it by its mirror image first, by `mirror_margin` pixels.

    The mean pixel of the training set is part of the variables: `constants/mean_pixel`.
    """

    width: int = 64
    downsamples: int = 2
    dilations: tuple[int, ...] = (2, 4, 8, 16)
    dilated_residual: bool = False
    fill: Fill = "mean"
    contrast: Contrast = "absolute"
    normalisation: Normalisation = "before_relu"
    convolution_bias: bool = False
    deepest: float = 0.0
    refines: bool = True
    views: int = 1
    mirror_margin: int = 0
    momentum: float = 0.9
    dtype: jnp.dtype = jnp.float32
    axis_name: str | None = None

    @property
    def image_size(self) -> None:
        """Any size."""

    @property
    def multiple(self) -> int:
        """What height and width must divide by."""
        return 2**self.downsamples

    @nn.compact
    def __call__(
        self,
        image_BxHxWx3: jax.Array,
        mask_BxHxWx1: jax.Array,
        *,
        train: bool,
        start_BxHxWx3: jax.Array | None = None,
    ) -> jax.Array:
        """Complete `image` where `mask` is 1.

        Args:
            image_BxHxWx3: float32 in [0, 1]; values in the hole are not read. H and W must divide
                by `multiple`.
            mask_BxHxWx1: float32, 1 is the hole.
            train: use (and update) the batch's statistics instead of the running ones.
            start_BxHxWx3: float32 in [0, 1], read in the hole: what stands there first. None:
                `fill`.

        Returns:
            float32 image_BxHxWx3, the network's raw output over the whole image.
        """
        mean_pixel = self.variable("constants", "mean_pixel", lambda: jnp.full(3, 0.5)).value
        filled_BxHxWx3 = fill_first(
            self.fill, image_BxHxWx3, mask_BxHxWx1, mean_pixel, start_BxHxWx3
        )
        seen_BxHxWx3, scale = seen_by_network(
            self.contrast, filled_BxHxWx3, mask_BxHxWx1, mean_pixel
        )
        views = 1 if train else self.views
        x = kept = stack_views(jnp.concatenate([seen_BxHxWx3, mask_BxHxWx1], -1), views)
        results: dict[str, jax.Array] = {}
        for layer in self.layers():
            kept = x if layer.opens or layer.residual else kept
            y = self._apply(layer, x, train)
            y = y + results[layer.adds] if layer.adds else y
            x = results[layer.name] = kept + y if layer.closes or layer.residual else y

        last = Conv(3, dtype=self.dtype, zero_init=self.fill == "harmonic", name="output")
        y = mean_of_views(last(x).astype(jnp.float32), views)
        return to_image(self.fill, filled_BxHxWx3, y, scale, train=train)

    def layers(self) -> tuple[Layer, ...]:
        """All layers but the last, the 3x3 `output`, in order."""
        after = self.normalisation == "after_relu"
        return tuple(layer._replace(rectifies_first=after) for layer in self._chain())

    def _chain(self) -> tuple[Layer, ...]:
        """As `layers`, whatever the order of ReLU and normalisation."""
        top = self.width * 2**self.downsamples
        encoder = [Layer("entry", self.width, size=5)]
        for level in range(1, self.downsamples + 1):
            features = self.width * 2**level
            encoder.append(Layer(f"down{level}", features, stride=2))
            encoder.append(Layer(f"down{level}_conv", features))
        dilated = [
            _dilated(f"dilated{number}", top, rate)._replace(residual=self.dilated_residual)
            for number, rate in enumerate(self.dilations, start=1)
        ]
        decoder = []
        for level in range(self.downsamples, 0, -1):
            features = self.width * 2 ** (level - 1)
            # The paper's last convolution before the output has half the channels.
            narrow = features // 2 if level == 1 else features
            decoder.append(Layer(f"up{level}", features, doubles="transposed"))
            decoder.append(Layer(f"up{level}_conv", narrow))
        middle, *merge = (Layer(name, top) for name in ("middle", "merge1", "merge2"))
        return (*encoder, middle, *dilated, *merge, *decoder)

    def _apply(self, layer: Layer, x: jax.Array, train: bool) -> jax.Array:
        if layer.closes:
            return Conv(layer.features, dtype=self.dtype, zero_init=True, name=layer.name)(x)
        has_bias = self.convolution_bias
        if layer.doubles == "transposed":
            x = ConvTranspose(layer.features, self.dtype, has_bias, name=layer.name)(x)
        elif layer.doubles == "interpolated":
            x = InterpolatedConv(layer.features, self.dtype, has_bias, name=layer.name)(x)
        else:
            x = Conv(
                layer.features,
                layer.size,
                layer.stride,
                layer.dilation,
                self.dtype,
                has_bias,
                name=layer.name,
            )(x)
        norm = NormReLU(
            self.momentum,
            self.dtype,
            self.axis_name,
            layer.rectifies_first,
            name=f"{layer.name}_norm",
        )
        return norm(x, train=train)


class ResidualNetwork(CompletionNetwork):
    """The study's extension, after Demir & Unal 2018 (arXiv:1803.07422), section 3.1.

    Convolutions of stride 2 down, then for each rate a residual block (dilated convolution, batch
    normalisation, ReLU, convolution, plus the block's input), then interpolated convolutions up.
    The last convolution of each block starts at zero, so every block starts as the identity.
    """

    def _chain(self) -> tuple[Layer, ...]:
        top = self.width * 2**self.downsamples
        encoder = [Layer("entry", self.width, size=5)]
        for level in range(1, self.downsamples + 1):
            encoder.append(Layer(f"down{level}", self.width * 2**level, stride=2))
        blocks = []
        for number, rate in enumerate(self.dilations, start=1):
            blocks += _block(f"block{number}", top, rate)
        decoder = []
        for level in range(self.downsamples, 0, -1):
            features = self.width * 2 ** (level - 1)
            narrow = features // 2 if level == 1 else features
            decoder.append(Layer(f"up{level}", features, doubles="interpolated"))
            decoder.append(Layer(f"up{level}_conv", narrow))
        return (*encoder, *blocks, Layer("merge", top), *decoder)


class SkipNetwork(CompletionNetwork):
    """Residual blocks at every size on the way up, with sums across from the way down.

    Made for holes of every kind in photographs. After U-Net (Ronneberger et al. 2015,
    arXiv:1505.04597), but features of equal size are added, as in LinkNet (Chaurasia & Culurciello
    2017, arXiv:1707.03718): what is known around missing pixels reaches the output at its own
    size. The way down is plain, so that a small hole, of which it reads the widest surroundings,
    stays cheap.
    """

    def _chain(self) -> tuple[Layer, ...]:
        layers = [Layer("entry", self.width, size=5)]
        for level in range(1, self.downsamples + 1):
            layers.append(Layer(f"down{level}", self.width * 2**level, stride=2))
        across = [layer.name for layer in layers]
        for number, rate in enumerate(self.dilations, start=1):
            layers += _block(f"block{number}", self.width * 2**self.downsamples, rate)
        for level in range(self.downsamples, 0, -1):
            features = self.width * 2 ** (level - 1)
            up = Layer(f"up{level}", features, doubles="interpolated", adds=across[level - 1])
            layers += [up, *_block(f"up{level}_block", features, 1)]
        return tuple(layers)


def _block(name: str, features: int, rate: int) -> list[Layer]:
    """A residual block: a dilated convolution, then one that starts at zero."""
    opens = _dilated(f"{name}_dilated", features, rate)._replace(opens=True)
    return [opens, Layer(f"{name}_conv", features, closes=True)]


def _dilated(name: str, features: int, rate: int) -> Layer:
    """A 3x3 convolution of that rate; of rate 0 it has no taps but the middle one."""
    return Layer(name, features, dilation=rate) if rate else Layer(name, features, size=1)


def fill_first(
    fill: Fill,
    image_BxHxWx3: jax.Array,
    mask_BxHxWx1: jax.Array,
    mean_pixel: jax.Array,
    start_BxHxWx3: jax.Array | None = None,
) -> jax.Array:
    """What a network starts from: float32 image_BxHxWx3 with its hole filled.

    Arguments as of `CompletionNetwork`; `mean_pixel` is float32 of shape (3,).
    """
    if start_BxHxWx3 is not None:
        return composite(start_BxHxWx3, image_BxHxWx3, mask_BxHxWx1)
    smooth = harmonic_fill if fill == "harmonic" else mean_fill
    return smooth(image_BxHxWx3, mask_BxHxWx1, mean_pixel)


def seen_by_network(
    contrast: Contrast,
    filled_BxHxWx3: jax.Array,
    mask_BxHxWx1: jax.Array,
    mean_pixel: jax.Array,
) -> tuple[jax.Array, jax.Array | None]:
    """What a network's first layer reads beside the mask, and the scale of what it adds.

    Args:
        contrast: see `CompletionNetwork`.
        filled_BxHxWx3: float32 in [0, 1], the image with its hole filled.
        mask_BxHxWx1: float32, 1 is the hole.
        mean_pixel: float32 of shape (3,).

    Returns:
        float32 image_BxHxWx3, and scale_BxHxWx3 for `to_image` or None.
    """
    if contrast == "absolute":
        return filled_BxHxWx3, None
    if contrast == "centred":
        return filled_BxHxWx3 - mean_pixel, None
    found = local_contrast(filled_BxHxWx3, mask_BxHxWx1)
    return normalised(filled_BxHxWx3, found), found.scale


def to_image(
    fill: Fill,
    filled_BxHxWx3: jax.Array,
    last_BxHxWx3: jax.Array,
    scale_BxHxWx3: jax.Array | None = None,
    *,
    train: bool,
) -> jax.Array:
    """A network's image from its last layer; see `CompletionNetwork` for both kinds.

    Args:
        fill: what stood in the hole before.
        filled_BxHxWx3: float32 in [0, 1], the image with its hole filled so.
        last_BxHxWx3: float32 or bfloat16, of the layer `output`.
        scale_BxHxWx3: see `contrast.restored`; None where the network adds absolute values.
        train: leave values outside [0, 1] as they are, so that they have a gradient.

    Returns:
        float32 image_BxHxWx3.
    """
    last_BxHxWx3 = last_BxHxWx3.astype(jnp.float32)
    if fill == "mean":
        return nn.sigmoid(last_BxHxWx3)
    if scale_BxHxWx3 is not None:
        last_BxHxWx3 = restored(last_BxHxWx3, scale_BxHxWx3)
    completed = filled_BxHxWx3 + last_BxHxWx3
    return completed if train else jnp.clip(completed, 0.0, 1.0)
