"""The directory of a run: what it accepts, and that a refusal changes nothing on disk."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from glcic_jax.config import presets
from glcic_jax.config.settings import Config
from glcic_jax.errors import UserError
from glcic_jax.runtime import workdir as workdir_module
from glcic_jax.runtime.run_lock import LOCK_NAME
from glcic_jax.runtime.workdir import load_config, open_workdir


def files_below(folder):
    return {
        path.relative_to(folder): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_a_new_workdir_gets_the_config(tmp_path):
    workdir = tmp_path / "runs" / "x"
    new = dataclasses.replace(presets.preset("study"), seed=5)
    open_workdir(workdir, new)
    assert load_config(workdir) == new
    assert [path.name for path in workdir.iterdir() if path.name != LOCK_NAME] == ["config.json"]


def test_resuming_rewrites_the_config_only_where_it_may_change(tmp_path):
    old = Config()
    open_workdir(tmp_path, old)
    path = tmp_path / "config.json"
    written = path.stat().st_mtime_ns
    open_workdir(tmp_path, old)
    assert path.stat().st_mtime_ns == written
    changed = dataclasses.replace(old, loop=dataclasses.replace(old.loop, log_every=7))
    open_workdir(tmp_path, changed)
    assert load_config(tmp_path) == changed
    assert [path.name for path in tmp_path.iterdir() if path.name != LOCK_NAME] == ["config.json"]


def test_another_config_is_refused_with_its_fields(tmp_path):
    open_workdir(tmp_path, Config())
    before = files_below(tmp_path)
    other = dataclasses.replace(Config(), seed=3, image_size=64)
    with pytest.raises(UserError, match=r"image_size: 32 -> 64; seed: 0 -> 3.*\n.*--workdir"):
        open_workdir(tmp_path, other)
    assert files_below(tmp_path) == before


def test_an_address_of_a_bucket_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="must be a directory of this machine"):
        open_workdir(Path("gs://bucket/x"), Config())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["checkpoints", "1000", "model.ckpt"])
def test_checkpoints_without_a_config_are_refused(tmp_path, name):
    (tmp_path / name).mkdir()
    with pytest.raises(UserError, match=f"has no config.json but holds {name}"):
        open_workdir(tmp_path, Config())
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_other_files_are_no_obstacle(tmp_path):
    (tmp_path / "train.log").write_text("hello")
    open_workdir(tmp_path, Config())
    assert load_config(tmp_path) == Config()


def test_a_file_as_workdir(tmp_path):
    file = tmp_path / "file"
    file.write_text("precious")
    with pytest.raises(UserError, match="is a file"):
        open_workdir(file, Config())
    with pytest.raises(UserError, match="can't write to"):
        open_workdir(file / "below", Config())
    with pytest.raises(UserError, match="no training run in"):
        load_config(file)
    assert file.read_text() == "precious"


@pytest.mark.parametrize("started", [False, True])
def test_a_workdir_that_can_not_be_written_to(tmp_path, monkeypatch, started):
    if started:
        open_workdir(tmp_path, Config())
    before = files_below(tmp_path)

    def refuse(**_):  # permissions do not stop root, who may run the tests
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(workdir_module.tempfile, "TemporaryFile", refuse)
    with pytest.raises(UserError, match=r"can't write to .*Permission denied"):
        open_workdir(tmp_path, Config())
    assert files_below(tmp_path) == before


def test_load_config_says_what_is_missing(tmp_path):
    for workdir in (tmp_path, tmp_path / "absent"):
        with pytest.raises(UserError, match=r"no training run in .*config\.json is missing"):
            load_config(workdir)


@pytest.mark.parametrize("text", ["", '{"seed": 1', '{"sead": 1}', "[]", "\xff"])
def test_a_broken_config_is_an_error_and_stays(tmp_path, text):
    path = tmp_path / "config.json"
    path.write_bytes(text.encode("latin-1"))
    for attempt in (load_config, lambda w: open_workdir(w, Config())):
        with pytest.raises(UserError, match=r"config\.json"):
            attempt(tmp_path)
    assert path.read_bytes() == text.encode("latin-1")
