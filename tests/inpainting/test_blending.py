"""Blending: the membrane against a sparse linear solve, and what it does to a seam."""

from __future__ import annotations

import jax
import numpy as np
import pytest
import scipy.sparse
import scipy.sparse.linalg
import skimage.data
from support import initialise

from glcic_jax import UserError, complete, inpaint_fn
from glcic_jax.config.settings import Config, ModelConfig
from glcic_jax.inpainting.blending import add_membrane, rim_of
from glcic_jax.networks.registry import build_generator


def exact_membrane(hole, rim, difference):
    """Laplace's equation in the hole with the rim as boundary; the image's border reflects."""
    count = int(hole.sum())
    number = np.full(hole.shape, -1)
    number[hole] = np.arange(count)
    known = np.zeros((*hole.shape, 3))
    known[rim] = difference
    matrix = scipy.sparse.lil_matrix((count, count))
    right = np.zeros((count, 3))
    for row, column in np.argwhere(hole):
        here = number[row, column]
        for step in ((0, 1), (1, 0), (0, -1), (-1, 0)):
            at = (row + step[0], column + step[1])
            if not all(0 <= place < length for place, length in zip(at, hole.shape, strict=True)):
                continue  # the reflected pixel is the pixel itself
            matrix[here, here] += 1
            if hole[at]:
                matrix[here, number[at]] -= 1
            else:
                right[here] += known[at]
    return scipy.sparse.linalg.spsolve(matrix.tocsr(), right)


def holes():
    mask = np.zeros((90, 140), bool)
    wide = mask.copy()
    wide[20:60, 30:100] = True
    corner = mask.copy()
    corner[60:, 100:] = True
    ring = wide.copy()
    ring[35:45, 50:80] = False
    specks = np.random.default_rng(0).random(mask.shape) < 0.1
    return {"wide": wide, "at the border": corner, "ring": ring, "specks": specks}


@pytest.mark.parametrize("name", holes())
def test_the_membrane_is_the_solution_of_laplaces_equation(name):
    hole = holes()[name]
    rim = rim_of(hole, hole)
    y, x = np.argwhere(rim).T / 40
    waves = np.stack([np.sin(3 * x), np.cos(2 * y + x), 0.5 * x - y], -1)
    difference = (0.2 * waves).astype(np.float32)
    image = np.full((*hole.shape, 3), 0.5, np.float32)
    before = image.copy()
    add_membrane(image, hole, rim, difference)
    wanted = np.clip(0.5 + exact_membrane(hole, rim, difference), 0, 1)
    assert np.ptp(wanted) > 0.1
    np.testing.assert_allclose(image[hole], wanted, atol=0.004)
    np.testing.assert_array_equal(image[~hole], before[~hole])


@pytest.fixture(scope="module")
def model():
    """A generator that starts from the mean pixel, with an output that is not zero."""
    config = Config(model=ModelConfig(width=4, dilations=(2, 4), fill="mean"))
    generator = build_generator(config)
    image, mask = np.zeros((1, 32, 32, 3), np.float32), np.zeros((1, 32, 32, 1), np.float32)
    variables = initialise(generator, jax.random.key(0), image, mask)
    kernel = variables["params"]["output"]["kernel"]
    variables["params"]["output"]["kernel"] = 0.1 * jax.random.normal(
        jax.random.key(1), kernel.shape
    )
    return generator, variables


@pytest.mark.parametrize("size", [(50, 61), (150, 200)])
def test_a_photograph_is_blended_as_the_whole_images_output_says(model, size):
    photo = skimage.data.chelsea()[: size[0], : size[1]].astype(np.float32) / 255
    hole = np.zeros(size, bool)
    hole[10:26, 15:40] = True
    output, _ = complete(*model, photo[None], hole[None, ..., None].astype(np.float32))
    output = np.asarray(output[0])
    rim = rim_of(hole, hole)
    wanted = output[hole] + exact_membrane(hole, rim, photo[rim] - output[rim])
    blended = inpaint_fn(*model, photo, hole, blend=True)
    np.testing.assert_allclose(blended[hole], np.clip(wanted, 0, 1), atol=0.004)
    np.testing.assert_array_equal(blended[~hole], photo[~hole])
    plain = inpaint_fn(*model, photo, hole)
    assert np.abs(plain[hole] - blended[hole]).max() > 0.1
    assert seam(blended, hole) < seam(plain, hole) / 2


def seam(image, hole):
    """Mean step from the rim into the hole, above and to the left of it."""
    down = np.abs(np.diff(image, axis=0))[~hole[:-1] & hole[1:]]
    return float(down.mean())


def test_a_fill_that_is_too_bright_by_a_constant_loses_that():
    photo = skimage.data.coffee()[:120, :160].astype(np.float32) / 255 * 0.7
    hole = np.zeros(photo.shape[:2], bool)
    hole[30:90, 40:120] = True
    rim = rim_of(hole, hole)
    image = photo.copy()
    image[hole] += 0.2
    add_membrane(image, hole, rim, np.full((int(rim.sum()), 3), -0.2, np.float32))
    np.testing.assert_allclose(image, photo, atol=1e-5)


def test_what_can_not_be_blended_is_told(model):
    photo = skimage.data.coffee()[:32, :32]
    hole = np.zeros((32, 32), bool)
    hole[4:9, 4:9] = True
    with pytest.raises(UserError, match="leave blend out"):
        jax.jit(lambda image: inpaint_fn(*model, image, hole, blend=True))(photo)
    config = Config(model=ModelConfig(generator="context_encoder", width=4, bottleneck=8))
    generator = build_generator(config)
    with pytest.raises(UserError, match="leave blend out"):
        inpaint_fn(generator, {}, photo, hole, blend=True)
