"""Users' own masks as holes: moved as told, each by its image's own key, never lost."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from glcic_jax.config.settings import MaskConfig
from glcic_jax.imaging.folder_masks import moved_masks, unmoved_masks
from glcic_jax.imaging.training_masks import drawn_kinds, training_masks

SIZE = 24


@pytest.fixture(scope="module")
def bank() -> np.ndarray:
    """An L, which no mirroring or turn leaves as it is; a bar; a single pixel in a corner."""
    cover = np.zeros((3, SIZE, SIZE), np.uint8)
    cover[0, 4:20, 6:9] = cover[0, 17:20, 6:16] = 255
    cover[1, 10:14, 2:22] = 255
    cover[2, 0, SIZE - 1] = 255
    return cover


@functools.partial(jax.jit, static_argnums=(2, 3))
def moved(keys_B, bank, scales, max_turn):
    return moved_masks(keys_B, bank, scales, max_turn)


def keys(count: int, seed: int = 0) -> jax.Array:
    return jax.random.split(jax.random.key(seed), count)


def test_neither_scaled_nor_turned_a_mask_is_itself_or_its_mirror_image(bank):
    mask = np.asarray(moved(keys(64), bank[:1], (1.0, 1.0), 0.0))[..., 0]
    itself = bank[0] > 0
    kinds = [[np.array_equal(one, shape) for shape in (itself, itself[:, ::-1])] for one in mask]
    assert all(any(kind) for kind in kinds)
    assert 16 < sum(kind[1] for kind in kinds) < 48


def test_scale_decides_the_size_and_the_place_is_anywhere_inside(bank):
    mask = np.asarray(moved(keys(400), bank[1:2], (0.5, 0.5), 0.0))[..., 0]
    for one in mask:
        rows, columns = np.nonzero(one)
        assert rows.max() - rows.min() + 1 in (2, 3)
        assert columns.max() - columns.min() + 1 in (10, 11)
    first = np.array([np.nonzero(one.any(0))[0][0] for one in mask])
    assert first.min() <= 2
    assert first.max() >= SIZE // 2


def test_turns_go_to_both_sides_up_to_the_limit(bank):
    mask = np.asarray(moved(keys(300), bank[1:2], (0.7, 0.7), 30.0))[..., 0]
    angles = []
    for one in mask:
        y, x = np.nonzero(one)
        (a, b), (_, c) = np.cov(np.stack([x, y]))
        angles.append(np.rad2deg(0.5 * np.arctan2(2 * b, a - c)))
    assert np.max(np.abs(angles)) < 33
    assert np.min(angles) < -22
    assert np.max(angles) > 22


def test_every_image_has_a_hole_of_its_own_key_and_none_is_lost(bank):
    whole = np.asarray(moved(keys(200), bank, (0.3, 1.0), 180.0))
    assert whole.dtype == np.float32
    assert set(np.unique(whole)) == {0.0, 1.0}
    assert whole.any((1, 2, 3)).all()
    assert not whole.all((1, 2, 3)).any()
    assert len({one.tobytes() for one in whole}) > 120
    np.testing.assert_array_equal(whole[150:], moved(keys(200)[150:], bank, (0.3, 1.0), 180.0))


def test_unmoved_masks_are_those_of_the_bank(bank):
    mask = np.asarray(unmoved_masks(keys(60), jnp.asarray(bank)))[..., 0]
    which = [[np.array_equal(one, cover > 0) for cover in bank] for one in mask]
    assert np.sum(which, axis=1).tolist() == [1] * 60
    assert (np.sum(which, axis=0) > 8).all()


def test_a_folder_is_one_more_kind_of_a_mixture(bank):
    config = MaskConfig(kind="mixed+folder:x", shares=(1.0, 0.0, 0.0, 0.0, 3.0), max_turn=0.0)
    assert drawn_kinds(config) == ("rectangle", "folder")
    assert drawn_kinds(MaskConfig(kind="mixed+folder:x"))[-1] == "folder"
    drawn = np.asarray(training_masks(keys(400), SIZE, config, jnp.asarray(bank)))
    mask_keys = jax.vmap(jax.random.split)(keys(400))[:, 1]
    folder = np.asarray(moved(mask_keys, bank, (0.5, 1.0), 0.0))
    share = (drawn == folder).all((1, 2, 3)).mean()
    assert 0.67 < share < 0.83
