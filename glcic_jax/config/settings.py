"""Typed, frozen configuration: the fields of a run, and the lengths that follow from them.

Everything a run depends on stands here and nowhere else. The module imports no array library, so
`--help` and a mistyped option answer at once. To add a field, give it a default, a docstring (the
command line shows it) and, where values can clash, a line in `config_checks`; one that a generator
reads is named in `config_json` as well.

Lengths of holes and windows are fractions of the image side, so that one preset serves every
`image_size`.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

SOURCE_NAMES = ("photos", "cifar100", "folder:PATH")


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Where images come from."""

    sources: tuple[str, ...] = ("photos",)
    """One or more of photos, cifar100, folder:PATH. Several are mixed."""
    weights: tuple[float, ...] = ()
    """How often each source is drawn from, in the order of the sources. Empty: equally often."""
    batch_size: int = 64
    """Images a step, over all devices."""
    min_scale: float = 1.0
    """folder: smallest shortest edge after the random resize, in units of the image side."""
    max_scale: float = 1.5
    """folder: largest shortest edge after the random resize, in units of the image side."""
    workers: int = 2
    """Processes that decode a streaming source. 0: threads of this process."""
    resident_megabytes: int = 1024
    """A training set of fixed images up to this size is kept on the device."""


@dataclasses.dataclass(frozen=True)
class AugmentConfig:
    """Random changes to training images, each with its probability; made on the device."""

    flip: float = 0.5
    """Probability of a left-right flip."""
    rotate: float = 0.0
    """Probability of a rotation."""
    max_degrees: float = 10.0
    """Largest rotation to either side, in degrees."""
    zoom: float = 0.0
    """Probability of zooming in."""
    max_zoom: float = 1.25
    """Largest magnification."""
    blur: float = 0.0
    """Probability of a Gaussian blur."""
    max_sigma: float = 1.0
    """Largest standard deviation of the blur, in pixels."""


@dataclasses.dataclass(frozen=True)
class MaskConfig:
    """The holes that training cuts; lengths are fractions of the image side."""

    kind: Literal["rectangle", "rectangles", "freeform", "pixels", "mixed"] = "rectangle"
    """One rectangle, several rectangles, brush strokes, random missing pixels, or for each image
    one of these four."""
    shares: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0)
    """mixed: how often each of the four is drawn, in that order; they need not sum to 1."""
    min_side: float = 0.25
    """Shortest side of a rectangle."""
    max_side: float = 0.5
    """Longest side of a rectangle."""
    min_count: int = 1
    """Fewest rectangles or strokes in one image."""
    max_count: int = 4
    """Most rectangles or strokes in one image."""
    min_brush: float = 0.03
    """Thinnest brush of a stroke."""
    max_brush: float = 0.1
    """Thickest brush of a stroke."""
    min_missing: float = 0.25
    """Random pixels: smallest missing share of the local window."""
    max_missing: float = 0.75
    """Random pixels: largest missing share of the local window."""
    local_window: float = 0.5
    """Side of the local discriminator's square window, which contains the holes."""


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """The networks' shapes."""

    generator: Literal["glcic", "residual", "context_encoder"] = "glcic"
    """The network that completes: GLCIC's, the residual extension's, or a context encoder, which
    has a bottleneck and completes images of one size only."""
    width: int = 32
    """Channels of the generator's first layer; the paper's is 64."""
    downsamples: int = 2
    """How often the generator halves the image; the paper's is 2. Not for context_encoder."""
    dilations: tuple[int, ...] = (2, 4, 8, 16)
    """Rates of the dilated convolutions, in order; residual: one block each. Not for
    context_encoder."""
    dilated_residual: bool = True
    """glcic: add the input of each dilated layer to its output (the paper does not)."""
    bottleneck: int = 512
    """context_encoder: length of the vector between encoder and decoder."""
    fill: Literal["mean", "harmonic"] = "harmonic"
    """What stands in the hole before the network sees it: the mean pixel (the paper), or the
    smooth solution of Laplace's equation, to which the network's output is then added."""
    batch_norm_momentum: float = 0.9
    """Share of the old running statistics that each step keeps."""
    discriminator: Literal["context", "global", "local", "shared_patch"] = "context"
    """What judges: a global and a local discriminator (GLCIC), one of them alone, or a global and a
    PatchGAN head over shared first layers (the extension)."""
    discriminator_width: int = 32
    """Channels of each discriminator's first layer; the paper's is 64."""
    dense_features: int = 256
    """Length of the vector that each discriminator sums its image up in; the paper's is 1024."""
    fusion: Literal["joint", "separate"] = "joint"
    """context: one logit from both vectors (the paper), or one logit each."""
    local_head: Literal["vector", "patch"] = "vector"
    """The local discriminator judges its window as one, or as a grid of patches (PatchGAN), which
    needs a logit of its own."""
    spectral_norm: bool = False
    """Spectral instead of batch normalisation in the discriminators (Miyato et al. 2018)."""
    compute_dtype: Literal["float32", "bfloat16"] = "float32"
    """Type of the convolutions. Parameters, statistics and losses stay float32."""


@dataclasses.dataclass(frozen=True)
class LossConfig:
    """The generator's joint loss: reconstruction plus weighted adversarial terms."""

    reconstruction: Literal["squared", "absolute"] = "squared"
    """Error inside the hole that the generator minimises."""
    joint_weight: float = 0.0004
    """Weight of the adversarial term of the fused logit (the paper's alpha)."""
    global_weight: float = 0.0002
    """Weight of the global adversarial term where the logits are separate."""
    local_weight: float = 0.0002
    """Weight of the local adversarial term where the logits are separate."""
    patch_weight: float = 0.0002
    """Weight of the adversarial term of the PatchGAN head."""
    adversarial: Literal["cross_entropy", "hinge", "least_squares"] = "cross_entropy"
    """How logits become losses: non-saturating cross entropy (Goodfellow et al. 2014), hinge (Lim &
    Ye 2017) or least squares (Mao et al. 2017)."""
    adversarial_ratio: float = 0.0
    """Scale the adversarial terms together, step by step, until their gradient at the generator's
    output has this share of the reconstruction's. 0: leave the weights as they stand."""


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
    """How the networks are updated; each network has an optimizer state of its own."""

    name: Literal["adam", "adamw", "adadelta"] = "adamw"
    """Update rule of every network."""
    learning_rate: float = 0.002
    """Peak learning rate of the completion network."""
    discriminator_learning_rate: float = 0.0002
    """Learning rate of the discriminators; constant."""
    weight_decay: float = 0.0001
    """Decoupled weight decay of the completion network; adamw only."""
    schedule: Literal["constant", "cosine"] = "cosine"
    """Cosine: warm up, then fall to zero over all steps that update the completion network. A short
    joint phase after a long completion phase has little of the rate left."""
    warmup_steps: int = 100
    """Steps of linear warm-up of the completion network's rate, at most a quarter of all."""
    ema_decay: float = 0.0
    """Moving average of the completion network, used for evaluation; 0 turns it off."""


@dataclasses.dataclass(frozen=True)
class PhaseConfig:
    """Lengths of the three phases of training, in steps."""

    completion_steps: int = 700
    """Completion network alone."""
    discriminator_steps: int = 50
    """Discriminators alone."""
    joint_steps: int = 120
    """Both together."""


@dataclasses.dataclass(frozen=True)
class LoopConfig:
    """How often the loop reports and saves. May change when a run is resumed."""

    log_every: int = 20
    """Steps between lines of metrics.jsonl; losses are checked for being finite as often."""
    validate_every: int = 300
    """Steps between validations, each followed by a checkpoint."""
    save_every: int = 100
    """Steps between checkpoints."""
    keep_checkpoints: int = 2
    """How many of the newest checkpoints stay; the best by validation stays too."""
    validation_images: int = 500
    """Images of the validation split that are scored."""
    sample_images: int = 8
    """Validation images drawn in each sample grid."""
    cpu_devices: int = 1
    """Without an accelerator: virtual devices that share the batch. One uses all cores. Results
    agree to rounding; resume with the same number for equal bits."""


@dataclasses.dataclass(frozen=True)
class Config:
    """One training run."""

    image_size: int = 32
    """Side of the square training images, in pixels."""
    seed: int = 0
    """Start of every random sequence of the run."""
    initial: str = ""
    """Generator whose weights a new run starts from: a run's directory (its best checkpoint by
    validation), a file that examples/export_generator.py wrote, or a name such as cifar100. Empty:
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


def window_size(config: Config) -> int:
    """Side of the local discriminator's window in pixels."""
    return pixels(config.masks.local_window, config.image_size)


def total_steps(config: Config) -> int:
    """Steps of the whole run."""
    phases = config.phases
    return phases.completion_steps + phases.discriminator_steps + phases.joint_steps


def bottleneck_halvings(side: int) -> int:
    """How often the context encoder halves an image of `side` pixels: down to 4 to 7 pixels."""
    return max(1, (side // 4).bit_length() - 1)


Phase = Literal["completion", "discriminator", "joint"]


def phase_of(step: int, phases: PhaseConfig) -> Phase:
    """The phase of step `step`, counted from 0."""
    if step < phases.completion_steps:
        return "completion"
    if step < phases.completion_steps + phases.discriminator_steps:
        return "discriminator"
    return "joint"
