"""The networks: parameter counts worked out by hand, sizes, config options, dtypes."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from glcic_jax.config import PRESETS, ModelConfig
from glcic_jax.models.discriminators import strided_layers
from glcic_jax.models.registry import build_discriminator, build_generator

# Iizuka et al. 2017, table 1 (completion) and table 2 (discriminators), for 256 px:
# (kernel side, channels in, channels out). A convolution followed by batch normalisation has no
# bias, and the normalisation a scale and an offset for each channel out.
COMPLETION = [
    (5, 4, 64),
    (3, 64, 128),
    (3, 128, 128),
    (3, 128, 256),
    *[(3, 256, 256)] * 8,
    (4, 256, 128),
    (3, 128, 128),
    (4, 128, 64),
    (3, 64, 32),
]
OUTPUT = 3 * 3 * 32 * 3 + 3
LOCAL = [(5, 3, 64), (5, 64, 128), (5, 128, 256), (5, 256, 512), (5, 512, 512)]
GLOBAL = [*LOCAL, (5, 512, 512)]
DENSE = 4 * 4 * 512 * 1024 + 1024
JOINT_LOGIT = 2 * 1024 + 1


def layers_count(table: list[tuple[int, int, int]]) -> int:
    return sum(side * side * before * after + 2 * after for side, before, after in table)


def count(variables) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))


def shapes(module, *inputs):
    return jax.eval_shape(lambda key: module.init(key, *inputs, train=False), jax.random.key(0))


def test_paper_preset_has_the_papers_parameters():
    # By hand: 6,062,336 weights and 5,952 normalisation values before the output layer.
    assert layers_count(COMPLETION) == 6_062_336 + 5_952
    config = PRESETS["paper"].model
    image, mask = jnp.zeros((1, 256, 256, 3)), jnp.zeros((1, 256, 256, 1))
    assert count(shapes(build_generator(config), image, mask)) == layers_count(COMPLETION) + OUTPUT
    window = jnp.zeros((1, 128, 128, 3))
    discriminator = shapes(build_discriminator(config), image, window)
    want = layers_count(GLOBAL) + layers_count(LOCAL) + 2 * DENSE + JOINT_LOGIT
    assert want == 45_060_225
    assert count(discriminator) == want


@pytest.mark.parametrize(
    ("side", "layers"), [(256, 6), (128, 5), (64, 4), (32, 3), (16, 2), (8, 1)]
)
def test_discriminators_stop_at_four_pixels(side, layers):
    assert strided_layers(side) == layers


@pytest.mark.parametrize("fill", ["mean", "harmonic"])
@pytest.mark.parametrize("downsamples", [1, 2, 3])
def test_one_definition_serves_every_size(fill, downsamples):
    config = ModelConfig(width=4, downsamples=downsamples, fill=fill, dilations=(2, 2))
    generator = build_generator(config)
    image, mask = jnp.full((2, 16, 24, 3), 0.5), jnp.zeros((2, 16, 24, 1)).at[:, 4:9].set(1.0)
    variables = generator.init(jax.random.key(0), image, mask, train=False)
    output = generator.apply(variables, image, mask, train=False)
    assert output.shape == image.shape
    assert output.dtype == jnp.float32
    assert 0 <= float(output.min()) <= float(output.max()) <= 1
    larger = jnp.full((1, 40, 32, 3), 0.5)
    assert (
        generator.apply(variables, larger, larger[..., :1] * 0, train=False).shape == larger.shape
    )


@pytest.mark.parametrize("fill", ["mean", "harmonic"])
def test_the_generator_never_reads_the_hole(photo_crops, fill):
    generator = build_generator(ModelConfig(width=8, fill=fill))
    image = jnp.asarray(photo_crops[:2] / 255.0, jnp.float32)
    mask = jnp.zeros((2, 32, 32, 1)).at[:, 8:20, 4:17].set(1.0)
    variables = generator.init(jax.random.key(1), image, mask, train=False)
    variables["params"]["output"]["kernel"] = jnp.ones_like(variables["params"]["output"]["kernel"])
    noise = jax.random.uniform(jax.random.key(2), image.shape)
    one = generator.apply(variables, image, mask, train=False)
    other = generator.apply(variables, jnp.where(mask > 0, noise, image), mask, train=False)
    np.testing.assert_array_equal(np.asarray(one), np.asarray(other))


def test_harmonic_generator_starts_from_its_fill(photo_crops):
    from glcic_jax.fill import harmonic_fill

    generator = build_generator(ModelConfig(width=8, fill="harmonic"))
    image = jnp.asarray(photo_crops[:2] / 255.0, jnp.float32)
    mask = jnp.zeros((2, 32, 32, 1)).at[:, 8:20, 4:17].set(1.0)
    variables = generator.init(jax.random.key(1), image, mask, train=False)
    output = generator.apply(variables, image, mask, train=False)
    want = harmonic_fill(image, mask, jnp.full(3, 0.5))
    np.testing.assert_allclose(np.asarray(output), np.asarray(want), atol=1e-6)


@pytest.mark.parametrize(
    ("fusion", "names"), [("joint", {"joint"}), ("separate", {"global", "local"})]
)
def test_fusion_names_the_logits(fusion, names):
    config = ModelConfig(discriminator_width=4, dense_features=8, fusion=fusion)
    discriminator = build_discriminator(config)
    image, window = jnp.zeros((3, 32, 32, 3)), jnp.zeros((3, 16, 16, 3))
    variables = discriminator.init(jax.random.key(0), image, window, train=False)
    logits = discriminator.apply(variables, image, window, train=False)
    assert set(logits) == names
    assert all(logit.shape == (3,) and logit.dtype == jnp.float32 for logit in logits.values())


def test_bfloat16_keeps_parameters_and_statistics_in_float32():
    config = ModelConfig(width=4, discriminator_width=4, compute_dtype="bfloat16")
    generator = build_generator(config)
    image, mask = jnp.full((2, 16, 16, 3), 0.5), jnp.zeros((2, 16, 16, 1)).at[:, 4:9].set(1.0)
    variables = generator.init(jax.random.key(0), image, mask, train=False)
    output, updates = generator.apply(variables, image, mask, train=True, mutable=["batch_stats"])
    assert output.dtype == jnp.float32
    assert {leaf.dtype for leaf in jax.tree.leaves((variables, updates))} == {jnp.dtype("float32")}
    lowered = jax.jit(lambda v: generator.apply(v, image, mask, train=False)).lower(variables)
    assert "bf16" in lowered.as_text()
