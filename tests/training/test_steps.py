"""The update steps: who changes, by how much, one compilation, and the same on any devices."""

from __future__ import annotations

import dataclasses
import functools
import json

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import replace

from glcic_jax.config.presets import STUDY
from glcic_jax.config.saved import to_json
from glcic_jax.config.settings import LossConfig, phase_of, total_steps
from glcic_jax.imaging.fills import harmonic_fill
from glcic_jax.imaging.values import composite
from glcic_jax.inpainting.coarse_to_fine import first_completion
from glcic_jax.networks.registry import check_run
from glcic_jax.runtime.devices import batch_mesh
from glcic_jax.training import losses, steps
from glcic_jax.training.batch import Batch, draw_batch
from glcic_jax.training.judging import judge, judge_real
from glcic_jax.training.loop import compile_step
from glcic_jax.training.recipe import build_recipe
from glcic_jax.training.state import create_train_state
from glcic_jax.training.steps import STEPS, joint_step
from glcic_jax.training.validation import validation_protocols

PHASES = ("completion", "discriminator", "joint")


@pytest.fixture
def images(photo_crops):
    return jnp.asarray(photo_crops[:, :16, :16])


_create = jax.jit(create_train_state, static_argnums=1)


def start(config):
    config = replace(config, losses=LossConfig())  # which a fresh state does not depend on
    return _create(jax.random.key(0), config, np.full(3, 0.5, np.float32))


@functools.cache
def compiled(config, phase):
    """The step `(state, images) -> (state, terms)`, without donation; compiled once."""
    return jax.jit(functools.partial(STEPS[phase], build_recipe(config)))


def drawn(recipe, state, images):
    """`draw_batch` as one program, instead of one for each of its operations."""
    return Batch(**jax.jit(lambda *inputs: vars(draw_batch(recipe, *inputs)))(state, images))


def same(one, other) -> bool:
    equal = jax.tree.map(lambda a, b: np.array_equal(np.asarray(a), np.asarray(b)), one, other)
    return all(jax.tree.leaves(equal))


@pytest.mark.parametrize("fusion", ["joint", "separate"])
def test_each_phase_updates_its_own_networks(tiny_config, images, fusion):
    config = replace(tiny_config, model={"fusion": fusion})
    state, _ = compiled(config, "joint")(start(config), images)
    # The completion step is one program for both ways to fuse, which are the discriminators'.
    phases = PHASES if fusion == "joint" else PHASES[1:]
    after = {phase: compiled(config, phase)(state, images)[0] for phase in phases}
    if "completion" in after:
        assert same(after["completion"].discriminator, state.discriminator)
        assert not same(after["completion"].generator.params, state.generator.params)
    assert same(after["discriminator"].generator, state.generator)
    assert not same(after["discriminator"].discriminator.params, state.discriminator.params)
    for part in ("params", "batch_stats", "opt_state"):
        for network in ("generator", "discriminator"):
            before = getattr(getattr(state, network), part)
            assert not same(getattr(getattr(after["joint"], network), part), before)
    assert all(int(next_state.step) == 2 for next_state in after.values())


# The others are made of parts of these.
DISTINCT = ("glcic", "residual_patchgan", "context_encoder", "glcic_global_only")


@pytest.mark.parametrize("name", STUDY)
def test_each_variant_can_be_run(name):
    check_run(STUDY[name])


@pytest.mark.parametrize("name", DISTINCT)
def test_each_variant_takes_its_last_phases_step(photo_crops, name):
    last = phase_of(total_steps(STUDY[name]) - 1, STUDY[name].phases)
    networks = ("generator", "discriminator") if last == "joint" else ("generator",)
    narrow = {"width": 4, "discriminator_width": 4, "dense_features": 8, "bottleneck": 8}
    narrow["dilations"] = (2,)
    config = replace(STUDY[name], model=narrow)
    fresh = state = start(config)
    # The first step's learning rate is 0, and what lies behind layers that start at zero moves
    # only after them: the output layer, then the blocks' last convolutions.
    for _ in range(6):
        state, terms = compiled(config, last)(state, jnp.asarray(photo_crops))
    assert all(np.isfinite(value) for value in terms.flat().values())
    for network in networks:
        before, after = (getattr(one, network).params for one in (fresh, state))
        moved = jax.tree.map(lambda a, b: not np.array_equal(a, b), before, after)
        assert all(jax.tree.leaves(moved)), f"some parameters of the {network} never move"


def test_gradient_ratio_follows_the_adversarial_weight(tiny_config, images):
    ratios = []
    for weight in (0.0, 0.0004, 0.0008):
        config = replace(tiny_config, losses={"joint_weight": weight})
        ratios.append(compiled(config, "joint")(start(config), images)[1])
    ratios = [float(terms.measures["adversarial_gradient_ratio"]) for terms in ratios]
    assert ratios[0] == 0
    assert ratios[1] > 0
    np.testing.assert_allclose(ratios[2], 2 * ratios[1], rtol=1e-4)


def test_a_wanted_gradient_ratio_holds_whatever_the_weight(tiny_config, images):
    states = []
    for weight in (0.001, 0.1):
        losses = {"joint_weight": weight, "adversarial_ratio": 0.3}
        config = replace(tiny_config, losses=losses)
        state, terms = compiled(config, "joint")(start(config), images)
        np.testing.assert_allclose(terms.measures["adversarial_gradient_ratio"], 0.3, rtol=1e-5)
        states.append(state)
    norms = [state.generator.opt_state for state in states]
    chex.assert_trees_all_close(*norms, rtol=1e-3, atol=1e-7)


def test_adversarial_weight_zero_leaves_plain_completion(tiny_config, images):
    """Without the adversarial term the joint step moves the generator as phase 1 does."""
    config = replace(tiny_config, losses={"joint_weight": 0.0})
    state = start(config)
    alone, _ = compiled(config, "completion")(state, images)
    joint, _ = compiled(config, "joint")(state, images)
    # Adam's moments tell what would move; the first step's learning rate is 0.
    moments = [state.generator.opt_state for state in (alone, joint)]
    chex.assert_trees_all_close(*moments, rtol=1e-3, atol=1e-7)


def test_joint_step_is_the_gradient_of_the_written_losses(tiny_config, images):
    """Plain gradients of the two losses, each with the other network held still."""
    config = replace(
        tiny_config,
        losses={"joint_weight": 0.3},
        optimizer={
            "name": "adadelta",
            "learning_rate": 1.0,
            "schedule": "constant",
            "warmup_steps": 0,
            "discriminator_learning_rate": 1.0,
        },
    )
    recipe, state = build_recipe(config), start(config)
    # A first step moves the generator's zero-initialised output layer away from zero.
    state, _ = compiled(config, "joint")(state, images)
    batch = drawn(recipe, state, images)

    def both_losses(generator_params, discriminator_params):
        output, _ = steps._generate(recipe, state, generator_params, batch)
        completed = composite(output, batch.image, batch.mask)
        real, stats = judge_real(recipe, discriminator_params, state, batch)
        fake, _ = judge(recipe, discriminator_params, stats, completed, batch.corner)
        generator_loss = losses.masked_squared_error(
            output, batch.image, batch.mask
        ) + 0.3 * losses.cross_entropy_real(fake["joint"])
        discriminator_loss = losses.cross_entropy_real(
            real["joint"]
        ) + losses.cross_entropy_completed(fake["joint"])
        return generator_loss, discriminator_loss

    params = (state.generator.params, state.discriminator.params)
    generator_gradient, discriminator_gradient = jax.jit(
        lambda generator, discriminator: (
            jax.grad(lambda p: both_losses(p, discriminator)[0])(generator),
            jax.grad(lambda p: both_losses(generator, p)[1])(discriminator),
        )
    )(*params)
    moved, terms = compiled(config, "joint")(state, images)
    norm = lambda tree: np.sqrt(sum(np.sum(np.square(leaf)) for leaf in jax.tree.leaves(tree)))  # noqa: E731
    np.testing.assert_allclose(
        terms.measures["generator_gradient_norm"], norm(generator_gradient), rtol=1e-4
    )
    np.testing.assert_allclose(
        terms.measures["discriminator_gradient_norm"], norm(discriminator_gradient), rtol=1e-4
    )
    expected, _ = jax.jit(recipe.generator_optimizer.update)(
        generator_gradient, state.generator.opt_state, params[0]
    )
    change = jax.tree.map(np.subtract, moved.generator.params, params[0])
    chex.assert_trees_all_close(change, expected, atol=2e-4)


def test_the_generator_runs_forward_once_in_the_joint_step(tiny_config, images, monkeypatch):
    from glcic_jax.networks.completion import CompletionNetwork

    calls = []
    original = CompletionNetwork.__call__
    monkeypatch.setattr(
        CompletionNetwork,
        "__call__",
        lambda self, *a, **k: calls.append(1) or original(self, *a, **k),
    )
    recipe, state = build_recipe(tiny_config), start(tiny_config)
    calls.clear()
    jax.eval_shape(functools.partial(joint_step, recipe), state, images)
    assert len(calls) == 1


def test_one_compilation_and_donated_buffers(tiny_config, images):
    mesh = batch_mesh(jax.devices()[:1])
    traces = []
    recipe = build_recipe(tiny_config)
    step = compile_step(recipe, "joint", mesh)
    state = jax.device_put(start(tiny_config), jax.sharding.NamedSharding(mesh, jax.P()))
    with jax.log_compiles(False):
        for _ in range(3):
            before = state
            state, _ = step(state, images)
            traces.append(step._cache_size())
    assert traces == [1, 1, 1]
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(before.generator.params))


def test_training_lowers_the_loss(tiny_config, images):
    config = replace(
        tiny_config,
        model={"width": 8, "fill": "mean"},
        optimizer={"schedule": "constant", "warmup_steps": 0, "learning_rate": 0.005},
    )
    step, state = compiled(config, "completion"), start(config)
    values = []
    for _ in range(100):
        state, terms = step(state, images)
        values.append(float(terms.losses["reconstruction"]))
    assert np.mean(values[-20:]) < 0.5 * np.mean(values[:10])


def test_discriminators_learn_to_tell(tiny_config, images):
    config = replace(
        tiny_config,
        model={"fill": "mean", "discriminator_width": 8, "dense_features": 32},
        optimizer={"discriminator_learning_rate": 0.003},
    )
    step, state = compiled(config, "discriminator"), start(config)
    values = []
    for _ in range(60):
        state, terms = step(state, images)
        values.append(float(terms.losses["joint_real"] + terms.losses["joint_completed"]))
    assert np.mean(values[-10:]) < 0.5 * np.mean(values[:5])


def test_moving_average_follows_the_weights(tiny_config, images):
    # Without warm-up, with which the first step moves nothing.
    optimizer = {"ema_decay": 0.5, "schedule": "constant", "warmup_steps": 0}
    config = replace(tiny_config, optimizer=optimizer)
    state = start(config)
    before = state.average
    state, _ = compiled(config, "completion")(state, images)
    assert not same(state.generator.params, before["params"])
    decay = min(0.5, 1 / 10)
    expected = jax.tree.map(
        lambda old, new: decay * np.asarray(old) + (1 - decay) * np.asarray(new),
        before["params"],
        state.generator.params,
    )
    chex.assert_trees_all_close(state.average["params"], expected, rtol=1e-5, atol=1e-7)


_DEVICES_PROGRAM = """
import functools, json, sys
import jax, numpy as np
import skimage.data
from glcic_jax.config.saved import from_json
from glcic_jax.runtime import devices
from glcic_jax.training.loop import compile_step
from glcic_jax.training.state import create_train_state
from glcic_jax.training.recipe import build_recipe
from glcic_jax.training.steps import STEPS

config = from_json(sys.argv[1])
photo = skimage.data.astronaut()
images = np.stack([photo[i*24:i*24+16, i*20:i*20+16] for i in range(8)])
initial = jax.jit(create_train_state, static_argnums=1)(
    jax.random.key(0), config, np.full(3, 0.5, np.float32))
initial = jax.tree.map(np.asarray, initial)

def losses_of(step, state, batch):
    lines = []
    for _ in range(3):
        state, terms = step(state, batch)
        lines.append({name: float(np.ravel(value)[0]) for name, value in terms.flat().items()})
    return lines

def jitted(count):
    mesh = devices.batch_mesh(jax.devices()[:count])
    step = compile_step(build_recipe(config), "joint", mesh)
    return losses_of(
        step, devices.put_replicated(mesh, initial), devices.put_batch(mesh, images))

def mapped(count):
    recipe = build_recipe(config, "batch")
    step = jax.pmap(functools.partial(STEPS["joint"], recipe), axis_name="batch")
    state = jax.tree.map(lambda leaf: np.stack([leaf] * count), initial)
    return losses_of(step, state, images.reshape(count, -1, *images.shape[1:]))

def shard_mapped(count):
    recipe, mesh = build_recipe(config, "batch"), devices.batch_mesh(jax.devices()[:count])
    whole, split = jax.P(), jax.P("batch")
    step = jax.jit(jax.shard_map(
        functools.partial(STEPS["joint"], recipe), mesh=mesh, in_specs=(whole, split),
        out_specs=whole, check_vma=False))
    return losses_of(
        step, devices.put_replicated(mesh, initial), devices.put_batch(mesh, images))

print(json.dumps([jitted(1), jitted(8), mapped(8), shard_mapped(8)]))
"""


def test_eight_devices_agree_with_one_device_however_they_are_used(tiny_config, run_python):
    config = replace(
        tiny_config,
        masks={"kind": "freeform"},
        losses={"adversarial_ratio": 0.5},
        augment={"rotate": 0.5, "zoom": 0.5, "blur": 0.5},
    )
    done = run_python("-c", _DEVICES_PROGRAM, to_json(config), devices=8)
    assert done.returncode == 0, done.stderr[-2000:]
    want, *others = json.loads(done.stdout.splitlines()[-1])
    for how, got in zip(("jit", "pmap", "shard_map"), others, strict=True):
        for step, (one, other) in enumerate(zip(want, got, strict=True)):
            assert one.keys() == other.keys()
            for name in one:
                np.testing.assert_allclose(
                    other[name], one[name], rtol=2e-4, atol=1e-6, err_msg=f"{how} {step} {name}"
                )


def test_deep_holes_start_from_what_the_moving_average_makes_of_the_half(tiny_config, photo_crops):
    model = {
        "generator": "skip",
        "width": 4,
        "downsamples": 2,
        "dilations": (1,),
        "contrast": "local",
        "deepest": 2.0,
    }
    config = replace(
        tiny_config,
        image_size=32,
        model=model,
        optimizer={"ema_decay": 0.5},
        masks={"min_side": 0.3, "max_side": 0.5},
    )
    check_run(config)
    recipe, state, images = build_recipe(config), start(config), jnp.asarray(photo_crops)
    average = jax.tree.map(lambda leaf: np.asarray(leaf) + np.float32(0.05), state.average)
    state = dataclasses.replace(state, average=average)
    batch = drawn(recipe, state, images)
    variables = {**average, "constants": {"mean_pixel": state.mean_pixel}}
    completion = jax.jit(functools.partial(first_completion, recipe.generator))
    wanted = completion(variables, batch.image, batch.mask)
    np.testing.assert_allclose(batch.start, wanted, atol=1e-6)
    smooth = jax.jit(harmonic_fill)(batch.image, batch.mask, state.mean_pixel)
    assert np.abs(batch.mask * (batch.start - smooth)).max() > 0.01
    # The first step's output is that start, for the last layer is zero.
    _, terms = compiled(config, "completion")(state, images)
    loss = losses.reconstruction_loss(batch.start, batch.image, batch.mask, config.losses)
    np.testing.assert_allclose(terms.losses["reconstruction"], loss, rtol=1e-4)


@pytest.mark.parametrize(
    ("masks", "protocols"),
    [
        ({"kind": "rectangles"}, ("rectangle",)),
        ({"kind": "text"}, ("freeform",)),
        ({"kind": "mixed"}, ("rectangle", "freeform", "pixels")),
        ({"kind": "mixed", "shares": (0, 0, 0, 1, 0, 1, 0)}, ("pixels", "freeform")),
    ],
)
def test_a_mixture_is_validated_on_all_its_kinds(tiny_config, masks, protocols):
    assert validation_protocols(replace(tiny_config, masks=masks).masks) == protocols
