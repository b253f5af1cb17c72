"""Holes and windows: shapes, ranges, placement, and that each image draws for itself."""

from __future__ import annotations

import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage
from support import QUICK_COMPILES

from glcic_jax.config.settings import MaskConfig
from glcic_jax.imaging import masks
from glcic_jax.imaging.training_masks import drawn_kinds, training_masks

KINDS = ("rectangle", "rectangles", "freeform", "pixels", "blobs", "specks", "text")


def keys(count: int, seed: int = 0) -> jax.Array:
    return jax.random.split(jax.random.key(seed), count)


def bounding_box(mask_SxSx1: np.ndarray) -> tuple[int, int, int, int]:
    rows, columns = np.nonzero(mask_SxSx1[..., 0])
    return rows.min(), rows.max() + 1, columns.min(), columns.max() + 1


@pytest.mark.parametrize("kind", [*KINDS, "mixed"])
@pytest.mark.parametrize("size", [32, 45])
def test_every_kind_is_zero_one_and_fits_its_window(kind, size):
    config = MaskConfig(kind=kind)
    mask = np.asarray(training_masks(keys(200), size, config))
    assert mask.shape == (200, size, size, 1)
    assert mask.dtype == np.float32
    assert set(np.unique(mask)) == {0.0, 1.0}
    window = round(config.local_window * size)
    for one in mask:
        top, bottom, left, right = bounding_box(one)
        assert bottom - top <= window
        assert right - left <= window


def test_rectangles_have_all_sides_and_places():
    mask = np.asarray(masks.rectangle_masks(keys(4000), 32, (8, 16)))
    boxes = np.array([bounding_box(one) for one in mask])
    heights, widths = boxes[:, 1] - boxes[:, 0], boxes[:, 3] - boxes[:, 2]
    assert set(heights) == set(range(8, 17))
    assert set(widths) == set(range(8, 17))
    np.testing.assert_array_equal(mask.sum((1, 2, 3)), heights * widths)
    assert boxes[:, 0].min() == 0
    assert boxes[:, 1].max() == 32
    # Sides are uniform: each of the nine takes a ninth, within five standard deviations.
    share = np.bincount(heights, minlength=17)[8:] / len(heights)
    np.testing.assert_allclose(share, 1 / 9, atol=5 * np.sqrt(1 / 9 * 8 / 9 / 4000))
    assert abs(np.corrcoef(heights, widths)[0, 1]) < 0.1


def test_each_image_has_a_hole_of_its_own():
    for kind in KINDS:
        mask = np.asarray(training_masks(keys(16), 64, MaskConfig(kind=kind)))
        assert len({one.tobytes() for one in mask}) == 16, kind


@pytest.mark.parametrize("kind", [*KINDS, "mixed"])
def test_a_hole_depends_on_its_own_key_alone(kind):
    draw = lambda keys_B: np.asarray(training_masks(keys_B, 32, MaskConfig(kind=kind)))  # noqa: E731
    whole = draw(keys(6))
    np.testing.assert_array_equal(whole[4:], draw(keys(6)[4:]))


def test_counts_are_respected():
    config = MaskConfig(kind="rectangles", min_count=3, max_count=3, min_side=0.1, max_side=0.12)
    mask = np.asarray(training_masks(keys(200), 128, config))
    pieces = [ndimage.label(one[..., 0])[1] for one in mask]
    assert max(pieces) == 3
    assert np.mean(pieces) > 2.5


def test_strokes_are_as_thick_as_the_brush():
    config = MaskConfig(kind="freeform", min_brush=0.06, max_brush=0.06, local_window=1.0)
    mask = np.asarray(training_masks(keys(20), 128, config))
    for one in mask[..., 0]:
        # The radius of the largest disc that fits is half the brush where strokes don't cross.
        depth = ndimage.distance_transform_edt(np.pad(one, 1))
        ridge = np.median(depth[(depth == ndimage.maximum_filter(depth, 5)) & (depth > 0)])
        assert 2.5 <= ridge <= 6.5


def test_pixel_masks_miss_the_configured_share():
    config = MaskConfig(kind="pixels", min_missing=0.3, max_missing=0.3, local_window=1.0)
    share = np.asarray(training_masks(keys(50), 64, config)).mean()
    assert abs(share - 0.3) < 0.01


def test_mixed_masks_are_of_each_kind_as_often_as_its_share():
    shares = (3.0, 1.0, 0.0, 2.0, 1.0, 2.0, 1.0)
    mixed = MaskConfig(kind="mixed", shares=shares)
    drawn = np.asarray(training_masks(keys(3000), 32, mixed))
    mask_keys = jax.vmap(jax.random.split)(keys(3000))[:, 1]
    found = np.zeros((7, 3000), bool)
    for number, kind in enumerate(KINDS):
        alone = np.asarray(training_masks(mask_keys, 32, MaskConfig(kind=kind)))
        found[number] = (alone == drawn).all((1, 2, 3))
    assert found.any(0).all()
    np.testing.assert_allclose(found.mean(1), np.array(shares) / 10, atol=0.03)
    assert drawn_kinds(mixed) == tuple(kind for kind in KINDS if kind != "freeform")
    assert drawn_kinds(MaskConfig(kind="mixed")) == KINDS[:4]


def test_sides_on_a_logarithmic_scale():
    mask = masks.rectangle_masks(keys(2000), 64, (1, 32), "logarithmic")
    boxes = np.array([bounding_box(one) for one in np.asarray(mask)])
    height, width = boxes[:, 1] - boxes[:, 0], boxes[:, 3] - boxes[:, 2]
    assert height.min() == width.min() == 1
    assert height.max() == width.max() == 32
    wide = np.maximum(height, width)
    assert (wide <= 2.01 * np.minimum(height, width) + 2).all()
    # Between 2 and 5, 5 and 12: about as often, over two octaves and a bit each.
    counts = [((height >= low) & (height < high)).mean() for low, high in ((2, 5), (5, 12.5))]
    np.testing.assert_allclose(counts, np.log(2.5) / np.log(33), atol=0.05)


def test_windows_contain_the_holes_and_reach_every_place():
    mask = masks.rectangle_masks(keys(1000), 32, (8, 16))
    corner = np.asarray(masks.local_windows(keys(1000, 1), mask, 16))
    boxes = np.array([bounding_box(one) for one in np.asarray(mask)])
    for axis in (0, 1):
        low, high = boxes[:, 2 * axis], boxes[:, 2 * axis + 1]
        assert (corner[:, axis] <= low).all()
        assert (corner[:, axis] + 16 >= high).all()
    assert corner.min() == 0
    assert corner.max() == 16
    one = jnp.repeat(masks.rectangle_masks(keys(1), 32, (8, 8)), 500, 0)
    top, bottom, _, _ = bounding_box(np.asarray(one[0]))
    tops = set(np.asarray(masks.local_windows(keys(500), one, 16))[:, 0])
    assert tops == set(range(max(0, bottom - 16), min(16, top) + 1))


def test_windows_of_empty_and_too_large_holes_stay_inside():
    for mask in (jnp.zeros((300, 32, 32, 1)), jnp.ones((300, 32, 32, 1))):
        corner = np.asarray(masks.local_windows(keys(300), mask, 16))
        assert corner.min() == 0
        assert corner.max() == 16


def test_crop_cuts_where_it_is_told(photo_crops):
    corner = jnp.array([[0, 0], [16, 16], [3, 9]])
    window = np.asarray(masks.crop(jnp.asarray(photo_crops[:3]), corner, 16))
    for number, (top, left) in enumerate(np.asarray(corner)):
        want = photo_crops[number, top : top + 16, left : left + 16]
        np.testing.assert_array_equal(window[number], want)


def test_rectangles_are_cheap():
    """A generous bound against an accidental loop: the quiet figure is in the documentation."""
    as_users_compile: dict[str, int | bool] = {"xla_backend_optimization_level": 3}
    if "fusion_emitters" in QUICK_COMPILES:
        as_users_compile["xla_cpu_use_fusion_emitters"] = True
    draw = jax.jit(
        lambda keys_B: masks.rectangle_masks(keys_B, 32, (8, 16)), compiler_options=as_users_compile
    )
    batch = keys(1024)
    jax.block_until_ready(draw(batch))
    started = time.perf_counter()
    for _ in range(10):
        jax.block_until_ready(draw(batch))
    assert 10 * 1024 / (time.perf_counter() - started) > 50_000
