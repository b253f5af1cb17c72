"""Ranges of every field of a configuration, and the combinations that can't work.

A message names the option as the command line spells it, its value and what it must be.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Literal, get_args, get_origin, get_type_hints

from glcic_jax.config.settings import (
    SOURCE_NAMES,
    Config,
    ModelConfig,
    bottleneck_halvings,
    total_steps,
    window_size,
)
from glcic_jax.errors import UserError


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
