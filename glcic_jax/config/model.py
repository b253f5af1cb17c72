"""The settings of the networks: part of `settings.py`, which says how a field is added.

One that a generator reads is named in the generator's entry in `networks/registry.py` as well.
"""

from __future__ import annotations

import dataclasses
from typing import Annotated, Literal

from glcic_jax.config.fields import Range
from glcic_jax.config.rules import EVEN

Fill = Literal["mean", "harmonic"]
"""What stands in a hole before a network sees it."""
Contrast = Literal["absolute", "local", "centred"]
Normalisation = Literal["before_relu", "after_relu"]

Fusion = Literal["joint", "separate"]
LocalHead = Literal["vector", "patch"]


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """The networks' shapes."""

    generator: str = "glcic"
    """The network that completes: glcic (the paper's), residual (the extension's), skip (residual
    blocks at every size, for photographs), context_encoder, which has a bottleneck and completes
    images of one size only, or one that `networks.registry.register_generator` was told of."""
    width: Annotated[int, Range(4, 4096), EVEN] = 32
    """Channels of the generator's first layer; the paper's is 64."""
    downsamples: Annotated[int, Range(1, 5)] = 2
    """How often the generator halves the image; the paper's is 2. Not for context_encoder."""
    dilations: Annotated[tuple[int, ...], Range(0, 1024)] = (2, 4, 8, 16)
    """Rates of the dilated convolutions, in order; residual: one block each. 0: a 1x1 convolution,
    all that is left of a rate whose outer taps no training image reaches. Not for
    context_encoder."""
    dilated_residual: bool = True
    """glcic: add the input of each dilated layer to its output (the paper does not)."""
    bottleneck: Annotated[int, Range(1, 65536)] = 512
    """context_encoder: length of the vector between encoder and decoder."""
    fill: Fill = "harmonic"
    """What stands in the hole before the network sees it: the mean pixel (the paper), or the
    smooth solution of Laplace's equation, to which the network's output is then added."""
    contrast: Contrast = "absolute"
    """absolute: the network sees the image as it is. local: brightness and contrast of the known
    pixels around are taken out of what it sees and put back into what it adds, so that flat
    pictures stay flat and gray ones gray; needs fill harmonic. centred: the network sees the image
    less the mean pixel, and so zeros in the hole; needs fill mean."""
    normalisation: Normalisation = "before_relu"
    """Whether each layer of the generator normalises what it rectifies or the other way round. Not
    for context_encoder."""
    convolution_bias: bool = False
    """Whether the generator's convolutions have a bias beside that of the normalisation. Not for
    context_encoder."""
    deepest: Annotated[float, Range(0, 1000)] = 0.0
    """Distance in pixels from the middle of a hole to the nearest known pixel up to which the
    network completes it in one pass. A deeper hole is completed at half the size first, or at half
    of that, and the network goes on from there. 0: everything in one pass. Needs fill harmonic."""
    refines: bool = True
    """Whether the network goes on from what it completed at half the size. False, for one that no
    training has taught it: that, doubled, is the result."""
    views: Literal[1, 2, 4] = 1
    """Mirrored views of an image whose completions are averaged outside training: a smaller error
    in as many times the time. 2: as it is and turned by half a turn; 4: the two mirror images
    too."""
    mirror_margin: Annotated[int, Range(0, 1024), EVEN] = 0
    """Pixels by which an image is continued on every side by its mirror image, outside training:
    for holes at the border of a photograph, which are rare in training."""
    batch_norm_momentum: Annotated[float, Range(0, 0.9999)] = 0.9
    """Share of the old running statistics that each step keeps."""
    discriminator: Literal["context", "global", "local", "shared_patch"] = "context"
    """What judges: a global and a local discriminator (GLCIC), one of them alone, or a global and a
    PatchGAN head over shared first layers (the extension)."""
    discriminator_width: Annotated[int, Range(1, 4096)] = 32
    """Channels of each discriminator's first layer; the paper's is 64."""
    dense_features: Annotated[int, Range(1, 65536)] = 256
    """Length of the vector that each discriminator sums its image up in; the paper's is 1024."""
    fusion: Fusion = "joint"
    """context: one logit from both vectors (the paper), or one logit each."""
    local_head: LocalHead = "vector"
    """The local discriminator judges its window as one, or as a grid of patches (PatchGAN), which
    needs a logit of its own."""
    discriminator_halvings: Annotated[int, Range(0, 12)] = 0
    """How often each discriminator halves its image. 0: until about 4x4 are left, which is 3 times
    at 32 pixels and 6 at 256."""
    discriminator_normalisation: Normalisation = "before_relu"
    """Whether each layer of the discriminators normalises what it rectifies or the other way round,
    in which case its convolution has a bias."""
    spectral_norm: bool = False
    """Spectral instead of batch normalisation in the discriminators (Miyato et al. 2018)."""
    compute_dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Type of the convolutions; auto: bfloat16 on a TPU and on NVIDIA GPUs from Ampere on, float32
    elsewhere. Parameters, statistics and losses stay float32."""
