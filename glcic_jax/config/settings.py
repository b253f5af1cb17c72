"""Typed, frozen configuration: the fields of a run, and the lengths that follow from them.

Everything a run depends on stands here and nowhere else. The module imports no array library, so
`--help` and a mistyped option answer at once. To add a field, give it a default, its range where it
is a number, a docstring (the command line shows it) and, where it can clash with another, a line in
`checks.py`; one that a generator reads is named in the generator's entry in `networks/registry.py`
as well.

Lengths of holes and windows are fractions of the image side, so that one preset serves every
`image_size`.
"""

from __future__ import annotations

import dataclasses
from typing import Annotated, Literal

from glcic_jax.config.fields import Range
from glcic_jax.config.rules import EVEN, KIND_OF_MASKS, SHARE_OF_SIDE, SHARES_OF_KINDS, SOURCES

Fill = Literal["mean", "harmonic"]
"""What stands in a hole before a network sees it."""
Contrast = Literal["absolute", "local", "centred"]
Normalisation = Literal["before_relu", "after_relu"]

Fusion = Literal["joint", "separate"]
LocalHead = Literal["vector", "patch"]

_Share = Annotated[float, Range(0, 1)]
_Weight = Annotated[float, Range(0, 1000)]
_Steps = Annotated[int, Range(0, 10**9)]
_Count = Annotated[int, Range(1, 10**9)]


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Where images come from."""

    sources: Annotated[tuple[str, ...], SOURCES] = ("photos",)
    """One or more of photos, cifar100, folder:PATH. Several are mixed."""
    weights: tuple[float, ...] = ()
    """How often each source is drawn from, in the order of the sources. Empty: equally often."""
    batch_size: Annotated[int, Range(1, 1_000_000)] = 64
    """Images a step, over all devices."""
    min_scale: Annotated[float, Range(1, 1000)] = 1.0
    """folder: smallest shortest edge after the random resize, in units of the image side."""
    max_scale: Annotated[float, Range(1, 1000)] = 1.5
    """folder: largest shortest edge after the random resize, in units of the image side."""
    workers: Annotated[int, Range(0, 1024)] = 2
    """Processes that decode a streaming source. 0: threads of this process."""
    resident_megabytes: Annotated[int, Range(0, 10_000_000)] = 1024
    """A training set of fixed images up to this size is kept on the device."""


@dataclasses.dataclass(frozen=True)
class AugmentConfig:
    """Random changes to training images, each with its probability; made on the device."""

    flip: _Share = 0.5
    """Probability of a left-right flip."""
    rotate: _Share = 0.0
    """Probability of a rotation."""
    max_degrees: Annotated[float, Range(0, 180)] = 10.0
    """Largest rotation to either side, in degrees."""
    zoom: _Share = 0.0
    """Probability of zooming in."""
    max_zoom: Annotated[float, Range(1, 10)] = 1.25
    """Largest magnification."""
    blur: _Share = 0.0
    """Probability of a Gaussian blur."""
    max_sigma: Annotated[float, Range(0.01, 10)] = 1.0
    """Largest standard deviation of the blur, in pixels."""


@dataclasses.dataclass(frozen=True)
class MaskConfig:
    """The holes that training cuts; lengths are fractions of the image side."""

    kind: Annotated[str, KIND_OF_MASKS] = "rectangle"
    """rectangle (one), rectangles (several), freeform (brush strokes), pixels (random missing
    pixels), blobs (one), specks, text (a line of it), or mixed: for each image one of these.
    folder:PATH: masks of your own, scaled, mirrored, turned and placed at random;
    mixed+folder:PATH: they are one more kind of the mixture."""
    shares: Annotated[tuple[float, ...], SHARES_OF_KINDS] = (1.0, 1.0, 1.0, 1.0)
    """mixed: how often each of the first four, or of all seven, is drawn, in that order; they need
    not sum to 1. mixed+folder: the folder's share may stand at the end, otherwise it is 1."""
    side_scale: Literal["uniform", "logarithmic"] = "uniform"
    """How the sides of a single rectangle are drawn; logarithmic: small ones as often as large."""
    min_side: Annotated[float, Range(1e-6, 1)] = 0.25
    """Shortest side of a rectangle; smallest blob."""
    max_side: Annotated[float, Range(1e-6, 1)] = 0.5
    """Longest side of a rectangle; largest blob."""
    min_count: Annotated[int, Range(1, 64)] = 1
    """Fewest rectangles, strokes or specks in one image."""
    max_count: Annotated[int, Range(1, 64)] = 4
    """Most rectangles or strokes in one image; four times as many specks."""
    min_brush: Annotated[float, Range(1e-6, 1)] = 0.03
    """Thinnest brush of a stroke."""
    max_brush: Annotated[float, Range(1e-6, 1)] = 0.1
    """Thickest brush of a stroke; largest speck."""
    min_missing: Annotated[float, Range(1e-6, 1)] = 0.25
    """Random pixels: smallest missing share of the local window."""
    max_missing: Annotated[float, Range(1e-6, 1)] = 0.75
    """Random pixels: largest missing share of the local window."""
    min_scale: Annotated[float, Range(0.05, 1)] = 0.5
    """folder: smallest longer side of a mask."""
    max_scale: Annotated[float, Range(0.05, 1)] = 1.0
    """folder: largest longer side of a mask."""
    max_turn: Annotated[float, Range(0, 180)] = 180.0
    """folder: largest rotation of a mask to either side, in degrees."""
    local_window: Annotated[float, SHARE_OF_SIDE] = 0.5
    """Side of the local discriminator's square window, which contains the holes."""


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
    spectral_norm: bool = False
    """Spectral instead of batch normalisation in the discriminators (Miyato et al. 2018)."""
    compute_dtype: Literal["float32", "bfloat16"] = "float32"
    """Type of the convolutions. Parameters, statistics and losses stay float32."""


@dataclasses.dataclass(frozen=True)
class LossConfig:
    """The generator's joint loss: reconstruction plus weighted adversarial terms."""

    reconstruction: Literal["squared", "absolute", "logarithmic"] = "squared"
    """Error inside the hole that the generator minimises; logarithmic: the logarithm of each
    image's mean squared error, so that what is nearly right counts as much as what is not."""
    joint_weight: _Weight = 0.0004
    """Weight of the adversarial term of the fused logit (the paper's alpha)."""
    global_weight: _Weight = 0.0002
    """Weight of the global adversarial term where the logits are separate."""
    local_weight: _Weight = 0.0002
    """Weight of the local adversarial term where the logits are separate."""
    patch_weight: _Weight = 0.0002
    """Weight of the adversarial term of the PatchGAN head."""
    adversarial: Literal["cross_entropy", "hinge", "least_squares"] = "cross_entropy"
    """How logits become losses: non-saturating cross entropy (Goodfellow et al. 2014), hinge (Lim &
    Ye 2017) or least squares (Mao et al. 2017)."""
    adversarial_ratio: _Weight = 0.0
    """Scale the adversarial terms together, step by step, until their gradient at the generator's
    output has this share of the reconstruction's. 0: leave the weights as they stand."""


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
    """How the networks are updated; each network has an optimizer state of its own."""

    name: Literal["adam", "adamw", "adadelta"] = "adamw"
    """Update rule of every network."""
    learning_rate: Annotated[float, Range(1e-12, 100)] = 0.002
    """Peak learning rate of the completion network."""
    discriminator_learning_rate: Annotated[float, Range(1e-12, 100)] = 0.0002
    """Learning rate of the discriminators; constant."""
    weight_decay: _Share = 0.0001
    """Decoupled weight decay of the completion network; adamw only."""
    schedule: Literal["constant", "cosine"] = "cosine"
    """Cosine: warm up, then fall to zero over all steps that update the completion network. A short
    joint phase after a long completion phase has little of the rate left."""
    warmup_steps: _Steps = 100
    """Steps of linear warm-up of the completion network's rate, at most a quarter of all."""
    ema_decay: Annotated[float, Range(0, 0.999999)] = 0.0
    """Moving average of the completion network, used for evaluation; 0 turns it off."""


@dataclasses.dataclass(frozen=True)
class PhaseConfig:
    """Lengths of the three phases of training, in steps."""

    completion_steps: _Steps = 700
    """Completion network alone."""
    discriminator_steps: _Steps = 50
    """Discriminators alone."""
    joint_steps: _Steps = 120
    """Both together."""


@dataclasses.dataclass(frozen=True)
class LoopConfig:
    """How often the loop reports and saves. May change when a run is resumed."""

    log_every: _Count = 20
    """Steps between lines of metrics.jsonl; losses are checked for being finite as often."""
    validate_every: _Count = 300
    """Steps between validations, each followed by a checkpoint."""
    save_every: _Count = 100
    """Steps between checkpoints."""
    keep_checkpoints: _Count = 2
    """How many of the newest checkpoints stay; the best by validation stays too."""
    validation_images: _Count = 500
    """Images of the validation split that are scored."""
    sample_images: Annotated[int, Range(1, 64)] = 8
    """Validation images drawn in each sample grid."""
    cpu_devices: Annotated[int, Range(1, 1024)] = 1
    """Without an accelerator: virtual devices that share the batch. One uses all cores. Results
    agree to rounding; resume with the same number for equal bits."""


@dataclasses.dataclass(frozen=True)
class Config:
    """One training run."""

    image_size: Annotated[int, Range(8, 4096)] = 32
    """Side of the square training images, in pixels."""
    seed: Annotated[int, Range(0, 2**31 - 1)] = 0
    """Start of every random sequence of the run."""
    initial: str = ""
    """Generator whose weights a new run starts from: a run's directory (its best checkpoint by
    validation), a file that glcic-jax export wrote, or a name such as cifar100. Empty:
    random weights."""
    data: DataConfig = DataConfig()
    augment: AugmentConfig = AugmentConfig()
    masks: MaskConfig = MaskConfig()
    model: ModelConfig = ModelConfig()
    losses: LossConfig = LossConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    phases: PhaseConfig = PhaseConfig()
    loop: LoopConfig = LoopConfig()


# --- Derived lengths --------------------------------------------------------------------------


def pixels(fraction: float, image_size: int) -> int:
    """A length of `fraction` of the image side in whole pixels, at least 1."""
    return max(1, round(fraction * image_size))


def mask_folder(masks: MaskConfig) -> str:
    """The folder whose masks are among the holes, or ""."""
    return masks.kind.partition("folder:")[2]


def window_size(config: Config) -> int:
    """Side of the local discriminator's window in pixels."""
    return pixels(config.masks.local_window, config.image_size)


def total_steps(config: Config) -> int:
    """Steps of the whole run."""
    phases = config.phases
    return phases.completion_steps + phases.discriminator_steps + phases.joint_steps


Phase = Literal["completion", "discriminator", "joint"]


def phase_of(step: int, phases: PhaseConfig) -> Phase:
    """The phase of step `step`, counted from 0."""
    if step < phases.completion_steps:
        return "completion"
    if step < phases.completion_steps + phases.discriminator_steps:
        return "discriminator"
    return "joint"
