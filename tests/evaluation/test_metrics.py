"""Metrics against scikit-image, NumPy loops and a case worked out by hand."""

import math

import jax
import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from glcic_jax.evaluation import metrics

SIDE = 24

per_image = jax.jit(metrics.per_image)


@pytest.fixture
def example():
    """Truth, completed image (known pixels kept) and mask of four images with rectangular holes."""
    rng = np.random.default_rng(0)
    truth = rng.random((4, SIDE, SIDE, 3), dtype=np.float32)
    truth[1:] = np.round(truth[1:], 1)  # among them exact zeros and ones
    mask = np.zeros((4, SIDE, SIDE, 1), np.float32)
    for index, (top, left) in enumerate([(0, 0), (5, 7), (14, 14), (9, 0)]):
        mask[index, top : top + 9 + index, left : left + 8] = 1
    noise = rng.normal(0, 0.2, truth.shape).astype(np.float32)
    return truth, np.where(mask > 0, np.clip(truth + noise, 0, 1), truth), mask


def _oracle(x, y):
    """Every metric but SSIM of two lists of numbers, in Python's floats."""
    count, sxy, sxx, syy, absolute, squared, entropy, floor = 0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for a, b in zip(x.ravel().astype(float), y.ravel().astype(float), strict=True):
        count += 1
        sxy, sxx, syy = sxy + a * b, sxx + a * a, syy + b * b
        absolute, squared = absolute + abs(a - b), squared + (a - b) ** 2
        entropy -= a * math.log(max(b, 1e-7)) + (1 - a) * math.log(max(1 - b, 1e-7))
        floor -= a * math.log(max(a, 1e-7)) + (1 - a) * math.log(max(1 - a, 1e-7))
    return {
        "l1": absolute / count,
        "mse": squared / count,
        "l2_millions": squared * 65025 / 1e6,
        "dice": 2 * sxy / (sxx + syy),
        "keras_dice": 2 * sxy / (float(x.sum(dtype=float)) + float(y.sum(dtype=float))),
        "keras_dice_ceiling": sxx / float(x.sum(dtype=float)),
        "iou": sxy / (sxx + syy - sxy),
        "cross_entropy": entropy / count,
        "cross_entropy_floor": floor / count,
    }


def test_agree_with_loops(example):
    truth, completed, mask = example
    scores = per_image(truth, completed, mask)
    for index in range(len(truth)):
        hole = np.broadcast_to(mask[index] > 0, truth[index].shape)
        for region, chosen in (("hole", hole), ("whole", np.ones_like(hole))):
            expected = _oracle(truth[index][chosen], completed[index][chosen])
            for name, value in expected.items():
                got = float(scores[region][name][index])
                assert got == pytest.approx(value, rel=2e-5), (region, name)


def test_psnr_agrees_with_skimage(example):
    truth, completed, mask = example
    scores = per_image(truth, completed, mask)
    for index in range(len(truth)):
        hole = np.broadcast_to(mask[index] > 0, truth[index].shape)
        whole = peak_signal_noise_ratio(truth[index], completed[index], data_range=1)
        inside = peak_signal_noise_ratio(truth[index][hole], completed[index][hole], data_range=1)
        assert float(scores["whole"]["psnr"][index]) == pytest.approx(whole, abs=1e-4)
        assert float(scores["hole"]["psnr"][index]) == pytest.approx(inside, abs=1e-4)


def test_ssim_agrees_with_skimage(example):
    truth, completed, mask = example
    scores = per_image(truth, completed, mask)
    for index in range(len(truth)):
        whole, similarity = structural_similarity(
            truth[index].astype(np.float64),
            completed[index].astype(np.float64),
            channel_axis=-1,
            data_range=1,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            full=True,
        )
        hole = np.broadcast_to(mask[index] > 0, similarity.shape)
        assert float(scores["whole"]["ssim"][index]) == pytest.approx(whole, abs=2e-5)
        inside = similarity[hole].mean()
        assert float(scores["hole"]["ssim"][index]) == pytest.approx(inside, abs=2e-5)


def test_two_by_two_by_hand():
    """Grey 1, 1/2, 1/4, 0; the hole is the first two, completed as 1/2, 1/2."""
    truth = np.repeat(np.array([1, 0.5, 0.25, 0], np.float32).reshape(1, 2, 2, 1), 3, -1)
    completed = np.repeat(np.array([0.5, 0.5, 0.25, 0], np.float32).reshape(1, 2, 2, 1), 3, -1)
    mask = np.array([1, 1, 0, 0], np.float32).reshape(1, 2, 2, 1)
    scores = per_image(truth, completed, mask)
    hole = {name: float(value[0]) for name, value in scores["hole"].items()}
    whole = {name: float(value[0]) for name, value in scores["whole"].items()}
    assert hole["l1"] == pytest.approx(1 / 4)
    assert whole["l1"] == pytest.approx(1 / 8)
    assert hole["mse"] == pytest.approx(1 / 8)
    assert whole["mse"] == pytest.approx(1 / 16)
    assert hole["psnr"] == pytest.approx(10 * math.log10(8))
    assert hole["l2_millions"] == pytest.approx(3 * 127.5**2 / 1e6)
    assert whole["l2_millions"] == pytest.approx(3 * 127.5**2 / 1e6)
    assert hole["dice"] == pytest.approx(2 * 0.75 / (1.25 + 0.5))
    assert hole["keras_dice"] == pytest.approx(2 * 0.75 / 2.5)
    assert hole["keras_dice_ceiling"] == pytest.approx(1.25 / 1.5)
    assert hole["iou"] == pytest.approx(0.75 / (1.25 + 0.5 - 0.75))
    assert hole["cross_entropy"] == pytest.approx(math.log(2))
    assert hole["cross_entropy_floor"] == pytest.approx(math.log(2) / 2, abs=1e-5)


def test_perfect_copy_scores_the_ideal(example):
    truth, _, mask = example
    for scores in per_image(truth, truth, mask).values():
        for name in ("l1", "mse", "l2_millions"):
            np.testing.assert_array_equal(scores[name], 0)
        for name in ("ssim", "dice", "iou"):
            np.testing.assert_allclose(scores[name], 1, rtol=1e-6)
        np.testing.assert_allclose(scores["psnr"], metrics.PSNR_CAP, rtol=1e-6)
        np.testing.assert_array_equal(scores["keras_dice"], scores["keras_dice_ceiling"])
        np.testing.assert_array_equal(scores["cross_entropy"], scores["cross_entropy_floor"])


@pytest.mark.parametrize("level", [0.0, 1.0])
def test_no_hole_scores_as_a_perfect_copy(level):
    image = np.full((1, 12, 12, 3), level, np.float32)
    mask = np.zeros((1, 12, 12, 1), np.float32)
    for scores in per_image(image, image, mask).values():
        assert all(np.isfinite(value).all() for value in scores.values())
        assert float(scores["ssim"][0]) == pytest.approx(1)
        assert float(scores["dice"][0]) == pytest.approx(1)
        assert float(scores["psnr"][0]) == pytest.approx(metrics.PSNR_CAP)


def test_opposite_images_score_the_worst():
    black, white = np.zeros((1, 12, 12, 3), np.float32), np.ones((1, 12, 12, 3), np.float32)
    mask = np.ones((1, 12, 12, 1), np.float32)
    for scores in per_image(white, black, mask).values():
        assert float(scores["psnr"][0]) == pytest.approx(0)
        assert float(scores["dice"][0]) == 0
        assert float(scores["iou"][0]) == 0
        assert float(scores["cross_entropy"][0]) == pytest.approx(
            -math.log(metrics.LOG_FLOOR), rel=1e-5
        )


def test_images_smaller_than_the_window_have_a_similarity():
    rng = np.random.default_rng(1)
    truth = rng.random((2, 8, 8, 3), dtype=np.float32)
    mask = np.ones((2, 8, 8, 1), np.float32)
    scores = per_image(truth, 1 - truth, mask)
    np.testing.assert_allclose(scores["whole"]["ssim"], scores["hole"]["ssim"], rtol=1e-6)
    assert np.all(np.asarray(scores["whole"]["ssim"]) < 0.5)


def test_shapes_that_differ_are_refused():
    image = np.zeros((1, 12, 12, 3), np.float32)
    with pytest.raises(ValueError, match="mask_BxHxWx1"):
        metrics.per_image(image, image, np.zeros((1, 12, 12), np.float32))


def test_each_metrics_kind_is_what_it_does(photo_crops):
    """A near copy is better than another image on the side that the metric names; a bound tells
    neither from the other."""
    truth = photo_crops / np.float32(255)
    mask = np.ones((*truth.shape[:3], 1), np.float32)
    near, other = (
        per_image(truth, image, mask)["whole"] for image in (0.99 * truth + 0.005, truth[::-1])
    )
    for name, metric in metrics.METRICS.items():
        gain = float(near[name].mean() - other[name].mean())
        if metric.is_bound:
            assert gain == 0, name
        else:
            assert (gain > 0) == metric.higher_is_better, name
