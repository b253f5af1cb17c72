"""What this package relies on in Orbax without a promise: these tests say when it changes."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest

from glcic_jax.runtime import orbax_files


@pytest.fixture
def saved(tmp_path) -> Path:
    """A checkpoint of two items."""
    manager = orbax_files.open_manager(tmp_path, ("one", "two"), set)
    items = {
        "one": {"a": np.arange(6.0).reshape(2, 3), "b.c": np.ones(4, np.int32)},
        "two": {"d": np.zeros(())},
    }
    orbax_files.save(manager, 7, items, {"step": 7, "text": "é"})
    manager.wait_until_finished()
    manager.close()
    return tmp_path / "7"


def test_the_summary_is_json_in_a_file_of_its_own(saved):
    values = json.loads((saved / orbax_files.SUMMARY_FILE).read_bytes())
    assert values == {"step": 7, "text": "é"}


def test_each_item_is_a_directory_and_steps_are_numbers(saved):
    assert {path.name for path in saved.iterdir() if path.is_dir()} == {"one", "two", "summary"}
    assert [path.name for path in saved.parent.iterdir()] == ["7"]


def test_some_arrays_of_an_item_can_be_read(saved):
    arrays = orbax_files.read_arrays(saved / "one", ["b.c"])
    assert arrays.keys() == {"b.c"}
    np.testing.assert_array_equal(arrays["b.c"], np.ones(4, np.int32))
    assert orbax_files.read_arrays(saved / "two", ["d"])["d"].shape == ()


def test_an_array_that_is_missing_is_an_error(saved):
    with pytest.raises(KeyError, match="nonsense is missing"):
        orbax_files.read_arrays(saved / "one", ["a", "nonsense"])


def test_errors_become_one_line_without_paths(saved):
    """Orbax, and TensorStore under it, name the file and its whole specification."""
    for path in (saved / "one").rglob("d/*"):
        path.write_bytes(b"")
    with pytest.raises(Exception, match="one") as raised:
        orbax_files.read_arrays(saved / "one", ["a"])
    line = orbax_files.brief(raised.value)
    assert str(saved) in str(raised.value), "otherwise there is nothing to leave out any more"
    assert str(saved) not in line
    assert "\n" not in line
    assert len(line) <= 200


def test_orbax_says_nothing_on_the_terminal(saved, capfd):
    """Its messages go through absl's logger, from files below orbax/checkpoint."""
    heard = []
    handler = logging.Handler()
    handler.emit = heard.append
    logger = logging.getLogger("absl")
    logger.addHandler(handler)
    before = logger.level
    logger.setLevel(logging.DEBUG)
    try:
        with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as checkpointer:
            checkpointer.save(saved.parent / "other", {"x": jnp.ones(2)})
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)
    assert [record.pathname for record in heard if "/orbax/checkpoint/" in record.pathname] == []
    assert capfd.readouterr().err == ""


def test_steps_that_are_not_wanted_go(tmp_path):
    manager = orbax_files.open_manager(tmp_path, ("one",), lambda steps: {max(steps)})
    for step in (1, 2, 3):
        orbax_files.save(manager, step, {"one": {"a": np.ones(2)}}, {"step": step})
    manager.wait_until_finished()
    manager.close()
    assert [path.name for path in tmp_path.iterdir()] == ["3"]
    assert jax.process_count() == 1
