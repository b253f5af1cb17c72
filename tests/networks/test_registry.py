"""Names of networks: what their entries say, and one generator more, told of in one place."""

from __future__ import annotations

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import replace

from glcic_jax.config.model import Fill
from glcic_jax.config.presets import PRESETS
from glcic_jax.config.scoring import Scoring
from glcic_jax.config.settings import Config
from glcic_jax.errors import UserError
from glcic_jax.evaluation.reporting import evaluate_run
from glcic_jax.imaging.fills import mean_fill
from glcic_jax.inpainting.generator_files import save_generator
from glcic_jax.inpainting.generators import load_generator
from glcic_jax.inpainting.inpaint import inpaint_fn
from glcic_jax.networks.registry import (
    GeneratorEntry,
    build_generator,
    check_run,
    generator_differences,
    register_generator,
)
from glcic_jax.training.loop import train


class Toy(nn.Module):
    """The mean pixel in the hole, and one convolution without normalisation on top of it."""

    image_size: int | None = None
    multiple: int = 2
    fill: Fill = "mean"
    deepest: float = 0.0
    refines: bool = False
    views: int = 1
    mirror_margin: int = 0
    dtype: jnp.dtype = jnp.float32

    def layers(self) -> None:
        """Only ever computed whole."""

    @nn.compact
    def __call__(self, image, mask, *, train):
        """As `interface.Generator`."""
        del train
        assert all(side % self.multiple == 0 for side in image.shape[1:3]), image.shape
        mean_pixel = self.variable("constants", "mean_pixel", lambda: jnp.full(3, 0.5)).value
        filled = mean_fill(image, mask, mean_pixel)
        return nn.sigmoid(nn.Conv(3, (3, 3), dtype=self.dtype, name="output")(filled))


def small_batches_only(config: Config) -> None:
    if config.data.batch_size > 8:
        raise UserError("the toy wants small batches")


@pytest.fixture
def toy():
    """Lets `model.generator` be "toy" in one test."""
    entry = GeneratorEntry(lambda _config, _axis: Toy(), ("model.fill",), small_batches_only)
    take_out = register_generator("toy", entry)
    yield entry
    take_out()


def test_a_generator_is_added_in_one_place(toy, tiny_config, tmp_path, photo_crops):
    del toy
    config = replace(
        tiny_config, model={"generator": "toy", "fill": "mean"}, optimizer={"ema_decay": 0.5}
    )
    train(tmp_path, config)
    evaluate_run(tmp_path, Scoring(methods=("mean_pixel", "model"), limit=4))
    assert (tmp_path / "results.json").exists()

    generator, variables = load_generator(tmp_path)
    assert generator == Toy()
    fresh = generator.init(
        jax.random.key(0), *(jnp.zeros((1, 16, 16, c)) for c in (3, 1)), train=False
    )
    assert jax.tree.map(jnp.shape, fresh["params"]) == jax.tree.map(jnp.shape, variables["params"])
    mask = np.zeros(photo_crops.shape[:3], np.uint8)
    mask[:, 9:16, 4:13] = 1
    # An odd size is padded to the multiple.
    images, mask = photo_crops[:, :31, :31], mask[:, :31, :31]
    completed = inpaint_fn(generator, variables, images, mask)
    np.testing.assert_array_equal(completed[mask == 0], images[mask == 0])
    # What the network does, written down once more with NumPy.
    kernel, bias = (np.asarray(variables["params"]["output"][name]) for name in ("kernel", "bias"))
    mean_pixel = np.asarray(variables["constants"]["mean_pixel"])
    filled = np.where(mask[..., None] == 1, mean_pixel, images / 255)
    row, column = 12, 8
    for image, result in zip(filled, completed, strict=True):
        patch = image[row - 1 : row + 2, column - 1 : column + 2]
        expected = 255 / (1 + np.exp(-np.einsum("abc,abcf->f", patch, kernel) - bias))
        np.testing.assert_allclose(result[row, column], expected, atol=0.51)

    file = tmp_path / "toy.npz"
    save_generator(file, config, variables, {})
    again = inpaint_fn(*load_generator(file), images, mask)
    np.testing.assert_array_equal(again, completed)


def test_an_unknown_generator_is_explained_and_writes_nothing(tiny_config, toy, tmp_path):
    del toy
    with pytest.raises(UserError, match=r"'toyy'; choose one of glcic, .*context_encoder, toy"):
        train(tmp_path / "x", replace(tiny_config, model={"generator": "toyy"}))
    assert not (tmp_path / "x").exists()


def test_a_name_is_taken_once(toy):
    with pytest.raises(ValueError, match="already"):
        register_generator("toy", toy)


WRONG = [
    (
        {"image_size": 30},
        "image-size 30 does not divide by 4, which model.downsamples.*28 and 32",
    ),
    (
        {"image_size": 36, "model": {"generator": "context_encoder"}},
        "image-size 36 does not divide by 8, which model.generator context_encoder.*32 and 40",
    ),
    ({"model": {"generator": "context_encoder"}, "data": {"batch_size": 1}}, "batch-size is 1"),
    (
        {"model": {"generator": "glcicc"}},
        "'glcicc'; choose one of glcic, residual, skip, context_enc",
    ),
    ({"model": {"width": 5}}, "model.width is 5"),
]


@pytest.mark.parametrize(("change", "message"), WRONG)
def test_what_a_generator_asks_of_a_run_is_named(change, message):
    with pytest.raises(UserError, match=message) as caught:
        check_run(replace(Config(), **change))
    assert len(str(caught.value).splitlines()) <= 2


@pytest.mark.parametrize("name", PRESETS)
def test_presets_suit_their_generators(name):
    check_run(PRESETS[name])


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (Toy(multiple=5), "image-size 32 does not divide by 5, which model.generator other needs"),
        (Toy(image_size=64), "completes images of 64 pixels only: set 64"),
    ],
)
def test_sizes_are_asked_of_the_network(network, message):
    take_out = register_generator("other", GeneratorEntry(lambda _config, _axis: network, ()))
    try:
        with pytest.raises(UserError, match=message):
            check_run(replace(Config(), model={"generator": "other"}))
    finally:
        take_out()


def test_an_entrys_own_check_is_asked(toy):
    del toy
    with pytest.raises(UserError, match="small batches"):
        check_run(replace(Config(), model={"generator": "toy"}))


def test_sizes_by_hand():
    glcic = build_generator(replace(Config(), model={"downsamples": 3}))
    assert (glcic.image_size, glcic.multiple) == (None, 8)
    encoder = {"generator": "context_encoder"}
    for side, multiple in ((8, 2), (16, 4), (32, 8), (48, 8), (64, 16), (256, 64)):
        network = build_generator(replace(Config(image_size=side), model=encoder))
        assert (network.image_size, network.multiple) == (side, multiple)
        assert network.layers() is None


def test_only_fields_that_the_generator_reads_tell_it_from_another():
    residual = replace(Config(), model={"generator": "residual"})
    other = replace(residual, model={"dilated_residual": False, "bottleneck": 7})
    assert generator_differences(residual, other) == []
    wrong = replace(residual, model={"dilations": (2,)}, image_size=64)
    found = generator_differences(residual, wrong)
    assert found == ["model.dilations: (2, 4, 8, 16) -> (2,)"]
    encoder = replace(residual, model={"generator": "context_encoder"})
    other = replace(encoder, model={"dilations": (2,)}, image_size=64)
    assert generator_differences(encoder, other) == ["image_size: 32 -> 64"]


@pytest.mark.parametrize("name", ["glcic", "residual", "skip", "context_encoder"])
def test_a_field_that_an_entry_does_not_name_changes_no_parameter(name):
    """And one that it names changes the shapes or the kind of the network."""
    base = replace(Config(), model={"generator": name, "width": 4, "bottleneck": 8})
    changes = {
        "width": 6,
        "downsamples": 1,
        "dilations": (2, 4),
        "dilated_residual": False,
        "bottleneck": 16,
        "fill": "mean",
    }
    others = {
        field: dataclasses.replace(base, model=dataclasses.replace(base.model, **{field: value}))
        for field, value in changes.items()
    }
    for field, other in others.items():
        same = build_generator(base) == build_generator(other)
        assert same == (generator_differences(base, other) == []), field


def test_generators_are_built_without_discriminators(run_python):
    done = run_python(
        "-c",
        "import sys, glcic_jax.networks.registry as r; "
        "from glcic_jax.config.settings import Config; r.build_generator(Config()); "
        "print('glcic_jax.networks.discriminators' in sys.modules)",
    )
    assert done.stdout.strip() == "False", done.stderr
