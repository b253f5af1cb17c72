"""The presets: whole configurations by name, and what was found out about their values."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from glcic_jax.config.settings import (
    Config,
    DataConfig,
    LoopConfig,
    LossConfig,
    MaskConfig,
    ModelConfig,
    OptimizerConfig,
    PhaseConfig,
)
from glcic_jax.errors import UserError

# With the paper's adversarial weight, 0.0004, and the harmonic fill, 150 joint steps on photographs
# at 32 px took the validation PSNR from 28.1 to 22.1 dB.
_SMALL_LOSSES = LossConfig(
    joint_weight=0.00005, global_weight=0.000025, local_weight=0.000025, patch_weight=0.000025
)

_PHOTOS = Config(
    # Narrow: in the same minutes a network of width 20 sees twice the images of one of width 32,
    # and was 0.6 dB ahead of the biharmonic fill on photographs that training never saw, where the
    # other was 0.2 dB behind. Near a photograph's own scale a few crops with hard edges hold most
    # of the error, and a short run learned nothing from squared errors beyond the harmonic fill.
    model=ModelConfig(
        generator="skip",
        width=20,
        dilations=(2, 1, 1),
        contrast="local",
        deepest=9.0,
        refines=False,
        views=4,
    ),
    losses=dataclasses.replace(_SMALL_LOSSES, reconstruction="logarithmic"),
    optimizer=OptimizerConfig(ema_decay=0.99),
    phases=PhaseConfig(completion_steps=1400),
)
# What made the weights that come with the package, but for its crops: see
# docs/photographs-generator.md.
_PHOTOGRAPHS = Config(
    image_size=64,
    data=DataConfig(max_scale=8.0),
    masks=MaskConfig(
        kind="mixed",
        shares=(0.35, 0.0, 0.15, 0.2, 0.15, 0.1, 0.05),
        side_scale="logarithmic",
        min_side=1 / 64,
        max_side=0.6,
        min_brush=1 / 64,
        max_brush=0.125,
        local_window=0.75,
    ),
    model=ModelConfig(generator="skip", dilations=(2, 1, 1), contrast="local", deepest=4.5),
    losses=LossConfig(reconstruction="logarithmic", adversarial_ratio=0.1),
    optimizer=OptimizerConfig(warmup_steps=300, ema_decay=0.999),
    phases=PhaseConfig(completion_steps=30_000, discriminator_steps=500, joint_steps=2000),
    loop=LoopConfig(log_every=50, validate_every=2000, save_every=500),
)
_CIFAR100 = Config(
    data=DataConfig(sources=("cifar100",)),
    losses=_SMALL_LOSSES,
    optimizer=OptimizerConfig(warmup_steps=200, ema_decay=0.998),
    phases=PhaseConfig(completion_steps=9600, discriminator_steps=200, joint_steps=1200),
    loop=LoopConfig(validate_every=1000, save_every=500, validation_images=3000),
)
_STUDY = dataclasses.replace(
    _CIFAR100,
    losses=LossConfig(),
    model=ModelConfig(
        width=64, dilated_residual=False, fill="mean", discriminator_width=64, fusion="separate"
    ),
    optimizer=OptimizerConfig(name="adam", learning_rate=0.001, warmup_steps=200),
)
_PAPER = Config(
    image_size=256,
    data=DataConfig(batch_size=96),
    masks=MaskConfig(min_side=96 / 256, max_side=128 / 256),
    model=ModelConfig(
        width=64,
        dilated_residual=False,
        fill="mean",
        discriminator_width=64,
        dense_features=1024,
    ),
    optimizer=OptimizerConfig(
        name="adadelta",
        learning_rate=1.0,
        discriminator_learning_rate=1.0,
        schedule="constant",
        warmup_steps=0,
    ),
    phases=PhaseConfig(completion_steps=90_000, discriminator_steps=10_000, joint_steps=400_000),
    loop=LoopConfig(log_every=100, validate_every=5000, save_every=1000, validation_images=500),
)

# The study's comparison: the same data, width, fill, optimizer, number of images and adversarial
# force for every variant. Without spectral normalisation GLCIC's discriminators were right on 99 %
# of the images within 300 steps; with fixed weights the residual variant's adversarial gradient was
# a tenth of GLCIC's.
_GLCIC = dataclasses.replace(
    _CIFAR100,
    losses=LossConfig(
        joint_weight=0.00005,
        global_weight=0.00005,
        local_weight=0.00005,
        patch_weight=0.00005,
        adversarial_ratio=0.5,
    ),
    model=ModelConfig(
        width=16,
        dilated_residual=False,
        discriminator_width=16,
        dense_features=128,
        spectral_norm=True,
    ),
    optimizer=OptimizerConfig(discriminator_learning_rate=0.001, warmup_steps=200, ema_decay=0.995),
    phases=PhaseConfig(completion_steps=1800, discriminator_steps=200, joint_steps=1136),
    loop=LoopConfig(validate_every=784, save_every=392, validation_images=3000),
)


def _variant(**model: Any) -> Config:
    return dataclasses.replace(_GLCIC, model=dataclasses.replace(_GLCIC.model, **model))


STUDY: Mapping[str, Config] = {
    "glcic": _GLCIC,
    "residual_patchgan": _variant(generator="residual", discriminator="shared_patch"),
    # Between the two: what changes from here to either is one thing.
    "residual_glcic": _variant(generator="residual"),
    "context_encoder": _variant(generator="context_encoder", discriminator="local"),
    "glcic_no_dilation": _variant(dilations=(1, 1, 1, 1)),
    "glcic_global_only": _variant(discriminator="global"),
    "glcic_local_only": _variant(discriminator="local"),
    "completion_only": dataclasses.replace(
        _GLCIC, phases=PhaseConfig(completion_steps=3136, discriminator_steps=0, joint_steps=0)
    ),
}
"""The variants that the study compares."""

PRESETS: Mapping[str, Config] = {
    "photos": _PHOTOS,
    "photographs": _PHOTOGRAPHS,
    "cifar100": _CIFAR100,
    "study": _STUDY,
    "paper": _PAPER,
    **STUDY,
}
"""photos: the default, small and without a download. photographs: for a folder of your own, with
holes of every kind, completed from coarse to fine. cifar100: all three phases at 32 px. study:
plain GLCIC at 32 px with two logits. paper: the 256 px networks of Iizuka et al. 2017. Then the
variants of the comparison."""


def preset(name: str) -> Config:
    """The preset called `name`.

    Raises:
        UserError: there is none of that name.
    """
    if name not in PRESETS:
        raise UserError(f"there is no preset {name!r}; choose one of {', '.join(PRESETS)}")
    return PRESETS[name]
