"""Completing windows instead of whole images: the same values, programs shared between sizes."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import skimage.data
from support import initialise

from glcic_jax import inpaint_fn
from glcic_jax.config.presets import PRESETS
from glcic_jax.config.settings import Config, ModelConfig
from glcic_jax.errors import UserError
from glcic_jax.inpainting import geometry
from glcic_jax.inpainting.coarse_to_fine import complete
from glcic_jax.networks.folding import fold
from glcic_jax.networks.registry import build_generator


@functools.cache
def random_model(fill: str, generator: str = "glcic", deepest: float = 0.0):
    """A narrow generator in which every value counts: statistics, offsets and the output layer."""
    residual = fill == "harmonic"
    model = ModelConfig(
        generator=generator,
        width=4,
        dilations=(2, 1) if deepest else (2, 4, 8, 16),
        fill=fill,
        dilated_residual=residual,
        contrast="local" if deepest else "absolute",
        deepest=deepest,
    )
    generator = build_generator(Config(model=model))
    shape = (1, 16, 16)
    variables = initialise(
        generator, jax.random.key(0), jnp.zeros((*shape, 3)), jnp.zeros((*shape, 1))
    )
    noise = np.random.default_rng(0)
    variables = jax.tree.map(
        lambda leaf: leaf + 0.1 * noise.uniform(-1, 1, leaf.shape).astype(np.float32), variables
    )
    variables["params"]["output"]["kernel"] *= 0.3 if residual else 3.0
    return generator, variables


@functools.partial(jax.jit, static_argnums=0)
def whole(generator, variables, image, mask):
    return complete(generator, variables, image[None], mask[None, ..., None])[1][0]


def photograph(height: int, width: int) -> np.ndarray:
    return skimage.data.astronaut()[:height, :width].astype(np.float32) / 255


HOLES = {
    "inside": (512, 500, [(200, 180, 230, 220)]),
    "corner": (301, 450, [(0, 0, 40, 33)]),
    "last rows and columns": (301, 450, [(262, 400, 301, 450)]),
    "far apart": (512, 500, [(5, 8, 17, 30), (470, 466, 502, 500), (480, 3, 484, 40)]),
    "side by side": (512, 500, [(200, 180, 230, 200), (205, 204, 215, 230)]),
    "small image": (50, 61, [(30, 20, 50, 40)]),
}


@pytest.mark.parametrize(
    ("model", "name"),
    [((fill,), name) for fill in ("mean", "harmonic") for name in HOLES]
    + [(("mean", "residual"), name) for name in ("inside", "corner", "far apart")],
)
def test_windows_give_what_the_whole_image_gives(model, name):
    generator, variables = random_model(*model)
    image, mask = with_holes(*HOLES[name])
    completed = inpaint_fn(generator, variables, image, mask)
    wanted = np.asarray(whole(generator, variables, image, mask))
    hole = mask == 1
    assert wanted[hole].std() > 0.02
    assert ((wanted[hole] > 0) & (wanted[hole] < 1)).mean() > 0.5
    # A fortieth of a level where a long hole is filled smoothly in two windows; rounding elsewhere.
    tolerance = 1e-4 if (model[0], name) == ("harmonic", "far apart") else 2e-5
    np.testing.assert_allclose(completed[hole], wanted[hole], atol=tolerance)
    np.testing.assert_array_equal(completed[~hole], image[~hole])


def with_holes(
    height: int, width: int, boxes: list[tuple[int, int, int, int]]
) -> tuple[np.ndarray, np.ndarray]:
    """A photograph, and float32 mask_HxW of boxes (top, left, bottom, right)."""
    mask = np.zeros((height, width), np.float32)
    for top, left, bottom, right in boxes:
        mask[top:bottom, left:right] = 1
    return photograph(height, width), mask


DEEP = HOLES | {
    "a wide one and specks": (
        512,
        500,
        [(150, 150, 278, 290), (20, 30, 22, 33), (400, 9, 404, 10)],
    ),
    "scratches": (400, 500, [(100, 20, 104, 480), (20, 200, 380, 206)]),
    "near": (300, 300, [(60, 70, 100, 100), (60, 102, 100, 104), (110, 90, 113, 120)]),
    "a band across": (200, 333, [(80, 0, 130, 333)]),
}


@pytest.mark.parametrize(
    ("name", "refines", "views", "mirror_margin"),
    [(name, True, 1, 0) for name in DEEP if name != "near"]
    + [("a wide one and specks", False, 1, 0)]
    + [("last rows and columns", True, 4, 20), ("near", True, 2, 20), ("small image", True, 2, 20)],
)
def test_coarse_to_fine_by_windows_gives_what_the_whole_image_gives(
    name, refines, views, mirror_margin
):
    generator, variables = random_model("harmonic", "skip", 4.5)
    generator = generator.clone(refines=refines, views=views, mirror_margin=mirror_margin)
    image, mask = with_holes(*DEEP[name])
    completed = inpaint_fn(generator, variables, image, mask)
    wanted = np.asarray(whole(generator, variables, image, mask))
    hole = mask == 1
    # A twentieth of a level: a fill cut at the border of its window is a little off.
    np.testing.assert_allclose(completed[hole], wanted[hole], atol=2e-4)
    np.testing.assert_array_equal(completed[~hole], image[~hole])


def test_a_speck_is_filled_alike_whatever_wide_hole_is_far_away():
    generator, variables = random_model("harmonic", "skip", 4.5)
    image, mask = photograph(512, 500), np.zeros((512, 500), bool)
    mask[20:23, 30:34] = True
    alone = inpaint_fn(generator, variables, image, mask)
    mask[300:400, 300:420] = True
    np.testing.assert_array_equal(inpaint_fn(generator, variables, image, mask)[:64], alone[:64])


def test_a_hole_that_is_not_too_deep_is_completed_in_one_pass():
    image, mask = photograph(192, 224), np.zeros((192, 224), bool)
    mask[50:59, 60:200] = True
    generator, variables = random_model("harmonic", "skip", 5.0)
    one = inpaint_fn(generator, variables, image, mask)
    always = generator.clone(deepest=0.0)
    np.testing.assert_array_equal(inpaint_fn(always, variables, image, mask), one)
    mask[50:61, 60:71] = True
    deeper = inpaint_fn(generator, variables, image, mask)
    assert (deeper[52, 190] != one[52, 190]).any(), "all of a hole starts alike"


@pytest.mark.parametrize("name", ["inside", "small image"])
@pytest.mark.parametrize("dtype", [np.uint8, np.float16, np.float64])
def test_every_dtype_is_completed_alike(name, dtype):
    image, mask = with_holes(*HOLES[name])
    mask = mask > 0
    wanted = inpaint_fn(*random_model("mean"), image, mask)
    scale = 255 if dtype == np.uint8 else 1
    given = np.round(image * scale).astype(dtype) if scale > 1 else image.astype(dtype)
    completed = inpaint_fn(*random_model("mean"), given, mask)
    assert completed.dtype == dtype
    np.testing.assert_array_equal(completed[~mask], given[~mask])
    # The known pixels were rounded to the dtype, and so was the result.
    np.testing.assert_allclose(completed[mask].astype(np.float32) / scale, wanted[mask], atol=4e-3)


def test_a_context_encoder_completes_its_own_size_only():
    model = ModelConfig(generator="context_encoder", width=4, bottleneck=8)
    generator = build_generator(Config(model=model))
    image, mask = photograph(32, 32), np.zeros((32, 32), np.float32)
    mask[4:20, 10:22] = 1
    variables = initialise(generator, jax.random.key(0), image[None], mask[None, ..., None])
    variables["params"]["output"]["kernel"] += 0.1
    completed = inpaint_fn(generator, variables, image, mask)
    wanted = np.asarray(whole(generator, variables, image, mask))
    np.testing.assert_allclose(completed[mask == 1], wanted[mask == 1], atol=1e-5)
    np.testing.assert_array_equal(completed[mask == 0], image[mask == 0])
    with pytest.raises(UserError, match="32 x 32 pixels only; got 40 x 32"):
        inpaint_fn(generator, variables, photograph(40, 32), np.zeros((40, 32)))


def test_images_of_other_sizes_compile_nothing_new():
    generator, variables = random_model("mean")
    compiled = []

    def repair(height, width, top, left):
        mask = np.zeros((height, width), bool)
        mask[top : top + 25, left : left + 17] = True
        inpaint_fn(generator, variables, photograph(height, width), mask)

    def count(event, _seconds, **_):
        if event == "/jax/core/compile/backend_compile_duration":
            compiled.append(event)

    repair(420, 431, 200, 210)
    jax.monitoring.register_event_duration_secs_listener(count)
    for place in [(421, 440, 190, 211), (512, 512, 3, 480), (500, 455, 440, 100)]:
        repair(*place)
    assert not compiled
    # The event still has the name that was counted.
    jax.jit(lambda x: x + 1).lower(np.float32(1)).compile()
    assert compiled


def test_folding_is_exact():
    generator, variables = random_model("mean")
    folded = fold(generator, variables)
    params, statistics = variables["params"], variables["batch_stats"]
    x = np.random.default_rng(1).normal(size=7)
    for layer in generator.layers():
        norm = jax.tree.map(np.float64, params[f"{layer.name}_norm"]["norm"])
        running = jax.tree.map(np.float64, statistics[f"{layer.name}_norm"]["norm"])
        kernel = np.float64(params[layer.name]["kernel"][0, 0, 0])
        y = x[:, None] * kernel
        wanted = (y - running["mean"]) / np.sqrt(running["var"] + 1e-5)
        wanted = wanted * norm["scale"] + norm["bias"]
        got = x[:, None] * np.float64(folded[layer.name].kernel[0, 0, 0])
        # The formula in float64; `fold` rounds to float32.
        np.testing.assert_allclose(got + folded[layer.name].bias, wanted, atol=1e-5)


def test_changed_variables_are_noticed():
    generator, variables = random_model("mean")
    image, mask = photograph(40, 40), np.zeros((40, 40), np.float32)
    mask[10:20, 10:20] = 1
    before = inpaint_fn(generator, variables, image, mask)
    output = variables["params"]["output"]
    other = variables | {
        "params": variables["params"] | {"output": output | {"bias": output["bias"] + 0.5}}
    }
    after = inpaint_fn(generator, other, image, mask)
    assert (after[10:20, 10:20] - before[10:20, 10:20]).min() > 0.01


def test_the_papers_network_sees_153_pixels_to_each_side():
    # Iizuka et al. 2017, section 3.3: a receptive field of 307 px; 153 px are 39 cells of 4.
    layers = build_generator(PRESETS["paper"]).layers()
    assert geometry.margins(layers, 4)[0] == 39
    assert geometry.margins(layers, 4)[-1] == 0
