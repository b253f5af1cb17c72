"""Typed, frozen configuration: the fields of a run, and the lengths that follow from them.

Everything a run depends on stands here and nowhere else. The module imports no array library, so
`--help` and a mistyped option answer at once. To add a field, give it a default, its range where it
is a number, a docstring (the command line shows it) and, where it can clash with another, a line in
`checks.py`. Those of the networks stand in `model.py`.

Lengths of holes and windows are fractions of the image side, so that one preset serves every
`image_size`.
"""

from __future__ import annotations

import dataclasses
from typing import Annotated, Literal

from glcic_jax.config.fields import Range
from glcic_jax.config.model import ModelConfig
from glcic_jax.config.rules import KIND_OF_MASKS, SHARE_OF_SIDE, SHARES_OF_KINDS, SOURCES

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
    patches: bool = False
    """Show the discriminators the fills of deep holes with the patches that `--texture` would put
    there, so that they judge the rest."""


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
    initial_discriminators: str = ""
    """File of discriminators that another program trained, for a new run to start from; they must
    be of the same form (docs/exchange.md). Empty: random weights."""
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
