"""Calls of one shape, whatever the number of examples."""

import numpy as np

from glcic_jax.imaging.batches import in_fixed_batches


def test_fixed_batches_cover_every_example_once():
    sizes = []

    def double(values):
        sizes.append(len(values))
        return {"twice": 2 * values}

    for count in (1, 4, 9):
        result = in_fixed_batches(double, 4, np.arange(count))
        np.testing.assert_array_equal(result["twice"], 2 * np.arange(count))
    assert set(sizes) == {4}
