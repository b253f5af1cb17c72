"""From a configuration to the networks it asks for: one entry for each name.

A new generator is a module as `interface.py` describes it and an entry here, or one that your own
program adds with `register_generator`. A new discriminator: `discriminators.py`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from glcic_jax.config.checks import check
from glcic_jax.config.saved import flatten
from glcic_jax.config.settings import Config
from glcic_jax.errors import UserError
from glcic_jax.imaging.depths import most_halvings
from glcic_jax.networks.completion import CompletionNetwork, ResidualNetwork, SkipNetwork
from glcic_jax.networks.compute_type import with_compute_type
from glcic_jax.networks.context_encoder import ContextEncoder
from glcic_jax.networks.interface import Generator


def _anything(config: Config) -> None:
    del config


@dataclasses.dataclass(frozen=True)
class GeneratorEntry:
    """All that is known of a generator before it is built."""

    build: Callable[[Config, str | None], Generator]
    """From a run's configuration, its compute type decided, and the batch axis of `jax.pmap` or
    `shard_map`, if there is one. Equal arguments give equal modules."""
    reads: tuple[str, ...]
    """Fields of the configuration that decide which network it is, by their dotted names: weights
    that were trained with one value don't work with another."""
    check: Callable[[Config], None] = _anything
    """Raises a `UserError` where the configuration asks for what this generator can't do. Fields,
    all other combinations and the image's size are checked for it."""


# --- Generators -----------------------------------------------------------------------------------


def register_generator(name: str, entry: GeneratorEntry) -> Callable[[], None]:
    """Let `model.generator` have the value `name`, in this process.

    Every process that trains with the generator or loads it has to call this before.

    Returns:
        What takes the name out again.

    Raises:
        ValueError: the name is taken.
    """
    if name in _GENERATORS:
        raise ValueError(f"there is a generator {name!r} already; known are {_known()}")
    _GENERATORS[name] = entry

    def take_out() -> None:
        _GENERATORS.pop(name, None)

    return take_out


def generator_names() -> tuple[str, ...]:
    """The values that `model.generator` may have, in the order of their registration."""
    return tuple(_GENERATORS)


def generator_entry(name: str) -> GeneratorEntry:
    """The entry of the generator called `name`.

    Raises:
        UserError: there is none of that name.
    """
    if name not in _GENERATORS:
        raise UserError(f"model.generator is {name!r}; choose one of {_known()}")
    return _GENERATORS[name]


def build_generator(config: Config, axis_name: str | None = None) -> Generator:
    """The network that completes. `axis_name`: the batch axis of `jax.pmap` or `shard_map`.

    Raises:
        UserError: there is no generator of the name in `config`.
    """
    return generator_entry(config.model.generator).build(with_compute_type(config), axis_name)


def check_run(config: Config) -> None:
    """Check the whole configuration of a run: fields, combinations, and what its generator asks.

    Raises:
        UserError: names the field, its value and what it must be.
    """
    name, size = config.model.generator, config.image_size
    entry = generator_entry(name)
    check(config)
    entry.check(config)
    generator = entry.build(with_compute_type(config), None)
    _require_multiple(size, generator.multiple, f"model.generator {name}")
    halvings = most_halvings(size, size, generator.deepest)
    _require_multiple(
        size, generator.multiple * 2**halvings, f"model.deepest {generator.deepest:g}"
    )
    if generator.image_size not in (None, size):
        raise UserError(
            f"image-size is {size}; model.generator {name} completes images of "
            f"{generator.image_size} pixels only: set {generator.image_size}"
        )


def generator_differences(old: Config, new: Config) -> list[str]:
    """What keeps the generator of `old` from working as that of `new`.

    Fields that only other generators read may differ.

    Returns:
        Lines `field: old -> new`, as of `saved.differences`.
    """
    before, after = flatten(old), flatten(new)
    names = ("model.generator", *generator_entry(new.model.generator).reads)
    return [f"{n}: {before[n]!r} -> {after[n]!r}" for n in names if before[n] != after[n]]


def _known() -> str:
    return ", ".join(_GENERATORS)


def _require_multiple(size: int, multiple: int, needed_by: str) -> None:
    if size % multiple:
        below = size // multiple * multiple
        raise UserError(
            f"image-size {size} does not divide by {multiple}, which {needed_by} needs; the "
            f"nearest that do are {below} and {below + multiple}"
        )


def _common(config: Config, axis_name: str | None) -> dict[str, Any]:
    model = config.model
    return {
        "width": model.width,
        "fill": model.fill,
        "contrast": model.contrast,
        "momentum": model.batch_norm_momentum,
        "dtype": jnp.dtype(model.compute_dtype),
        "axis_name": axis_name,
    }


def _of_chain(config: Config, axis_name: str | None) -> dict[str, Any]:
    """What all networks that are chains of convolutions share."""
    model = config.model
    return _common(config, axis_name) | {
        "downsamples": model.downsamples,
        "dilations": model.dilations,
        "normalisation": model.normalisation,
        "convolution_bias": model.convolution_bias,
        "deepest": model.deepest,
        "refines": model.refines,
        "views": model.views,
        "mirror_margin": model.mirror_margin,
    }


def _build_glcic(config: Config, axis_name: str | None) -> Generator:
    residual = config.model.dilated_residual
    return CompletionNetwork(dilated_residual=residual, **_of_chain(config, axis_name))


def _build_residual(config: Config, axis_name: str | None) -> Generator:
    return ResidualNetwork(**_of_chain(config, axis_name))


def _build_skip(config: Config, axis_name: str | None) -> Generator:
    return SkipNetwork(**_of_chain(config, axis_name))


def _build_context_encoder(config: Config, axis_name: str | None) -> Generator:
    return ContextEncoder(
        config.image_size, bottleneck=config.model.bottleneck, **_common(config, axis_name)
    )


def _check_downsamples(config: Config) -> None:
    downsamples = config.model.downsamples
    _require_multiple(config.image_size, 2**downsamples, f"model.downsamples {downsamples}")


def _check_batch(config: Config) -> None:
    if config.data.batch_size < 2:
        raise UserError(
            f"data.batch-size is {config.data.batch_size}; model.generator context_encoder "
            "normalises the vectors of a batch, and a single one would lose all that it holds: set "
            "at least 2"
        )


_RESIDUAL_FIELDS = (
    "model.width",
    "model.downsamples",
    "model.dilations",
    "model.fill",
    "model.contrast",
    "model.normalisation",
    "model.convolution_bias",
)
_GENERATORS: dict[str, GeneratorEntry] = {
    "glcic": GeneratorEntry(
        _build_glcic, (*_RESIDUAL_FIELDS, "model.dilated_residual"), _check_downsamples
    ),
    "residual": GeneratorEntry(_build_residual, _RESIDUAL_FIELDS, _check_downsamples),
    "skip": GeneratorEntry(_build_skip, _RESIDUAL_FIELDS, _check_downsamples),
    "context_encoder": GeneratorEntry(
        _build_context_encoder,
        ("image_size", "model.width", "model.bottleneck", "model.fill", "model.contrast"),
        _check_batch,
    ),
}


# --- Discriminators -------------------------------------------------------------------------------


def build_discriminator(config: Config, axis_name: str | None = None) -> nn.Module:
    """The discriminators of a run as one module with named logits."""
    # Imported here: whoever completes images needs none.
    from glcic_jax.networks.discriminators import BUILDERS

    model = with_compute_type(config).model
    return BUILDERS[model.discriminator](
        model,
        {
            "width": model.discriminator_width,
            "dense_features": model.dense_features,
            "halvings": model.discriminator_halvings,
            "rectifies_first": model.discriminator_normalisation == "after_relu",
            "spectral": model.spectral_norm,
            "momentum": model.batch_norm_momentum,
            "dtype": jnp.dtype(model.compute_dtype),
            "axis_name": axis_name,
        },
    )
