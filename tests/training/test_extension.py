"""Go on with a finished run: the same bits where the schedule allows, told where it does not."""

from __future__ import annotations

import shutil

import chex
import jax
import pytest
from support import replace

from glcic_jax.config.settings import (
    Config,
    DataConfig,
    LoopConfig,
    ModelConfig,
    OptimizerConfig,
    PhaseConfig,
)
from glcic_jax.errors import UserError
from glcic_jax.runtime.checkpoints import Checkpoints
from glcic_jax.runtime.devices import batch_mesh, replicated
from glcic_jax.runtime.workdir import check_workdir, load_config
from glcic_jax.training.extension import check_extension
from glcic_jax.training.loop import train
from glcic_jax.training.state import abstract_train_state


def final_state(workdir):
    abstract = abstract_train_state(load_config(workdir), replicated(batch_mesh(jax.devices()[:1])))
    with Checkpoints(workdir, keep=2) as checkpoints:
        return checkpoints.restore_latest(abstract)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of three steps at a constant rate that has ended, and its configuration."""
    config = Config(
        image_size=16,
        data=DataConfig(batch_size=8),
        model=ModelConfig(width=4, dilations=(2,), discriminator_width=4, dense_features=8),
        optimizer=OptimizerConfig(schedule="constant", warmup_steps=0),
        phases=PhaseConfig(3, 0, 0),
        loop=LoopConfig(validate_every=100, save_every=100, validation_images=4),
    )
    workdir = tmp_path_factory.mktemp("trained") / "parts"
    train(workdir, config)
    return workdir, config


@pytest.fixture
def finished(trained, tmp_path):
    """A copy of that run, to be changed."""
    shutil.copytree(trained[0], tmp_path / "parts")
    return tmp_path / "parts", trained[1]


def test_a_run_that_was_extended_is_one_run_of_that_length(finished, tmp_path, capsys):
    workdir, config = finished
    longer = replace(config, phases=PhaseConfig(5, 0, 0))
    with pytest.raises(UserError, match=r"phases.completion_steps: 3 -> 5\).\nAdd --extend"):
        train(workdir, longer)
    train(workdir, longer, extend=True)
    told = capsys.readouterr().out
    assert "extended from 3 to 5 steps; the result is that of one run of 5" in told
    assert load_config(workdir) == longer
    train(tmp_path / "whole", longer)
    (step, extended), (_, whole) = final_state(workdir), final_state(tmp_path / "whole")
    assert step == 5
    chex.assert_trees_all_equal(extended, whole)
    train(workdir, longer, extend=True)  # the same command again is no mistake
    assert "the run is complete: 5 steps are done" in capsys.readouterr().out


def test_what_can_not_be_extended_is_refused_and_nothing_changes(finished, tmp_path):
    workdir, config = finished
    before = (workdir / "config.json").read_bytes()
    for changes, complaint in (
        ({"phases": PhaseConfig(2, 9, 0)}, "step 3 of 3 that are done was of the completion phase"),
        ({"phases": PhaseConfig(2, 0, 0)}, "step 3 of 3"),
        ({"phases": PhaseConfig(5, 0, 0), "seed": 9}, "holds a run with other settings"),
    ):
        with pytest.raises(UserError, match=complaint):
            train(workdir, replace(config, **changes), extend=True)
    assert (workdir / "config.json").read_bytes() == before
    with pytest.raises(UserError, match="leave --extend out to start one"):
        check_extension(tmp_path / "absent", config)


def test_the_cosine_is_told(finished):
    workdir, config = finished
    old = replace(config, optimizer={"schedule": "cosine"})
    text = (workdir / "config.json").read_text().replace('"constant"', '"cosine"')
    (workdir / "config.json").write_text(text)
    told = check_extension(workdir, replace(old, phases=PhaseConfig(6, 0, 0)))
    # Half of a cosine over six steps is done, all of one over three.
    assert "from 0 to 0.001 at step 3: not the same as one run of 6 steps" in told


@pytest.mark.parametrize(
    ("changes", "advice"),
    [
        ({"phases": PhaseConfig(0, 0, 9)}, "Add --extend"),
        ({"seed": 3}, r"another --workdir and --initial .*parts"),
        ({"model": {"width": 6}}, "Give another --workdir, or the old values"),
        ({"initial": "cifar100"}, "Only a new run starts from --initial"),
    ],
)
def test_a_changed_setting_is_told_what_helps(tmp_path, tiny_config, changes, advice):
    from glcic_jax.runtime.workdir import open_workdir

    config = replace(tiny_config, phases=PhaseConfig(0, 0, 3))
    open_workdir(tmp_path / "parts", config)
    with pytest.raises(UserError, match=advice):
        check_workdir(tmp_path / "parts", replace(config, **changes))
