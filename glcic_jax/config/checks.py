"""Which settings can't be combined; what a field may be by itself stands at the field.

A message names the option as the command line spells it, its value and what it must be. What a
generator asks of a configuration is checked with its entry in `networks/registry.py`.
"""

from __future__ import annotations

from glcic_jax.config.fields import check_fields
from glcic_jax.config.settings import Config, ModelConfig, total_steps, window_size
from glcic_jax.errors import UserError


def check(config: Config) -> None:
    """Check every field and the combinations, but for what the generator asks.

    `networks.registry.check_run` checks that too.

    Raises:
        UserError: names the field, its value and what it must be.
    """
    check_fields(config)
    _check_data(config)
    _check_masks(config)
    _check_model(config)
    _check_training(config)


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise UserError(message)


def _require_order(name_low: str, low: float, name_high: str, high: float) -> None:
    _require(low <= high, f"{name_low} is {low:g}, which is more than {name_high} {high:g}")


def _check_data(config: Config) -> None:
    data = config.data
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
    _require_order("data.min-scale", data.min_scale, "data.max-scale", data.max_scale)


def _check_masks(config: Config) -> None:
    masks = config.masks
    for name in ("side", "brush", "missing", "count", "scale"):
        low, high = getattr(masks, f"min_{name}"), getattr(masks, f"max_{name}")
        _require_order(f"masks.min-{name}", low, f"masks.max-{name}", high)
    _require(
        len(masks.shares) in (4, 7) or masks.kind.startswith("mixed+"),
        f"masks.shares has {len(masks.shares)} numbers, the last one for a folder of masks; set "
        "masks.kind mixed+folder:PATH, or leave that number out",
    )
    if masks.kind in ("rectangle", "rectangles", "blobs") or masks.kind.startswith("mixed"):
        _require(
            masks.max_side <= masks.local_window,
            f"masks.max-side {masks.max_side:g} is more than masks.local-window "
            f"{masks.local_window:g}; the local window must contain the hole",
        )
    window = window_size(config)
    _require(
        window >= 8,
        f"masks.local-window {masks.local_window:g} of image-size {config.image_size} is {window} "
        "pixels; the local discriminator needs at least 8",
    )


def _check_model(config: Config) -> None:
    model = config.model
    _require(
        model.contrast != "local" or model.fill == "harmonic",
        f"model.contrast {model.contrast} scales what is added to a smooth fill; set model.fill "
        "harmonic, or model.contrast absolute",
    )
    _require(
        model.contrast != "local" or model.downsamples >= 2 or model.generator == "context_encoder",
        f"model.contrast {model.contrast} takes statistics of cells of 4 pixels; set "
        "model.downsamples to at least 2",
    )
    _require(
        model.contrast != "centred" or model.fill == "mean",
        f"model.contrast {model.contrast} takes the mean pixel out of what the network sees, which "
        "leaves zeros in the hole where the mean pixel fills it; set model.fill mean",
    )
    _require(
        model.deepest == 0 or model.fill == "harmonic",
        f"model.deepest {model.deepest:g} completes deep holes from coarse to fine, which starts "
        "from a smooth fill; set model.fill harmonic, or model.deepest 0",
    )
    _require(
        not model.spectral_norm or model.discriminator_normalisation == "before_relu",
        "model.spectral-norm leaves the discriminators' batch normalisation out; set "
        "model.discriminator-normalisation before_relu, or leave model.spectral-norm out",
    )
    if model.local_head == "patch":
        _require(
            model.discriminator == "local"
            or (model.discriminator == "context" and model.fusion == "separate"),
            "model.local-head patch needs a local discriminator with a logit of its own: set "
            "model.discriminator context and model.fusion separate, or model.discriminator local",
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
    losses, weights = config.losses, _weights_in_use(config.model)
    _require(
        losses.adversarial_ratio == 0
        or config.phases.joint_steps == 0
        or any(getattr(losses, name) for name in weights),
        f"losses.adversarial-ratio is {losses.adversarial_ratio:g}, but the weights that it scales "
        f"are 0: set {' or '.join('losses.' + name.replace('_', '-') for name in weights)}",
    )
    _require(total_steps(config) > 0, "all phases have 0 steps; give at least one of them some")
