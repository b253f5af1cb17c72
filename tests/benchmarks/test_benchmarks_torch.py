"""The PyTorch side of the benchmarks computes what ours does."""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from support import replace

from glcic_jax.errors import UserError
from glcic_jax.imaging.fills import harmonic_fill
from glcic_jax.training import steps
from glcic_jax.training.batch import Batch, draw_batch
from glcic_jax.training.recipe import build_recipe
from glcic_jax.training.state import create_train_state

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install '.[benchmarks]'")

torch.set_num_threads(1)  # small arrays, and other processes may want the cores

from benchmarks import (  # noqa: E402
    accelerators,
    gpu_contenders,
    operators,
    torch_fill,
    torch_glcic,
    torch_steps,
)

CONSTANT = {"schedule": "constant", "warmup_steps": 0}
VARIANTS = {
    "photos": {"optimizer": CONSTANT | {"ema_decay": 0.9}},
    "study": {
        "model": {"fusion": "separate", "fill": "mean", "dilated_residual": False},
        "optimizer": CONSTANT | {"name": "adam"},
        "losses": {"global_weight": 0.3, "local_weight": 0.2},
    },
    "paper": {
        "image_size": 32,
        "model": {"fill": "mean", "dilated_residual": False},
        "losses": {"reconstruction": "absolute", "joint_weight": 0.3},
        "optimizer": CONSTANT
        | {"name": "adadelta", "learning_rate": 1.0, "discriminator_learning_rate": 1.0},
    },
    "normalised last": {
        "model": {
            "fill": "mean",
            "dilated_residual": False,
            "normalisation": "after_relu",
            "convolution_bias": True,
        },
        "optimizer": CONSTANT | {"name": "adam"},
    },
}


def host(tree):
    return jax.tree.map(np.asarray, tree)


def variables(network):
    return {"params": host(network.params), "batch_stats": host(network.batch_stats)}


def planes(image):
    """image_BxHxWxC as a PyTorch tensor image_BxCxHxW."""
    return torch.from_numpy(np.array(image)).permute(0, 3, 1, 2)


class Pair:
    """The same state and batch on both sides."""

    def __init__(self, config, images):
        self.recipe = build_recipe(config)
        create = jax.jit(create_train_state, static_argnums=1)
        state = create(jax.random.key(3), config, np.full(3, 0.4, np.float32))
        # A last layer of zeros, as training starts with, would hide the layers before it.
        output = state.generator.params["output"]
        kernel = 0.1 * jax.random.normal(jax.random.key(4), output["kernel"].shape)
        output = output | {"kernel": kernel}
        params = state.generator.params | {"output": output}
        generator = dataclasses.replace(state.generator, params=params)
        average = state.average and {
            "params": jax.tree.map(jnp.copy, params),
            "batch_stats": state.average["batch_stats"],
        }
        self.state = dataclasses.replace(state, generator=generator, average=average)
        self.images = images

    def trainer_of(self, state):
        """A fresh PyTorch trainer with the weights of `state`."""
        trainer = torch_steps.Trainer(self.recipe.config, np.asarray(state.mean_pixel))
        torch_glcic.load_generator(trainer.generator, variables(state.generator))
        torch_glcic.load_discriminator(trainer.discriminator, variables(state.discriminator))
        trainer.restart_average()
        return trainer

    @functools.cached_property
    def batch(self):
        def draw():
            batch = draw_batch(self.recipe, self.state, self.images)
            return batch.image, batch.mask, batch.corner, batch.real_corner

        return Batch(*jax.jit(draw)())

    @functools.cached_property
    def torch_batch(self):
        corners = [np.array(c, np.int64) for c in (self.batch.corner, self.batch.real_corner)]
        return torch_steps.Batch(
            planes(self.batch.image),
            planes(self.batch.mask),
            *(torch.from_numpy(corner) for corner in corners),
        )


@pytest.fixture(scope="module")
def pairs():
    return {}


@pytest.fixture
def pair(variant, pairs, tiny_config, photo_crops):
    config = replace(tiny_config, **VARIANTS[variant])
    side = config.image_size
    if variant not in pairs:
        pairs[variant] = Pair(config, jnp.asarray(photo_crops[:, :side, :side]))
    return pairs[variant]


def assert_close(ours, theirs, tolerance=2e-5):
    np.testing.assert_allclose(
        np.asarray(ours), theirs.detach().numpy(), rtol=tolerance, atol=tolerance
    )


@pytest.mark.parametrize(
    ("variant", "train"),
    [
        ("photos", False),
        ("photos", True),
        ("study", False),
        ("paper", False),
        ("normalised last", False),
    ],
)
def test_networks_agree(pair, train):
    state, batch = pair.state, pair.torch_batch
    trainer = pair.trainer_of(state)
    constants = {"constants": {"mean_pixel": state.mean_pixel}}
    apply = jax.jit(pair.recipe.generator.apply, static_argnames=("train", "mutable"))
    options = {"train": train, "mutable": ("batch_stats",)}
    ours, _ = apply(
        variables(state.generator) | constants, pair.batch.image, pair.batch.mask, **options
    )
    trainer.generator.train(train)
    theirs = trainer.generator(batch.image, batch.mask)
    assert_close(ours, theirs.permute(0, 2, 3, 1))

    window = torch_steps.crop(batch.image, batch.corner, trainer._window)
    apply = jax.jit(pair.recipe.discriminator.apply, static_argnames=("train", "mutable"))
    our_window = jnp.asarray(window.permute(0, 2, 3, 1).numpy())
    ours, _ = apply(variables(state.discriminator), pair.batch.image, our_window, **options)
    trainer.discriminator.train(train)
    for name, logits in trainer.discriminator(batch.image, window).items():
        assert_close(ours[name], logits)


@pytest.mark.parametrize(
    ("variant", "phase"),
    [
        ("photos", "completion"),
        ("photos", "discriminator"),
        ("photos", "joint"),
        ("study", "joint"),
        ("paper", "joint"),
    ],
)
def test_steps_agree(pair, phase, monkeypatch):
    """Same terms, and the same networks after the update."""
    batch = pair.batch
    monkeypatch.setattr(steps, "draw_batch", lambda *_: batch)
    after, ours = jax.jit(functools.partial(steps.STEPS[phase], pair.recipe))(
        pair.state, pair.images
    )
    update = {"completion": "completion", "discriminator": "discriminate", "joint": "joint"}
    trainer = pair.trainer_of(pair.state)
    theirs = getattr(trainer, update[phase])(pair.torch_batch)
    assert set(ours.flat()) == set(theirs)
    for name, value in ours.flat().items():
        np.testing.assert_allclose(float(value), float(theirs[name]), rtol=2e-3, err_msg=name)

    before, expected = pair.trainer_of(pair.state), pair.trainer_of(after)
    for network in ("generator", "discriminator"):
        start, wanted = (getattr(side, network).state_dict() for side in (before, expected))
        for name, value in getattr(trainer, network).state_dict().items():
            # PyTorch counts batches, and its running variance is the unbiased one.
            if "num_batches" not in name and "running_var" not in name:
                assert_moved_alike(start[name], wanted[name], value, name)
    if after.average:
        average = dataclasses.replace(after.generator, **after.average)
        expected = pair.trainer_of(dataclasses.replace(after, generator=average))
        triples = zip(before.average, expected.average, trainer.average, strict=True)
        parameters = len(list(trainer.generator.parameters()))
        for number, (start, wanted, value) in enumerate(triples):
            # Then come running means and variances in turn; PyTorch's variance is the unbiased one.
            if number < parameters or (number - parameters) % 2 == 0:
                assert_moved_alike(start, wanted, value, f"average {number}")


# Not of "normalised last": its biases' gradients are small differences of large sums, which two
# libraries round differently (2e-5 of 0.009).
@pytest.mark.parametrize("variant", ["photos", "study", "paper"])
def test_all_gradients_of_the_joint_step_agree(pair, monkeypatch):
    """With plain descent at rate 1 a network moves by its gradient, every entry of which counts."""
    descent = optax.sgd(1.0)
    state = dataclasses.replace(
        pair.state,
        generator=dataclasses.replace(
            pair.state.generator, opt_state=descent.init(pair.state.generator.params)
        ),
        discriminator=dataclasses.replace(
            pair.state.discriminator, opt_state=descent.init(pair.state.discriminator.params)
        ),
    )
    recipe = dataclasses.replace(
        pair.recipe, generator_optimizer=descent, discriminator_optimizer=descent
    )
    batch = pair.batch
    monkeypatch.setattr(steps, "draw_batch", lambda *_: batch)
    after, _ = jax.jit(functools.partial(steps.joint_step, recipe))(state, pair.images)
    trainer, before = pair.trainer_of(state), pair.trainer_of(state)
    for network in ("generator", "discriminator"):
        parameters = getattr(trainer, network).parameters()
        setattr(trainer, f"_{network}_optimizer", torch.optim.SGD(parameters, lr=1.0))
    trainer.joint(pair.torch_batch)
    expected = pair.trainer_of(after)
    for network in ("generator", "discriminator"):
        start, ours, theirs = (
            dict(getattr(side, network).named_parameters()) for side in (before, expected, trainer)
        )
        for name, value in theirs.items():
            gradient, other = (start[name] - moved for moved in (value, ours[name]))
            scale = gradient.abs().max().item()
            assert scale > 0, f"{network} {name} has no gradient"
            assert_close_to_scale(other, gradient, scale, f"{network} {name}")


def assert_close_to_scale(ours, theirs, scale, name):
    """To rounding of a parameter of size 1 and of the sums behind its gradient."""
    difference = (ours - theirs).abs().max().item()
    assert difference < 2e-3 * scale + 1e-6, f"{name}: {difference} of {scale}"


def assert_moved_alike(start, wanted, value, name):
    """All but a few entries agree: where a gradient is nearly zero, Adam's sign is rounding."""
    moved = (wanted - start).abs().max()
    apart = (wanted - value).abs() > 0.02 * moved
    assert apart.float().mean() < 0.02, name


def test_harmonic_fill_agrees(photo_crops):
    image = jnp.asarray(photo_crops[:, :31, :], jnp.float32) / 255
    mask = np.zeros((8, 31, 32, 1), np.float32)
    mask[:, 5:20, 9:30] = 1
    mask[3] = 1
    pixel = np.array([0.2, 0.5, 0.7], np.float32)
    ours = jax.jit(harmonic_fill)(image, jnp.asarray(mask), jnp.asarray(pixel))
    mean_pixel = torch.from_numpy(pixel).view(1, 3, 1, 1)
    filled = torch.where(planes(mask) > 0.5, mean_pixel, planes(image))
    theirs = torch_fill.harmonic_fill(filled, planes(mask), mean_pixel)
    assert_close(ours, theirs.permute(0, 2, 3, 1))


def test_torch_draws_what_training_draws(tiny_config, photo_crops):
    """Holes of the right sides, inside the image and inside their windows."""
    trainer = torch_steps.Trainer(tiny_config, np.full(3, 0.5))
    images = torch.from_numpy(photo_crops[:, :16, :16].repeat(64, axis=0))
    batch = trainer.draw(images)
    hole = batch.mask[:, 0]
    height = hole.amax(2).sum(1)
    assert (height.min(), height.max()) == (4, 8)
    assert torch.equal(hole.sum((1, 2)), height * hole.amax(1).sum(1))
    inside = torch_steps.crop(batch.mask, batch.corner, 8)
    assert torch.equal(inside.sum((1, 2, 3)), hole.sum((1, 2)))
    upright = images.permute(0, 3, 1, 2).float() / 255
    kept = (batch.image == upright).flatten(1).all(1)
    assert 0.3 < kept.float().mean() < 0.7
    assert torch.equal(batch.image[~kept], upright[~kept].flip(3))


def test_bfloat16_and_compiled_steps_are_near_the_float32_ones(
    tiny_config, photo_crops, monkeypatch
):
    """What torch.compile makes of the networks, but for the C++ that takes a minute to build."""
    compile_module = functools.partialmethod(torch.nn.Module.compile, backend="aot_eager")
    monkeypatch.setattr(torch.nn.Module, "compile", compile_module)
    config = replace(tiny_config, model={"fill": "mean"})
    narrow = replace(config, model={"compute_dtype": "bfloat16"})
    images = torch.from_numpy(photo_crops[:, :16, :16])

    def terms(config, compiled):
        torch.manual_seed(0)
        trainer = torch_steps.Trainer(config, np.full(3, 0.4), compiled=compiled)
        trainer.step("joint", images)
        return {name: float(value) for name, value in trainer.step("joint", images).items()}

    expected, found = terms(config, compiled=False), terms(narrow, compiled=False)
    assert found == pytest.approx(expected, rel=0.1, abs=1e-4)
    assert found["reconstruction"] != expected["reconstruction"]
    assert terms(narrow, compiled=True) == pytest.approx(found, rel=0.01, abs=1e-4)
    torch._dynamo.reset()


def test_pytorch_takes_its_turn_from_resident_images(tiny_config, photo_crops):
    images = np.ascontiguousarray(photo_crops[:, :16, :16])
    prepared = gpu_contenders.prepare_pytorch(tiny_config, "completion", images, "cpu")
    prepared.run(2)
    assert prepared.steps == 1
    assert prepared.bytes_of_step() is None


def test_both_libraries_limits_are_measured():
    for found in (*accelerators.peaks("cpu", 64).values(), accelerators.bandwidths("cpu", 4096)):
        assert set(found) == {"jax", "torch"}
        assert min(found.values()) > 0


@pytest.mark.parametrize(
    ("version", "complaint"), [(None, "built without CUDA"), ("13.0", "sees no CUDA device")]
)
def test_a_pytorch_that_can_not_use_a_gpu_is_told(monkeypatch, version, complaint):
    monkeypatch.setattr(torch.version, "cuda", version)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match=complaint):
        accelerators.require_torch_cuda()


@pytest.mark.parametrize("which", operators._PASSES)
@pytest.mark.parametrize(
    "operator",
    [
        operators._Operator("strided", 16, 3, 8, 5, 2, 1, "plain"),
        operators._Operator("dilated", 16, 4, 8, 3, 1, 2, "plain"),
        operators._Operator("transposed", 8, 6, 4, 4, 2, 1, "transposed"),
        operators._Operator("interpolated", 8, 6, 4, 3, 1, 1, "interpolated"),
    ],
    ids=lambda operator: operator.name,
)
def test_operators_agree(operator, which):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, operator.side, operator.side, operator.channels), np.float32)
    kernel = rng.standard_normal(operator.kernel_shape, np.float32)
    ours = operators._our_run(operator, which, x, kernel)(1)
    theirs = operators._their_run(operator, which, x, kernel)(1)
    order = (0, 2, 3, 1)
    if which == "kernel gradient":
        order = (2, 3, 0, 1) if operator.kind == "transposed" else (2, 3, 1, 0)
    np.testing.assert_allclose(theirs.permute(order), ours, rtol=1e-4, atol=1e-3)
