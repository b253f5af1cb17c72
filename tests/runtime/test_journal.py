"""What is read out of metrics.jsonl."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest

from glcic_jax.errors import UserError
from glcic_jax.evaluation.curves import discriminator_losses, read_curves
from glcic_jax.runtime.journal import (
    HISTORY,
    Journal,
    curve,
    health,
    is_saturated,
    read_history,
    training_time,
)


def joint(step, real, completed, ratio=0.5):
    return {
        "step": step,
        "phase": "joint",
        "images_per_second": 100.0,
        "global_accuracy_real": real,
        "local_accuracy_real": real,
        "global_accuracy_completed": completed,
        "local_accuracy_completed": completed,
        "adversarial_gradient_ratio": ratio,
    }


def test_half_lines_and_foreign_ones_are_left_out(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text(
        json.dumps(joint(1, 0.5, 0.5)) + "\n[1]\n{}\n" + '{"step": 7}\n' + '{"step": 2, "pha'
    )
    assert [record["step"] for record in read_history(path)] == [1]
    assert read_history(tmp_path / "none") == []


def test_time_is_that_of_the_steps():
    history = [
        {"step": 10, "phase": "completion", "images_per_second": 50.0},
        {"step": 10, "phase": "validation", "hole_psnr": 20.0},
        {"step": 15, "phase": "joint", "images_per_second": 20.0},
    ]
    found = training_time(history, batch_size=10)
    assert found["images"] == 150
    np.testing.assert_allclose(found["seconds"], 100 / 50 + 50 / 20)
    assert found["joint_images_per_second"] == 20
    assert curve(history, "hole_psnr") == [(10, 20.0)]


def test_health_is_that_of_the_last_third():
    history = [joint(step, 0.6, 0.7) for step in range(6)]
    history += [joint(step, 0.97, 0.99, ratio=2.0) for step in range(6, 9)]
    found = health(history)
    np.testing.assert_allclose(found["accuracy_real"], 0.97)
    np.testing.assert_allclose(found["accuracy_completed"], 0.99)
    np.testing.assert_allclose(found["gradient_ratio"], 2.0)
    assert found["saturated"] == 1.0
    assert health([{"step": 1, "phase": "completion"}]) is None


def test_a_ratio_that_was_never_finite_is_not_told():
    assert (
        health([joint(step, 0.6, 0.7, ratio=None) for step in range(3)])["gradient_ratio"] is None
    )


def test_both_sides_must_be_right_to_saturate():
    assert is_saturated(joint(1, 0.96, 0.96))
    assert not is_saturated(joint(1, 1.0, 0.9))
    assert not is_saturated({"step": 1})


def test_values_that_are_no_numbers_are_left_out(tmp_path):
    """Text, lists, numbers that no float holds: what a foreign or edited file may have."""
    path = tmp_path / HISTORY
    wrong = ['"x"', "[1]", "{}", "true", "NaN", "1e999", "9" * 400]
    lines = [json.dumps(joint(1, 0.5, 0.5))]
    lines += [lines[0].replace(": 0.5", f": {value}").replace("100.0", value) for value in wrong]
    lines += [lines[0].replace('"step": 1', f'"step": {value}') for value in wrong]
    lines += ["[" * 100_000, '{"step": 1, "phase": ["joint"]}', lines[0]]
    path.write_text("\n".join(lines))
    history = read_history(path)
    assert len(history) == 2 + len(wrong)
    assert read_curves(history).reconstruction == ()
    assert len(read_curves(history).accuracy) == 2
    assert discriminator_losses(history) == {}
    assert health(history)["accuracy_real"] == 0.5
    assert training_time(history, 8)["joint_images_per_second"] == 100.0


def test_a_full_disk_is_told_and_leaves_whole_lines(tmp_path):
    journal = Journal(tmp_path, 0)
    with open("/dev/full", "wb", buffering=0) as full:
        os.dup2(full.fileno(), journal._file.fileno())
    with pytest.raises(UserError, match="No space left on device"):
        journal.append(1, "joint", {"a": 1.0})
    journal.close()
