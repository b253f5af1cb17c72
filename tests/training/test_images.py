"""Crops that the compiled step cuts: the same after a resume and on any number of devices."""

from __future__ import annotations

import jax
import numpy as np
import pytest
import skimage.data
from support import replace

from glcic_jax.imaging.pyramids import build_pyramids
from glcic_jax.training.images import resident_images
from glcic_jax.training.state import create_train_state

SIDE = 16


@pytest.fixture(scope="module")
def photographs():
    photos = [skimage.data.chelsea(), skimage.data.coffee(), skimage.data.astronaut()]
    return build_pyramids(photos, [photo.shape[:2] for photo in photos], SIDE)


@pytest.fixture
def config(tiny_config):
    return replace(tiny_config, data={"min_scale": 1.0, "max_scale": 20.0})


@pytest.fixture
def state(config):
    create = jax.jit(create_train_state, static_argnums=1)
    return create(jax.random.key(0), config, np.full(3, 0.5, np.float32))


def test_crops_follow_from_key_step_and_place(config, state, photographs):
    index = np.arange(8) % 3
    draw = jax.jit(resident_images, static_argnums=0)
    crops = np.asarray(draw(config, state, photographs, index))
    assert crops.shape == (8, SIDE, SIDE, 3)
    np.testing.assert_array_equal(draw(config, state, photographs, index), crops)
    np.testing.assert_array_equal(draw(config, state, photographs, index[:4]), crops[:4])
    later = np.asarray(draw(config, state.replace(step=state.step + 1), photographs, index))
    assert (later != crops).any((1, 2, 3)).all(), "every step cuts new crops"
    assert (crops[0] != crops[3]).any(), "of one photograph too"


TWO_DEVICES = """
import jax, numpy as np
from glcic_jax.config.settings import Config, DataConfig, ModelConfig
from glcic_jax.imaging.pyramids import build_pyramids
from glcic_jax.runtime import devices
from glcic_jax.training.loop import compile_step
from glcic_jax.training.state import create_train_state
from glcic_jax.training.recipe import build_recipe
import skimage.data
photo = skimage.data.chelsea()
model = ModelConfig(width=4, dilations=(2,), discriminator_width=4, dense_features=8)
config = Config(image_size=16, data=DataConfig(max_scale=20.0), model=model)
for count in (1, 2):
    mesh = devices.batch_mesh(jax.devices()[:count])
    resident = devices.put_replicated(mesh, build_pyramids([photo], [photo.shape[:2]], 16))
    step = compile_step(build_recipe(config), "completion", mesh, resident)
    create = jax.jit(create_train_state, static_argnums=1)  # else each operation is compiled
    state = create(jax.random.key(0), config, np.full(3, 0.5, np.float32))
    state = jax.device_put(state, devices.replicated(mesh))
    _, terms = step(state, devices.put_batch(mesh, np.zeros(8, np.int32)))
    print(repr(float(terms.losses["reconstruction"])))
"""


def test_two_devices_train_on_the_same_crops(run_python):
    """The loss of one step over the batch tells the crops apart."""
    done = run_python("-c", TWO_DEVICES, devices=2)
    assert done.returncode == 0, done.stderr
    one, two = map(float, done.stdout.split())
    assert one > 0
    assert one == pytest.approx(two, rel=1e-5)
