"""Mirrored views: each a mirror image, the mean that of all, in a network and by hand."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import skimage.data
from support import initialise

from glcic_jax.networks.completion import SkipNetwork
from glcic_jax.networks.views import corners_of_views, mean_of_views, stack_views

BY_HAND = (
    lambda x: x,
    lambda x: x[:, ::-1, ::-1],
    lambda x: x[:, ::-1],
    lambda x: x[:, :, ::-1],
)


@pytest.mark.parametrize("views", [1, 2, 4])
def test_the_mean_of_views_of_an_image_is_the_image(views):
    x = jnp.arange(2.0 * 3 * 5 * 2).reshape(2, 3, 5, 2)
    stacked = stack_views(x, views)
    for number in range(views):
        np.testing.assert_array_equal(stacked[2 * number : 2 * number + 2], BY_HAND[number](x))
    np.testing.assert_allclose(mean_of_views(stacked, views), x, rtol=1e-6)


@pytest.mark.parametrize("views", [2, 4])
def test_a_network_answers_with_the_mean_of_its_answers_to_mirror_images(views):
    generator = SkipNetwork(width=4, dilations=(2,), fill="harmonic", contrast="local")
    photo = jnp.asarray(skimage.data.chelsea()[None, 100:132, 200:248], jnp.float32) / 255
    mask = jnp.zeros((1, 32, 48, 1)).at[:, 4:16, 10:30].set(1)
    variables = initialise(generator, jax.random.key(0), photo, mask)
    kernel = variables["params"]["output"]["kernel"]
    variables["params"]["output"]["kernel"] = 0.05 * jax.random.normal(
        jax.random.key(1), kernel.shape
    )

    def answer(generator, flip):
        output = generator.apply(variables, flip(photo), flip(mask), train=False)
        return np.asarray(flip(output))

    alone = [answer(generator, flip) for flip in BY_HAND[:views]]
    assert np.abs(alone[0] - alone[1]).max() > 1e-3, "these weights answer all views alike"
    together = answer(generator.clone(views=views), BY_HAND[0])
    is_unclipped = np.all([(one > 0) & (one < 1) for one in alone], axis=0)
    assert is_unclipped.mean() > 0.5
    wanted = np.mean(alone, axis=0)
    np.testing.assert_allclose(together[is_unclipped], wanted[is_unclipped], atol=2e-5)
    trained = generator.clone(views=views).apply(
        variables, photo, mask, train=True, mutable=["batch_stats"]
    )[0]
    wanted = generator.apply(variables, photo, mask, train=True, mutable=["batch_stats"])[0]
    np.testing.assert_array_equal(trained, wanted)


def test_a_window_of_a_view_is_the_view_of_the_window():
    image = np.arange(7 * 9).reshape(7, 9)
    corner, side = (1, 2), (3, 4)
    window = image[1:4, 2:6]
    corners = corners_of_views(jnp.array([corner]), jnp.array([image.shape]), side, 4)
    for flip, (top, left) in zip(BY_HAND, np.asarray(corners), strict=True):
        turned = flip(image[None])[0]
        np.testing.assert_array_equal(turned[top : top + 3, left : left + 4], flip(window[None])[0])
