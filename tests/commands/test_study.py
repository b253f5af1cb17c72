"""The study's script: runs side by side, and what it says of a wrong command line."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from glcic_jax.commands import reproduce_study
from glcic_jax.errors import UserError

RUNS = {f"glcic-{seed}": ("glcic", seed) for seed in range(4)}


@pytest.fixture
def four_cores(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3}, raising=False)


@pytest.mark.usefixtures("four_cores")
def test_runs_side_by_side_share_the_cores(monkeypatch, tmp_path):
    """Two at a time: neither could pass the barrier alone, nor could a third come between."""
    barrier, calls, lock = threading.Barrier(2), [], threading.Lock()

    def call(*command, log, cores):
        log.write("trained\n")
        with lock:
            calls.append((command, cores))
        barrier.wait(timeout=30)

    monkeypatch.setattr(reproduce_study, "_call", call)
    monkeypatch.setattr(reproduce_study, "_require_finished", lambda *_: None)
    workdirs = {tmp_path / name: run for name, run in RUNS.items()}
    reproduce_study._train_side_by_side(workdirs, 2)
    for pair in (calls[:2], calls[2:]):
        assert sorted(sorted(cores) for _, cores in pair) == [[0, 2], [1, 3]]
    trained = {Path(command[2]): int(command[6]) for command, _ in calls}
    assert trained == {workdir: seed for workdir, (_, seed) in workdirs.items()}
    assert all((tmp_path / f"{name}.log").read_text() == "trained\n" for name in RUNS)


def test_a_run_that_stopped_early_is_not_scored(monkeypatch, tmp_path):
    """train.py ends well after SIGTERM too."""
    (tmp_path / "x" / "glcic-0").mkdir(parents=True)
    history = tmp_path / "x" / "glcic-0" / "metrics.jsonl"
    history.write_text('{"step": 40, "phase": "completion"}\n')
    monkeypatch.setattr(reproduce_study, "_call", lambda *_, **__: None)
    arguments = reproduce_study.Arguments(tmp_path / "x", variants=("glcic",), seeds=1)
    monkeypatch.setattr(reproduce_study, "parse", lambda *_, **__: arguments)
    with pytest.raises(UserError, match="glcic-0 stopped at step 40 of 3136"):
        reproduce_study.main()
    history.write_text('{"step": 3136, "phase": "joint"}\n')
    reproduce_study.main()


@pytest.mark.usefixtures("four_cores")
def test_a_failed_run_keeps_the_waiting_ones_from_starting(monkeypatch, tmp_path):
    """The second of two fails while the first one trains; a third may have started by then."""
    started, failed = [], threading.Event()

    def call(*command, **_):
        started.append(command)
        if command[-1] == "1":
            failed.set()
            raise UserError("train.py ended with status 1")
        failed.wait(timeout=30)
        time.sleep(0.5)

    monkeypatch.setattr(reproduce_study, "_call", call)
    workdirs = {tmp_path / f"glcic-{seed}": ("glcic", seed) for seed in range(8)}
    with pytest.raises(UserError, match="ended with status 1"):
        reproduce_study._train_side_by_side(workdirs, 2)
    assert len(started) <= 3


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--variants", "glcicc"), "no variant 'glcicc'"),
        (("--jobs", "0"), "--jobs is 0; it must be at least 1"),
        (("--jobs", "4096"), "--jobs is 4096; there are"),
        (("--seeds", "0"), "--seeds is 0"),
    ],
)
def test_mistakes_are_one_message(run_python, tmp_path, options, complaint):
    done = run_python(
        "-m", "glcic_jax", "reproduce-study", "--workdir", str(tmp_path / "x"), *options
    )
    assert done.returncode == 1
    assert complaint in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "x").exists()
