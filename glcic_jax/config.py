"""Typed, frozen configuration: fields, checks and the JSON round trip.

Everything a run depends on stands here and nowhere else. The module imports no array library, so
`--help` and a mistyped option answer at once. To add a field, give it a default, a docstring (the
command line shows it) and, where values can clash, a line in `check`.

Lengths inside an image are fractions of its side, so that one preset serves every `image_size`.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from typing import Any, Literal, get_args, get_origin, get_type_hints

from glcic_jax.errors import UserError

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
    """The local discriminator judges its window as one, or as a grid of patches (PatchGAN)."""
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
    """Generator whose weights a new run starts from: a run's directory, a file that
    examples/export_generator.py wrote, or a name such as cifar100. Empty: random weights."""
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


# --- Checks -------------------------------------------------------------------------------------


def check(config: Config) -> None:
    """Check ranges and combinations of every field.

    Raises:
        UserError: names the field, its value and what it must be.
    """
    _check_choices(config)
    _check_data(config)
    _check_masks(config)
    _check_model(config)
    _check_training(config)


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise UserError(message)


def _require_range(name: str, value: float, low: float, high: float) -> None:
    _require(
        math.isfinite(value) and low <= value <= high,
        f"{name} is {value:g}; it must lie between {low:g} and {high:g}",
    )


def _require_order(name_low: str, low: float, name_high: str, high: float) -> None:
    _require(low <= high, f"{name_low} is {low:g}, which is more than {name_high} {high:g}")


def _check_choices(config: Config) -> None:
    for table in dataclasses.fields(config):
        part = getattr(config, table.name)
        if not dataclasses.is_dataclass(part):
            continue
        for name, kind in get_type_hints(type(part)).items():
            if get_origin(kind) is Literal:
                value, known = getattr(part, name), get_args(kind)
                _require(
                    value in known,
                    f"{table.name}.{name.replace('_', '-')} is {value!r}; choose one of "
                    f"{', '.join(known)}",
                )


def _check_data(config: Config) -> None:
    data, augment = config.data, config.augment
    _require_range("image-size", config.image_size, 8, 4096)
    _require_range("seed", config.seed, 0, 2**31 - 1)
    _require(len(data.sources) > 0, f"data.sources is empty; name {', '.join(SOURCE_NAMES)}")
    for source in data.sources:
        known = source in ("photos", "cifar100") or (
            source.startswith("folder:") and len(source) > len("folder:")
        )
        _require(known, f"data.sources has {source!r}; known are {', '.join(SOURCE_NAMES)}")
    if "cifar100" in data.sources:
        _require(
            config.image_size == 32,
            f"cifar100 has images of 32 x 32 pixels; image-size is {config.image_size}, set 32",
        )
    if data.weights:
        _require(
            len(data.weights) == len(data.sources) and min(data.weights) > 0,
            f"data.weights has {len(data.weights)} values for {len(data.sources)} sources; "
            "give one positive number for each source",
        )
    _require_range("data.batch-size", data.batch_size, 1, 1_000_000)
    _require_range("data.min-scale", data.min_scale, 1, 1000)
    _require_order("data.min-scale", data.min_scale, "data.max-scale", data.max_scale)
    _require_range("data.workers", data.workers, 0, 1024)
    _require_range("data.resident-megabytes", data.resident_megabytes, 0, 10_000_000)
    for name in ("flip", "rotate", "zoom", "blur"):
        _require_range(f"augment.{name}", getattr(augment, name), 0, 1)
    _require_range("augment.max-degrees", augment.max_degrees, 0, 180)
    _require_range("augment.max-zoom", augment.max_zoom, 1, 10)
    _require_range("augment.max-sigma", augment.max_sigma, 0.01, 10)


def _check_masks(config: Config) -> None:
    masks = config.masks
    for low, high in (("side", 1), ("brush", 1), ("missing", 1)):
        name_low, name_high = f"min_{low}", f"max_{low}"
        value_low, value_high = getattr(masks, name_low), getattr(masks, name_high)
        _require_range(f"masks.min-{low}", value_low, 1e-6, high)
        _require_range(f"masks.max-{low}", value_high, 1e-6, high)
        _require_order(f"masks.min-{low}", value_low, f"masks.max-{low}", value_high)
    _require_range("masks.min-count", masks.min_count, 1, 64)
    _require_range("masks.max-count", masks.max_count, 1, 64)
    _require_order("masks.min-count", masks.min_count, "masks.max-count", masks.max_count)
    _require(
        0 < masks.local_window <= 1,
        f"masks.local-window is {masks.local_window:g} of the image side; the local window can't "
        "be larger than the image, nor empty: give a fraction above 0 and at most 1",
    )
    _require(
        len(masks.shares) == 4
        and all(0 <= share <= 1e6 for share in masks.shares)
        and sum(masks.shares) > 0,
        f"masks.shares is {masks.shares}; give four numbers from 0 to 1e6, for one rectangle, "
        "several, strokes and pixels, not 0 for all of them",
    )
    if masks.kind in ("rectangle", "rectangles", "mixed"):
        _require(
            masks.max_side <= masks.local_window,
            f"masks.max-side {masks.max_side:g} is more than masks.local-window "
            f"{masks.local_window:g}; the local window must contain the hole",
        )


def _check_model(config: Config) -> None:
    model, size = config.model, config.image_size
    _require_range("model.width", model.width, 4, 4096)
    _require(model.width % 2 == 0, f"model.width is {model.width}; it must be even")
    _require_range("model.downsamples", model.downsamples, 1, 5)
    factor = 2**model.downsamples
    _require(
        model.generator == "context_encoder" or size % factor == 0,
        f"image-size {size} does not divide by {factor}, which model.downsamples "
        f"{model.downsamples} needs; the nearest that do are {size // factor * factor} and "
        f"{(size // factor + 1) * factor}",
    )
    for rate in model.dilations:
        _require_range("model.dilations", rate, 1, 1024)
    _require_range("model.batch-norm-momentum", model.batch_norm_momentum, 0, 0.9999)
    _require_range("model.bottleneck", model.bottleneck, 1, 65536)
    _check_bottleneck(config)
    if model.local_head == "patch":
        _require(
            model.discriminator == "local"
            or (model.discriminator == "context" and model.fusion == "separate"),
            "model.local-head patch needs a local discriminator with a logit of its own: set "
            "model.discriminator context and model.fusion separate, or model.discriminator local",
        )
    _require_range("model.discriminator-width", model.discriminator_width, 1, 4096)
    _require_range("model.dense-features", model.dense_features, 1, 65536)
    window = window_size(config)
    _require(
        window >= 8,
        f"masks.local-window {config.masks.local_window:g} of image-size {size} is {window} "
        "pixels; the local discriminator needs at least 8",
    )


def _check_bottleneck(config: Config) -> None:
    """The context encoder must come out at the size that it started from, and see differences."""
    size = config.image_size
    _require(
        config.model.generator != "context_encoder" or config.data.batch_size > 1,
        "data.batch-size is 1; model.generator context_encoder normalises the vectors of a batch, "
        "and a single one would lose all that it holds: set at least 2",
    )
    factor = 2 ** bottleneck_halvings(size)
    _require(
        config.model.generator != "context_encoder" or size % factor == 0,
        f"image-size {size} does not divide by {factor}, which model.generator context_encoder "
        f"needs; the nearest that do are {size // factor * factor} and "
        f"{(size // factor + 1) * factor}",
    )


def _weights_in_use(model: ModelConfig) -> tuple[str, ...]:
    """The weights of the terms that these discriminators have."""
    match model.discriminator:
        case "context" if model.fusion == "joint":
            return ("joint_weight",)
        case "context":
            return ("global_weight", "local_weight")
        case "shared_patch":
            return ("global_weight", "patch_weight")
        case single:
            return (f"{single}_weight",)


def _check_training(config: Config) -> None:
    losses, optimizer, phases, loop = (
        config.losses,
        config.optimizer,
        config.phases,
        config.loop,
    )
    for name in ("joint_weight", "global_weight", "local_weight", "patch_weight"):
        _require_range(f"losses.{name.replace('_', '-')}", getattr(losses, name), 0, 1000)
    _require_range("losses.adversarial-ratio", losses.adversarial_ratio, 0, 1000)
    weights = _weights_in_use(config.model)
    _require(
        losses.adversarial_ratio == 0
        or phases.joint_steps == 0
        or any(getattr(losses, name) for name in weights),
        f"losses.adversarial-ratio is {losses.adversarial_ratio:g}, but the weights that it scales "
        f"are 0: set {' or '.join('losses.' + name.replace('_', '-') for name in weights)}",
    )
    _require_range("optimizer.learning-rate", optimizer.learning_rate, 1e-12, 100)
    _require_range(
        "optimizer.discriminator-learning-rate", optimizer.discriminator_learning_rate, 1e-12, 100
    )
    _require_range("optimizer.weight-decay", optimizer.weight_decay, 0, 1)
    _require_range("optimizer.warmup-steps", optimizer.warmup_steps, 0, 10**9)
    _require_range("optimizer.ema-decay", optimizer.ema_decay, 0, 0.999999)
    for name in ("completion_steps", "discriminator_steps", "joint_steps"):
        _require_range(f"phases.{name.replace('_', '-')}", getattr(phases, name), 0, 10**9)
    _require(total_steps(config) > 0, "all phases have 0 steps; give at least one of them some")
    for name in ("log_every", "validate_every", "save_every", "keep_checkpoints"):
        _require_range(f"loop.{name.replace('_', '-')}", getattr(loop, name), 1, 10**9)
    _require_range("loop.validation-images", loop.validation_images, 1, 10**9)
    _require_range("loop.sample-images", loop.sample_images, 1, 64)
    _require_range("loop.cpu-devices", loop.cpu_devices, 1, 1024)


# --- JSON and comparison ------------------------------------------------------------------------


def to_json(config: Config) -> str:
    """The whole configuration as indented JSON."""
    return json.dumps(dataclasses.asdict(config), indent=2) + "\n"


def from_json(text: str) -> Config:
    """The inverse of `to_json`; a missing field takes its default.

    Raises:
        UserError: not JSON, or a field that this version does not know or of another type.
    """
    try:
        values = json.loads(text)
    except ValueError as error:
        raise UserError(f"the saved configuration is not valid JSON: {error}") from error
    return _build(Config, values, "")


def _build(kind: Callable[..., Any], values: Any, prefix: str) -> Any:
    if not isinstance(values, dict):
        raise UserError(f"the saved configuration has no table {prefix or 'at its top'!r}")
    types = get_type_hints(kind)
    unknown = sorted(set(values) - set(types))
    if unknown:
        raise UserError(
            f"the saved configuration has the unknown field {prefix}{unknown[0]}; "
            "it was written by another version of glcic_jax"
        )
    built = {}
    for name, value in values.items():
        if dataclasses.is_dataclass(types[name]):
            value = _build(types[name], value, f"{prefix}{name}.")
        elif isinstance(value, list):
            value = tuple(value)
        default = getattr(kind(), name)
        number = isinstance(default, float) and isinstance(value, int)
        if type(value) is not type(default) and not number:
            raise UserError(
                f"the saved configuration has {prefix}{name} = {value!r}; expected a value like "
                f"{default!r}"
            )
        built[name] = value
    return kind(**built)


def differences(old: Config, new: Config) -> list[str]:
    """Fields that keep `old` from being resumed as `new`, as lines `field: old -> new`.

    `loop` and `data.workers` decide nothing that is computed, so they may differ.
    """
    before, after = _flatten(old), _flatten(new)
    return [
        f"{name}: {before[name]!r} -> {after[name]!r}"
        for name in before
        if before[name] != after[name] and not name.startswith(("loop.", "data.workers"))
    ]


_GENERATOR_FIELDS = {
    "glcic": ("downsamples", "dilations", "dilated_residual"),
    "residual": ("downsamples", "dilations"),
    "context_encoder": ("bottleneck",),
}
"""Fields of the model that a generator reads, besides its width and fill."""


def generator_differences(old: Config, new: Config) -> list[str]:
    """What keeps the generator of `old` from working as that of `new`, as in `differences`.

    Fields that only other generators read may differ.
    """
    before, after = _flatten(old), _flatten(new)
    fields = ("generator", "width", *_GENERATOR_FIELDS[new.model.generator], "fill")
    names = [f"model.{name}" for name in fields]
    if new.model.generator == "context_encoder":
        names = ["image_size", *names]
    return [f"{n}: {before[n]!r} -> {after[n]!r}" for n in names if before[n] != after[n]]


def _flatten(config: Any, prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            flat |= _flatten(value, f"{prefix}{field.name}.")
        else:
            flat[f"{prefix}{field.name}"] = value
    return flat
