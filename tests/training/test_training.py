"""Whole runs through the command line: finish, resume bit for bit, stop cleanly, bad input."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import chex
import jax
import numpy as np
import pytest
import skimage.data
from PIL import Image

from glcic_jax.config.settings import total_steps
from glcic_jax.runtime.checkpoints import Checkpoints
from glcic_jax.runtime.devices import batch_mesh, replicated
from glcic_jax.runtime.workdir import load_config
from glcic_jax.training.state import abstract_train_state

TINY = (  # as a user would type it
    "--image-size 16 --data.batch-size 8 --data.workers 1 --model.width 4 "
    "--model.dilations 2 --model.discriminator-width 4 --model.discriminator-halvings 1 "
    "--model.dense-features 8 --optimizer.ema-decay 0.9 "
    "--phases.completion-steps 24 --phases.discriminator-steps 24 --phases.joint-steps 24 "
    "--loop.log-every 1 --loop.save-every 5 --loop.validate-every 24 --loop.validation-images 16"
).split()


@pytest.fixture(scope="module")
def photo_folder(tmp_path_factory) -> Path:
    """A small tree of real photographs: tiles of those that scikit-image ships."""
    root = tmp_path_factory.mktemp("photographs")
    for split, photo in (
        ("train", skimage.data.chelsea()),
        ("val", skimage.data.coffee()),
        ("test", skimage.data.astronaut()),
    ):
        (root / split).mkdir()
        for number in range(12):
            y, x = 20 * number, 25 * number
            Image.fromarray(photo[y : y + 60, x : x + 80]).save(root / split / f"{number}.png")
    return root


def command(workdir: Path, *options: str) -> list[str]:
    return ["train.py", "--workdir", str(workdir), *TINY, *options]


def start_until(workdir: Path, start_program, phase: str, *options: str) -> subprocess.Popen:
    """Start the command; return while it trains in `phase`, some steps into it."""
    process = start_program(*command(workdir, *options))
    metrics = workdir / "metrics.jsonl"
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline and process.poll() is None:
        if metrics.exists() and metrics.read_text().count(f'"phase": "{phase}"') > 8:
            return process
        time.sleep(0.002)
    output = process.communicate(timeout=10)
    raise AssertionError(f"never in the {phase} phase: {output}")


def final_state(workdir: Path):
    mesh = batch_mesh(jax.devices()[:1])
    abstract = abstract_train_state(load_config(workdir), replicated(mesh))
    with Checkpoints(workdir, keep=2) as checkpoints:
        restored = checkpoints.restore_latest(abstract)
    assert restored is not None
    return restored


def lines(workdir: Path) -> list[dict]:
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


FREEFORM = ("--masks.kind", "freeform")


@pytest.fixture(scope="module")
def whole(tmp_path_factory, run_python) -> Path:
    """A run that nothing interrupted."""
    workdir = tmp_path_factory.mktemp("whole") / "x"
    done = run_python(*command(workdir, *FREEFORM))
    assert done.returncode == 0, done.stderr[-2000:]
    return workdir


# The loop asks the data for a step, whatever the phase, so one phase of streaming is enough, and
# each that is left out saves three processes a compilation. The other run goes on with the phase
# that both networks and both optimizers are in the middle of. Ctrl-C: see test_distributed.py.
STOPS = {
    "resident": {"joint": signal.SIGKILL},
    "streaming": {"completion": signal.SIGTERM},
}


@pytest.mark.parametrize("source", STOPS)
def test_stopped_and_resumed_is_bit_for_bit_the_same(
    source, whole, tmp_path, start_program, run_python, photo_folder
):
    """Killed, or told to stop, which saves and ends in order."""
    options, parts = FREEFORM, tmp_path / "parts"
    if source == "streaming":
        options = ("--data.sources", f"folder:{photo_folder}", "--data.max-scale", "2")
        options += ("--data.resident-megabytes", "0", "--phases.discriminator-steps", "0")
        options += ("--phases.joint-steps", "0")
        whole = tmp_path / "whole"
        done = run_python(*command(whole, *options))
        assert done.returncode == 0, done.stderr[-2000:]
    for phase, number in STOPS[source].items():
        process = start_until(parts, start_program, phase, *options)
        process.send_signal(number)
        output, errors = process.communicate(timeout=120)
        if number == signal.SIGKILL:
            assert process.returncode == -number
            continue
        assert process.returncode == 0, errors
        assert f"{number.name}: saved step" in output
        assert "Traceback" not in errors
        assert final_state(parts)[0] == lines(parts)[-1]["step"]
    done = run_python(*command(parts, *options))
    assert done.returncode == 0, done.stderr[-2000:]

    (step, want), (other_step, got) = final_state(whole), final_state(parts)
    last = total_steps(load_config(whole))
    assert step == other_step == last
    chex.assert_trees_all_equal(got, want, strict=True)

    steps = [line["step"] for line in lines(parts) if line["phase"] != "validation"]
    assert steps == list(range(1, last + 1))
    losses = [
        [
            line[name]
            for line in lines(workdir)
            for name in line
            if name in ("reconstruction", "joint_real", "adversarial_joint", "hole_psnr")
        ]
        for workdir in (whole, parts)
    ]
    assert losses[0] == losses[1]
    # A reconstruction, a term of the discriminators, or all three of them; a score every 24 steps.
    assert len(losses[0]) == {24: 24 + 1, 72: 24 + 24 + 3 * 24 + 3}[last]


POISON = """
import runpy, sys
import jax.numpy as jnp
from glcic_jax.training import losses
plain = losses.reconstruction_loss
def poisoned(output, truth, mask, config):
    # Sides are 4 to 8 pixels: about every eighth batch starts with so large a hole.
    return plain(output, truth, mask, config) + jnp.where(mask[0].sum() > 55, jnp.nan, 0)
losses.reconstruction_loss = poisoned
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path, run_python):
    """A run in which some batches have a loss that is NaN."""
    workdir = tmp_path / "x"
    options = (
        "--optimizer.learning-rate",
        "0.2",
        "--loop.log-every",
        "3",
        "--loop.save-every",
        "1",
        "--phases.completion-steps",
        "60",
    )
    done = run_python("-c", POISON, *command(workdir, *options))
    assert done.returncode == 1, done.stdout + done.stderr
    message = done.stderr.strip()
    assert re.match(r"error: reconstruction is nan at step \d+ \(completion phase\)", message)
    assert "Traceback" not in message
    bad_step = int(message.split("at step ")[1].split()[0])
    step, state = final_state(workdir)
    assert 0 < step < bad_step
    assert all(np.isfinite(np.asarray(leaf)).all() for leaf in jax.tree.leaves(state))


def test_outputs_of_a_run(whole, tmp_path, run_python, call_program):
    workdir = shutil.copytree(whole, tmp_path / "x")
    trained = [line for line in lines(workdir) if line["phase"] != "validation"]
    assert all(
        {"step", "phase", "images_per_second"} < set(line) and line["images_per_second"] > 0
        for line in trained
    )
    assert {"reconstruction", "adversarial_joint", "joint_real", "joint_completed"} < set(
        trained[-1]
    )
    validations = [line for line in lines(workdir) if line["phase"] == "validation"]
    assert [line["step"] for line in validations] == [24, 48, 72]
    grids = sorted((workdir / "samples").glob("*.png"))
    assert len(grids) == 3
    assert np.asarray(Image.open(grids[0])).std() > 10
    assert list((workdir / "tensorboard").iterdir())
    assert json.loads((workdir / "config.json").read_text())["image_size"] == 16
    again = run_python(*command(workdir, *FREEFORM))
    assert again.returncode == 0
    assert "complete" in again.stdout

    scored = run_python("evaluate.py", "--workdir", str(workdir), "--limit", "20")
    assert scored.returncode == 0, scored.stderr[-2000:]
    assert "telea" in scored.stdout
    results = json.loads((workdir / "results.json").read_text())["rectangle-test"]
    assert results["count"] == 20
    assert set(results["methods"]) == {
        "mean_pixel",
        "telea",
        "navier_stokes",
        "biharmonic",
        "harmonic",
        "model",
    }

    status, errors = call_program("train", *command(workdir, *FREEFORM, "--model.width", "8")[1:])
    assert status == 1
    assert "model.width: 4 -> 8" in errors


def files_below(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()
    }


BAD = [
    (("--preset", "huge"), "huge"),
    (("--model.wdth", "8"), "wdth"),
    (("--model.fill", "median"), "median"),
    (("--model.generator", "glcicc"), "choose one of glcic, residual, skip, context_encoder"),
    (("--image-size", "30"), "30"),
    (("--masks.local-window", "2"), "local-window"),
    (("--masks.max-side", "0.7"), "local-window"),
    (("--data.sources", "folder:EMPTY"), "no images"),
    (("--data.sources", "folder:MISSING"), "MISSING"),
]


@pytest.mark.parametrize(("options", "message"), BAD, ids=lambda value: str(value)[:40])
def test_bad_input_is_explained_and_writes_nothing(options, message, tmp_path, call_program):
    (tmp_path / "EMPTY").mkdir()
    options = [option.replace("folder:", f"folder:{tmp_path}/") for option in options]
    status, errors = call_program("train", *command(tmp_path / "x", *options)[1:])
    assert status == 1
    assert message in errors
    assert len(errors.strip().splitlines()) <= 2, errors
    assert not (tmp_path / "x").exists()


def test_data_that_are_not_prepared(tmp_path, run_python):
    """The last thing that can be wrong before anything is written: a process of its own."""
    home = tmp_path / "home"
    elsewhere = {"HOME": str(home), "TFDS_DATA_DIR": str(home / "tfds")}
    cifar100 = ("--data.sources", "cifar100", "--image-size", "32")
    done = run_python(*command(tmp_path / "x", *cifar100), **elsewhere)
    assert done.returncode == 1
    assert "cifar100" in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) <= 2, done.stderr
    assert not (tmp_path / "x").exists()


def test_a_batch_that_the_devices_cannot_share(tmp_path, run_python):
    done = run_python(
        "train.py", "--workdir", str(tmp_path / "x"), "--data.batch-size", "12", devices=8
    )
    assert done.returncode == 1
    assert "12 does not divide by the 8 devices" in done.stderr
    assert not (tmp_path / "x").exists()


def test_a_workdir_that_is_a_file_stays_as_it_is(tmp_path, call_program):
    path = tmp_path / "x"
    path.write_text("mine")
    status, errors = call_program("train", *command(path)[1:])
    assert status == 1
    assert "is a file" in errors
    assert path.read_text() == "mine"


def test_evaluate_without_a_checkpoint(tmp_path, call_program):
    for workdir in (tmp_path / "missing", tmp_path):
        status, errors = call_program("evaluate", "--workdir", str(workdir))
        assert status == 1
        assert errors.startswith("error: no training run in")
    assert list(tmp_path.iterdir()) == []


def test_help_is_quick(run_python):
    for program in ("train.py", "evaluate.py"):
        started = time.monotonic()
        done = run_python(program, "--help")
        assert done.returncode == 0
        assert "--workdir" in done.stdout
        assert time.monotonic() - started < (3 if not os.environ.get("CI") else 6)
