"""The networks: parameter counts worked out by hand, sizes, config options, dtypes."""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import apply, initialise

from glcic_jax.config.presets import PRESETS
from glcic_jax.config.settings import Config, ModelConfig
from glcic_jax.networks.discriminators import strided_layers
from glcic_jax.networks.registry import build_discriminator, build_generator

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
    config = PRESETS["paper"]
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


@pytest.mark.parametrize(("fill", "downsamples"), [("mean", 1), ("harmonic", 2), ("mean", 3)])
def test_one_definition_serves_every_size(fill, downsamples):
    config = ModelConfig(width=4, downsamples=downsamples, fill=fill, dilations=(2, 2))
    generator = build_generator(Config(model=config))
    image, mask = jnp.full((2, 16, 24, 3), 0.5), jnp.zeros((2, 16, 24, 1)).at[:, 4:9].set(1.0)
    variables = initialise(generator, jax.random.key(0), image, mask)
    output = apply(generator, variables, image, mask)
    assert output.shape == image.shape
    assert output.dtype == jnp.float32
    assert 0 <= float(output.min()) <= float(output.max()) <= 1
    larger = jnp.full((1, 40, 32, 3), 0.5)
    assert apply(generator, variables, larger, larger[..., :1] * 0).shape == larger.shape


@pytest.mark.parametrize("fill", ["mean", "harmonic"])
def test_the_generator_never_reads_the_hole(photo_crops, fill):
    generator = build_generator(Config(model=ModelConfig(width=8, fill=fill)))
    image = jnp.asarray(photo_crops[:2] / 255.0, jnp.float32)
    mask = jnp.zeros((2, 32, 32, 1)).at[:, 8:20, 4:17].set(1.0)
    variables = initialise(generator, jax.random.key(1), image, mask)
    variables["params"]["output"]["kernel"] = jnp.ones_like(variables["params"]["output"]["kernel"])
    noise = jax.random.uniform(jax.random.key(2), image.shape)
    one = apply(generator, variables, image, mask)
    other = apply(generator, variables, jnp.where(mask > 0, noise, image), mask)
    np.testing.assert_array_equal(np.asarray(one), np.asarray(other))


def test_harmonic_generator_starts_from_its_fill(photo_crops):
    from glcic_jax.imaging.fills import harmonic_fill

    generator = build_generator(Config(model=ModelConfig(width=8, fill="harmonic")))
    image = jnp.asarray(photo_crops[:2] / 255.0, jnp.float32)
    mask = jnp.zeros((2, 32, 32, 1)).at[:, 8:20, 4:17].set(1.0)
    variables = initialise(generator, jax.random.key(1), image, mask)
    output = apply(generator, variables, image, mask)
    want = jax.jit(harmonic_fill)(image, mask, jnp.full(3, 0.5))
    np.testing.assert_allclose(np.asarray(output), np.asarray(want), atol=1e-6)


@pytest.mark.parametrize(
    ("fusion", "names"), [("joint", {"joint"}), ("separate", {"global", "local"})]
)
def test_fusion_names_the_logits(fusion, names):
    config = ModelConfig(discriminator_width=4, dense_features=8, fusion=fusion)
    discriminator = build_discriminator(Config(model=config))
    image, window = jnp.zeros((3, 32, 32, 3)), jnp.zeros((3, 16, 16, 3))
    variables = initialise(discriminator, jax.random.key(0), image, window)
    logits = apply(discriminator, variables, image, window)
    assert set(logits) == names
    assert all(logit.shape == (3,) and logit.dtype == jnp.float32 for logit in logits.values())


@pytest.mark.parametrize(
    ("settings", "shapes_by_name"),
    [
        ({"discriminator": "global"}, {"global": (3,)}),
        ({"discriminator": "local"}, {"local": (3,)}),
        # 32 px are halved three times; the patches are judged after all halvings but the last.
        ({"discriminator": "shared_patch"}, {"global": (3,), "patch": (3, 8, 8)}),
        ({"fusion": "separate", "local_head": "patch"}, {"global": (3,), "local": (3, 8, 8)}),
    ],
    ids=str,
)
@pytest.mark.parametrize("spectral", [False, True])
def test_discriminators_name_their_logits(settings, shapes_by_name, spectral):
    config = ModelConfig(
        discriminator_width=4, dense_features=8, spectral_norm=spectral, **settings
    )
    discriminator = build_discriminator(Config(model=config))
    image, window = jnp.zeros((3, 32, 32, 3)), jnp.zeros((3, 16, 16, 3))
    logits, _ = jax.eval_shape(
        lambda key: discriminator.init_with_output(key, image, window, train=False),
        jax.random.key(0),
    )
    assert {name: logit.shape for name, logit in logits.items()} == shapes_by_name
    assert {logit.dtype for logit in logits.values()} == {jnp.dtype("float32")}


def test_a_patch_is_judged_by_its_surroundings_only():
    config = ModelConfig(discriminator_width=4, dense_features=8, discriminator="shared_patch")
    discriminator = build_discriminator(Config(image_size=64, model=config))
    image, window = jnp.full((1, 64, 64, 3), 0.4), jnp.zeros((1, 32, 32, 3))
    variables = initialise(discriminator, jax.random.key(0), image, window)
    changed = image.at[:, :4, :4].set(0.9)
    one, other = (apply(discriminator, variables, x, window) for x in (image, changed))
    differs = np.asarray(one["patch"] != other["patch"])[0]
    assert differs[0, 0]
    assert not differs[-1].any()
    assert not differs[:, -1].any()
    assert one["global"] != other["global"]


def test_spectral_normalisation_bounds_every_kernel(photo_crops):
    """Power iterations over some steps: then no kernel stretches a vector by more than about 1."""
    config = ModelConfig(discriminator_width=4, dense_features=8, spectral_norm=True)
    discriminator = build_discriminator(Config(model=config))
    image = jnp.asarray(photo_crops / 255.0, jnp.float32)
    variables = initialise(discriminator, jax.random.key(0), image, image[:, :16, :16])

    @jax.jit
    def iterate(variables):
        return discriminator.apply(
            variables, image, image[:, :16, :16], train=True, mutable=["batch_stats"]
        )[1]

    for _ in range(30):
        variables |= iterate(variables)
    kernels = jax.tree_util.tree_leaves_with_path(variables["params"])
    sigmas = {
        jax.tree_util.keystr(path): leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(variables["batch_stats"])
        if "sigma" in jax.tree_util.keystr(path)
    }
    norms = sorted(
        float(jnp.linalg.norm(leaf.reshape(-1, leaf.shape[-1]), 2))
        for _, leaf in kernels
        if leaf.ndim > 1
    )
    assert len(sigmas) == len(norms) == 8  # 3 + 2 convolutions, 2 vectors, 1 logit
    np.testing.assert_allclose(sorted(map(float, sigmas.values())), norms, rtol=0.05)


def test_residual_network_by_hand():
    # 4x width at the bottom: entry, two strided, four blocks of a normalised and a plain
    # convolution, merge, two interpolated convolutions each followed by another, output.
    width, top = 8, 32
    table = [(5, 4, width), (3, width, 2 * width), (3, 2 * width, top)]
    table += [(3, top, top)] * (4 + 1)
    table += [(3, top, 16), (3, 16, 16), (3, 16, 8), (3, 8, 4)]
    closing = 4 * (9 * top * top + top)
    output = 9 * 4 * 3 + 3
    generator = build_generator(Config(model=ModelConfig(width=8, generator="residual")))
    image, mask = jnp.zeros((1, 32, 32, 3)), jnp.zeros((1, 32, 32, 1))
    assert count(shapes(generator, image, mask)) == layers_count(table) + closing + output


def test_residual_blocks_start_as_the_identity():
    """A fresh network gives the same with two blocks as with three, all else being equal."""
    image = jax.random.uniform(jax.random.key(3), (1, 16, 16, 3))
    mask = jnp.zeros((1, 16, 16, 1)).at[:, 4:9, 4:9].set(1.0)
    model = ModelConfig(width=4, generator="residual", fill="mean", dilations=(2, 4, 8))
    long = build_generator(Config(model=model))
    short = build_generator(Config(model=dataclasses.replace(model, dilations=(2, 4))))
    variables = initialise(long, jax.random.key(0), image, mask)
    params = {name: value for name, value in variables["params"].items() if "block3" not in name}
    one = apply(long, variables, image, mask)
    other = apply(short, variables | {"params": params}, image, mask)
    np.testing.assert_allclose(np.asarray(one), np.asarray(other), atol=1e-6)
    assert np.asarray(one).std() > 0.01


def test_context_encoder_sees_everything_and_has_one_size():
    model = ModelConfig(width=4, generator="context_encoder", bottleneck=16, fill="mean")
    generator = build_generator(Config(image_size=48, model=model))
    image, mask = jnp.full((2, 48, 48, 3), 0.5), jnp.zeros((2, 48, 48, 1))
    mask = mask.at[:, 20:30, 20:30].set(1.0)
    variables = initialise(generator, jax.random.key(0), image, mask)
    output = apply(generator, variables, image, mask)
    assert output.shape == image.shape
    # The farthest corner reaches the hole's middle through the bottleneck.
    other = apply(generator, variables, image.at[:, :3, :3].set(0.9), mask)
    assert float(jnp.abs(output - other)[:, 25, 25].max()) > 0
    with pytest.raises(ValueError, match="48 x 48"):
        apply(generator, variables, image[:, :32, :32], mask[:, :32, :32])


def test_bfloat16_keeps_parameters_and_statistics_in_float32():
    config = ModelConfig(width=4, discriminator_width=4, compute_dtype="bfloat16")
    generator = build_generator(Config(model=config))
    image, mask = jnp.full((2, 16, 16, 3), 0.5), jnp.zeros((2, 16, 16, 1)).at[:, 4:9].set(1.0)
    variables = initialise(generator, jax.random.key(0), image, mask)
    train = functools.partial(generator.apply, train=True, mutable=["batch_stats"])
    output, updates = jax.jit(train)(variables, image, mask)
    assert output.dtype == jnp.float32
    assert {leaf.dtype for leaf in jax.tree.leaves((variables, updates))} == {jnp.dtype("float32")}
    lowered = jax.jit(lambda v: generator.apply(v, image, mask, train=False)).lower(variables)
    assert "bf16" in lowered.as_text()
