"""The holes of an evaluation: functions of protocol, seed and index."""

import jax.numpy as jnp
import numpy as np
import pytest

from glcic_jax.config.rules import PROTOCOLS
from glcic_jax.evaluation.protocols import protocol_masks


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_protocol_masks_are_functions_of_seed_and_index(protocol):
    whole = np.asarray(protocol_masks(protocol, 3, jnp.arange(12), 32))
    part = np.asarray(protocol_masks(protocol, 3, jnp.array([7, 2]), 32))
    np.testing.assert_array_equal(part, whole[[7, 2]])
    assert whole.sum((1, 2, 3)).min() > 0
    other = np.asarray(protocol_masks(protocol, 4, jnp.arange(12), 32))
    assert np.array_equal(other, whole) == (protocol == "center")


def test_center_is_the_middle_quarter():
    mask = np.asarray(protocol_masks("center", 0, jnp.arange(1), 32))[0, ..., 0]
    want = np.zeros((32, 32))
    want[8:24, 8:24] = 1
    np.testing.assert_array_equal(mask, want)


def test_unknown_protocol_is_named():
    with pytest.raises(ValueError, match="square"):
        protocol_masks("square", 0, jnp.arange(1), 32)


@pytest.mark.parametrize(
    ("protocol", "areas"),
    [
        ("rectangle", [135, 117, 117, 130]),
        ("center", [256] * 4),
        ("pixels", [293, 739, 729, 532]),
    ],
)
def test_the_holes_of_published_tables_stay_what_they_were(protocol, areas):
    """Pixels of the first four holes of seed 3, as they were drawn for the tables in docs/."""
    mask = np.asarray(protocol_masks(protocol, 3, jnp.arange(4), 32))
    assert mask.sum((1, 2, 3)).tolist() == areas
