"""Batch normalisation is Flax's, in every result and in its gradients."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from glcic_jax.networks.layers import EPSILON, BatchNorm

MOMENTUM = 0.9


def _variables(rng, features):
    draw = lambda: jnp.asarray(rng.uniform(0.5, 2.0, features), jnp.float32)  # noqa: E731
    return {
        "params": {"scale": draw(), "bias": draw()},
        "batch_stats": {"mean": draw(), "var": draw()},
    }


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize(
    ("shape", "dtype", "tolerance"),
    [((4, 5, 6, 7), jnp.float32, 3e-6), ((9, 7), jnp.float32, 3e-6), ((4, 5, 6, 7), "bfloat16", 0)],
)
def test_batch_normalisation_is_flax_s(train, shape, dtype, tolerance):
    rng = np.random.default_rng(0)
    variables = _variables(rng, shape[-1])
    x = jnp.asarray(3 + rng.normal(size=shape), jnp.float32)
    flax = nn.BatchNorm(
        use_running_average=not train, momentum=MOMENTUM, epsilon=EPSILON, dtype=dtype
    )
    ours = BatchNorm(MOMENTUM, jnp.dtype(dtype))

    def results(apply):
        def loss(params, x):
            known = variables | {"params": params}
            y, changed = apply(known, x)
            return (jnp.sin(y.astype(jnp.float32)) * jnp.arange(shape[-1])).sum(), (y, changed)

        (_, kept), gradients = jax.value_and_grad(loss, (0, 1), has_aux=True)(
            variables["params"], x
        )
        return kept, gradients

    got = results(lambda known, x: ours.apply(known, x, train=train, mutable=["batch_stats"]))
    wanted = results(lambda known, x: flax.apply(known, x, mutable=["batch_stats"]))
    assert jax.tree.structure(got) == jax.tree.structure(wanted)
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(wanted), strict=True):
        assert a.dtype == b.dtype
        scale = np.abs(np.asarray(b, np.float32)).max()
        # bfloat16 keeps 8 bits, and its gradients are sums of such values.
        np.testing.assert_allclose(
            np.asarray(a, np.float32),
            np.asarray(b, np.float32),
            rtol=0,
            atol=(tolerance or 0.02) * max(scale, 1),
        )


def test_variables_are_flax_s():
    x = jnp.ones((2, 3, 3, 5))
    ours = BatchNorm(MOMENTUM).init(jax.random.key(0), x, train=True)
    flax = nn.BatchNorm(use_running_average=False).init(jax.random.key(0), x)
    for a, b in zip(jax.tree.leaves_with_path(ours), jax.tree.leaves_with_path(flax), strict=True):
        assert a[0] == b[0]
        np.testing.assert_array_equal(a[1], b[1])
