"""Short forms of the campaign's rows; `python -m tests.campaign` runs the long ones."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from . import changes, damage, fuzz, table, threads


def test_no_damage_to_a_checkpoint_is_taken_for_another_state(tmp_path):
    (row,) = damage.run(tmp_path, 1)
    assert row.times >= 40
    assert row.losses == 0
    assert "0 refused" in row.outcome, "there is an older checkpoint to fall back to"


def test_a_state_that_is_silently_another_is_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(damage, "harm", lambda *_: None)
    monkeypatch.setattr(damage, "state", lambda step, make=damage.state: make(step + len(drawn)))
    drawn: list[int] = []
    damage._save(tmp_path)
    drawn.append(1)
    assert damage.resume(tmp_path) == "silently another"


@pytest.mark.parametrize("kind", fuzz.KINDS)
def test_changed_files_are_read_or_refused(kind, tmp_path):
    most = 8 if kind in ("npz", "safetensors") else 150
    counts = fuzz.fuzz(kind, 120.0, tmp_path, most=most)
    assert set(counts) <= {"read", "refused"}
    assert counts.total() == most


def test_the_fuzzer_counts_what_is_no_user_error(tmp_path, monkeypatch):
    def read(work, raw):  # noqa: ARG001
        if raw != b"[1]":
            raise KeyError(raw)

    monkeypatch.setitem(fuzz.KINDS, "own", (lambda _: [b"[1]"], read, changes.changed_text))
    assert fuzz.fuzz("own", 5.0, tmp_path, most=9)["KeyError"] > 0


def test_threads_get_what_one_thread_gets(tmp_path):
    (row,) = threads.run(tmp_path, 32, 4, ("cifar100", "cifar100"))
    assert row.losses == 0


def test_a_fill_by_the_wrong_generator_is_counted(tmp_path, monkeypatch):
    """Where all threads share the variables of whoever came last."""
    last: list = [None]

    def inpaint_fn(generator, variables, image, mask):  # noqa: ARG001
        last[0], seen = variables, last[0] or variables
        return np.float32(jax.tree.leaves(seen)[0]).sum() * image

    monkeypatch.setattr(threads, "inpaint_fn", inpaint_fn)
    (row,) = threads.run(tmp_path, 32, 4, ("cifar100", "cifar100"))
    assert row.losses > 0


def test_the_page_keeps_rows_of_other_names(tmp_path):
    page = tmp_path / "page.md"
    table.write(
        page, [table.Row("2 b", "what", 1000, "fine", 0), table.Row("1 a", "x", 1, "", 0)], "o"
    )
    table.write(page, [table.Row("2 b", "what", 7, "worse", 3)], "o")
    rows = [line for line in page.read_text().splitlines() if line.startswith(("| 1", "| 2"))]
    assert [row.split(" | ")[:5] for row in rows] == [
        ["| 1 a", "x", "1", "", "0"],
        ["| 2 b", "what", "7", "worse", "3"],
    ]
