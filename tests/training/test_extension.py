"""Go on with a finished run: the same bits where the schedule allows, told where it does not."""

from __future__ import annotations

import chex
import jax
import pytest
from support import replace

from glcic_jax.config.settings import PhaseConfig
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


@pytest.fixture
def finished(tiny_config, tmp_path):
    """A run of (0, 0, 3) steps at a constant rate that has ended, and its configuration."""
    config = replace(
        tiny_config,
        phases=PhaseConfig(0, 0, 3),
        optimizer={"schedule": "constant", "warmup_steps": 0},
    )
    config = replace(config, loop={"validate_every": 100, "save_every": 100})
    train(tmp_path / "parts", config)
    return tmp_path / "parts", config


def test_a_run_that_was_extended_is_one_run_of_that_length(finished, tmp_path, capsys):
    workdir, config = finished
    longer = replace(config, phases=PhaseConfig(0, 0, 5))
    with pytest.raises(UserError, match=r"phases.joint_steps: 3 -> 5\).\nAdd --extend"):
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
        ({"phases": PhaseConfig(2, 0, 3)}, "step 1 of 3 that are done was of the joint phase"),
        ({"phases": PhaseConfig(0, 0, 2)}, "and these phases have 2; give more"),
        ({"phases": PhaseConfig(0, 0, 5), "seed": 9}, "holds a run with other settings"),
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
    told = check_extension(workdir, replace(old, phases=PhaseConfig(0, 0, 6)))
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
