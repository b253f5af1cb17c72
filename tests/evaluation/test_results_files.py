"""Both results.json: what is written is read again, what was written before as well."""

from __future__ import annotations

import dataclasses
import json

import pytest

from glcic_jax.errors import UserError
from glcic_jax.evaluation import results_files
from glcic_jax.evaluation.intervals import Interval
from glcic_jax.evaluation.records import (
    Comparison,
    Curves,
    GoalReached,
    Health,
    MethodIntervals,
    MethodPerception,
    PairResult,
    Perception,
    Point,
    ProtocolResult,
    RunEvaluation,
    RunRecord,
    SeedDifference,
    SeedMean,
    SeedResult,
    TrainingCost,
)
from glcic_jax.evaluation.report import tables
from glcic_jax.evaluation.results import Bin, MethodScores

SURE = Interval(20.5, 20.0, 21.0)
HOLE, WHOLE = {"psnr": 20.5, "ssim": 0.75}, {"psnr": 30.5, "dice": 0.875}
SCORES = MethodScores(HOLE, WHOLE, (Bin(0.0, 0.1, 3, HOLE, WHOLE),))
EVALUATION = RunEvaluation(
    split="test",
    step=7,
    image_size=32,
    sources=("photos", "cifar100"),
    fill="harmonic",
    width=4,
    protocol="center",
    seed=3,
    count=12,
    methods={"model": SCORES},
)
RUN = RunRecord(
    generator="glcic",
    discriminator="both",
    adversarial="bce",
    fill="harmonic",
    width=4,
    dilations=(2, 4),
    seed=0,
    initial=None,
    step=7,
    batch_size=8,
    parameters=1000,
    joint_steps=2,
    training=TrainingCost(1.5, 56.0, {"completion": 40.0, "joint": 20.0}),
    health=Health(0.75, 0.5, None, 0.0),
)
FOUND = ProtocolResult(
    protocol="rectangle",
    seed=3,
    count=12,
    methods={"a-0": SCORES, "b": SCORES},
    intervals={"a-0": MethodIntervals({"psnr": SURE}, {"dice": SURE})},
    paired=(PairResult("a-0", "b", SURE, 0.25),),
    seeds=SeedResult(
        {"a": SeedMean((20.0, 21.0), SURE)}, (SeedDifference("a", "b", Interval(0.5, 0.0, 1.0)),)
    ),
    goals={"a-0": {"base": GoalReached(l2=True, dice=False, keras_dice=False)}},
    perception=Perception(0.4, {"a-0": MethodPerception(SURE, SURE)}),
    seconds_per_image={"a-0": 0.001, "b": 0.002},
)
COMPARISON = Comparison(
    split="test",
    checkpoint="best",
    image_size=32,
    sources=("photos",),
    seed=3,
    runs={"a-0": RUN, "b": dataclasses.replace(RUN, health=None, initial="a.npz")},
    curves={"a-0": Curves(validation=(Point(7, 20.5),)), "b": Curves()},
    left_out={"c": "no checkpoint"},
    protocols={"rectangle": FOUND, "center": dataclasses.replace(FOUND, perception=None)},
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "results.json"


def change(path, **changes):
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_comparison_comes_back_as_it_was(path):
    path.write_text(results_files.comparison_text(COMPARISON))
    assert results_files.read_comparison(path) == COMPARISON


def test_scripts_find_the_numbers_where_they_were(path):
    """The keys of files from before there was a schema."""
    document = json.loads(results_files.comparison_text(COMPARISON))
    found = document["protocols"]["rectangle"]
    assert document["schema"] == 1
    assert found["methods"]["a-0"]["bins"][0]["hole"]["psnr"] == 20.5
    assert found["intervals"]["a-0"]["whole"]["dice"] == [20.5, 20.0, 21.0]
    assert found["paired"] == [
        {"one": "a-0", "other": "b", "difference": [20.5, 20.0, 21.0], "p": 0.25}
    ]
    assert found["seeds"]["means"]["a"]["values"] == [20.0, 21.0]
    assert found["goals"]["a-0"]["base"] == {"l2": True, "dice": False, "keras_dice": False}
    assert found["perception"]["methods"]["a-0"]["same_class"] == [20.5, 20.0, 21.0]
    assert document["curves"]["a-0"]["validation"] == [[7, 20.5]]
    assert document["runs"]["a-0"]["training"] == {
        "seconds": 1.5,
        "images": 56.0,
        "completion_images_per_second": 40.0,
        "joint_images_per_second": 20.0,
    }
    results_files.write_entry(path, "rectangle-test", EVALUATION)
    results = json.loads(path.read_text())
    assert results["rectangle-test"]["methods"]["model"]["hole"]["psnr"] == 20.5


def test_files_without_a_schema_are_read(path):
    document = json.loads(results_files.comparison_text(COMPARISON))
    del document["schema"]
    # What reports did not tell at first, and what they told then.
    for run in document["runs"].values():
        del run["initial"], run["joint_steps"]
        run["seconds_per_image"] = 0.001
    for found in document["protocols"].values():
        del found["seconds_per_image"]
    path.write_text(json.dumps(document))
    comparison = results_files.read_comparison(path)
    found = comparison.protocols["rectangle"]
    assert found == dataclasses.replace(FOUND, seconds_per_image={})
    assert comparison.runs["a-0"] == dataclasses.replace(RUN, joint_steps=None)
    rows = {row[0]: row for row in tables.run_table(comparison).rows}
    assert rows["a-0"][-1] == "not recorded"
    assert rows["a-0"][6] == "random weights"
    rows = {row[0]: row for row in tables.health_table(comparison).rows}
    assert rows["b"][1] == "not recorded"


def test_entries_of_others_stay_as_they_are(path):
    """Whoever wrote them: an older version, a newer one, or a script of the user's."""
    others = {"center-test": {"methods": {}}, "new": {"schema": 99, "x": [1]}, "note": "mine"}
    path.write_text(json.dumps(others))
    results_files.write_entry(path, "rectangle-test", EVALUATION)
    results_files.write_entry(path, "rectangle-test", dataclasses.replace(EVALUATION, step=8))
    document = json.loads(path.read_text())
    entry = document.pop("rectangle-test")
    assert document == others
    assert (entry["schema"], entry["step"]) == (1, 8)


def test_entries_come_back_as_they_were(path):
    results_files.write_entry(path, "center-test", EVALUATION)
    document = json.loads(path.read_text())
    old = {name: value for name, value in document["center-test"].items() if name != "schema"}
    path.write_text(json.dumps({**document, "old": old}))
    assert results_files.read_evaluations(path) == {"center-test": EVALUATION, "old": EVALUATION}
    assert results_files.read_evaluations(path.with_name("missing.json")) == {}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema": 2}, "is of schema 2, and this version of glcic_jax reads 1"),
        ({"seed": "3"}, r"results\.json can't be read: seed: expected int, got '3'"),
        ({"runs": {"a-0": {}}}, r"read: runs\.a-0: generator is missing"),
        ({"left_out": []}, "read: left_out: expected an object, got"),
        ({"curves": {"b": {"accuracy": [[1]]}}}, r"accuracy\[0\]: expected a list of step, value"),
    ],
)
def test_what_can_not_be_read_is_told(path, changes, message):
    path.write_text(results_files.comparison_text(COMPARISON))
    change(path, **changes)
    with pytest.raises(UserError, match=message):
        results_files.read_comparison(path)
    assert results_files.holds_comparison(path)


def test_a_runs_file_is_no_comparison(path):
    with pytest.raises(UserError, match="there is no"):
        results_files.read_comparison(path)
    results_files.write_entry(path, "center-test", EVALUATION)
    with pytest.raises(UserError, match=r"was not written by evaluate\.py --report"):
        results_files.read_comparison(path)
    assert not results_files.holds_comparison(path)
