"""The two ways to a completed image agree: the pass of training, and what users' images go through.

Every generator of the registry, those too that are added later.
"""

from __future__ import annotations

import functools
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import skimage.data
from support import initialise, replace

from glcic_jax import inpaint_fn
from glcic_jax.config.settings import Config, ModelConfig
from glcic_jax.evaluation.model import model_completer
from glcic_jax.inpainting.coarse_to_fine import complete
from glcic_jax.networks import registry

NAMES = registry.generator_names()
SIDE = 32


@functools.cache
def trained(name: str, seed: int = 0, contrast: str = "absolute", **model):
    """A narrow generator in which every array counts, as after training."""
    config = Config(model=ModelConfig(width=4, dilations=(2, 0), bottleneck=8))
    config = replace(config, model={"generator": name, "contrast": contrast} | model)
    generator = registry.build_generator(config)
    image, mask = jnp.zeros((1, SIDE, SIDE, 3)), jnp.zeros((1, SIDE, SIDE, 1))
    variables = initialise(generator, jax.random.key(seed), image, mask)
    noise = np.random.default_rng(seed)
    variables = jax.tree.map(
        lambda leaf: jnp.asarray(leaf + 0.1 * noise.uniform(-1, 1, leaf.shape), jnp.float32),
        variables,
    )
    return generator, variables


def images(count: int, side: int = SIDE) -> tuple[np.ndarray, np.ndarray]:
    """uint8 image_NxSxSx3 of real photographs, and a hole in each: float32 mask_NxSxSx1."""
    photo, rng = skimage.data.astronaut(), np.random.default_rng(1)
    corners = rng.integers(0, 512 - side + 1, (count, 2))
    image = np.stack([photo[y : y + side, x : x + side] for y, x in corners])
    mask = np.zeros((count, side, side, 1), np.float32)
    for one in mask:
        (top, left), (height, width) = rng.integers(0, side - 16, 2), rng.integers(1, 17, 2)
        one[top : top + height, left : left + width] = 1
    return image, mask


@functools.partial(jax.jit, static_argnums=0)
def whole(generator, variables, image, mask):
    """As training sees it: unfolded, the whole image."""
    return complete(generator, variables, image, mask)[1]


def require_alike(completed_u8, wanted, mask):
    hole = np.broadcast_to(mask, wanted.shape) > 0
    levels = np.round(np.asarray(wanted) * 255)
    assert levels[hole].std() > 3, "the network has something to say"
    difference = np.abs(completed_u8.astype(float) - levels)
    assert difference.max() <= 1
    assert (difference == 0).mean() > 0.999


# Every generator, and one without the local contrast that comes before any of them.
CASES = [*((name, "local") for name in NAMES), ("glcic", "absolute")]


@pytest.mark.parametrize(("name", "contrast"), CASES)
def test_small_images_in_a_batch_and_as_scored(name, contrast):
    generator, variables = trained(name, contrast=contrast)
    image, mask = images(40)
    unit = image.astype(np.float32) / 255
    wanted = np.asarray(whole(generator, variables, unit, mask))
    np.testing.assert_allclose(
        inpaint_fn(generator, variables, unit, mask), wanted, rtol=0, atol=2e-5
    )
    filled = inpaint_fn(generator, variables, image, mask)
    require_alike(filled, wanted, mask)
    scored = model_completer(generator, variables)(image, mask)
    require_alike(scored, wanted, mask)
    assert (scored == filled).mean() > 0.9999, "batches of other sizes round alike but for a bit"


@pytest.mark.parametrize(
    ("name", "contrast"), [case for case in CASES if trained(case[0])[0].image_size is None]
)
def test_photographs_by_windows_and_as_scored(name, contrast):
    generator, variables = trained(name, contrast=contrast)
    image, mask = images(2, side=300)
    unit = image.astype(np.float32) / 255
    wanted = np.asarray(whole(generator, variables, unit, mask))
    np.testing.assert_allclose(
        inpaint_fn(generator, variables, unit, mask), wanted, rtol=0, atol=2e-5
    )
    filled = inpaint_fn(generator, variables, image, mask)
    require_alike(filled, wanted, mask)
    completer = model_completer(generator, variables)
    np.testing.assert_array_equal(completer(image, mask), filled)
    np.testing.assert_array_equal(completer(image[1:], mask[1:]), filled[1:])


def test_a_network_of_another_order_of_layers_agrees():
    """A hole at the border too, where what follows a ReLU must not leak into the padding."""
    options = {"contrast": "centred", "normalisation": "after_relu", "convolution_bias": True}
    generator, variables = trained("skip", fill="mean", **options)
    assert "bias" in variables["params"]["up1"]
    image, mask = images(2, side=300)
    mask[0, :9, -12:] = 1
    unit = image.astype(np.float32) / 255
    wanted = np.asarray(whole(generator, variables, unit, mask))
    filled = inpaint_fn(generator, variables, unit, mask)
    np.testing.assert_allclose(filled, wanted, rtol=0, atol=2e-5)
    assert wanted[np.broadcast_to(mask, wanted.shape) > 0].std() > 0.01


@pytest.mark.parametrize("side", [SIDE, 300])
@pytest.mark.parametrize("name", NAMES)
def test_local_contrast_keeps_flat_pictures_flat_and_gray_ones_gray(name, side):
    generator, variables = trained(name, contrast="local")
    if generator.image_size not in (None, side):
        return
    image, mask = images(2, side)
    for colour in ((0, 0, 0), (255, 255, 255), (128, 128, 128), (200, 30, 90)):
        flat = np.broadcast_to(np.uint8(colour), image.shape)
        np.testing.assert_array_equal(inpaint_fn(generator, variables, flat, mask), flat)
    gray = np.repeat(image[..., 1:2], 3, -1)
    completed = inpaint_fn(generator, variables, gray, mask)
    assert np.ptp(completed, axis=-1).max() == 0
    assert (completed != gray).any()


def test_threads_with_networks_of_their_own_get_their_own_results():
    """Of one definition, so that they share every compiled program."""
    image, mask = images(1)
    models = [trained("glcic", seed) for seed in (0, 1)]
    wanted = [inpaint_fn(*model, image, mask) for model in models]
    assert (wanted[0] != wanted[1]).any()
    wrong = []

    def repeat(model, expected):
        for _ in range(20):
            if not np.array_equal(inpaint_fn(*model, image, mask), expected):
                wrong.append(1)

    threads = [
        threading.Thread(target=repeat, args=pair) for pair in zip(models, wanted, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_variables_that_change_in_place_are_seen():
    """NumPy arrays can; nothing about them is remembered."""
    image, mask = images(1)
    generator, variables = trained("glcic")
    variables = jax.tree.map(np.array, variables)
    before = inpaint_fn(generator, variables, image, mask)
    variables["params"]["output"]["bias"] += 0.2
    assert (inpaint_fn(generator, variables, image, mask) != before).any()
