"""Several runs in one report: the same numbers everywhere, bad runs left out with a reason."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil

import jax
import numpy as np
import pytest
from PIL import Image
from support import initialise, replace

from glcic_jax.config.scoring import Scoring
from glcic_jax.errors import UserError
from glcic_jax.evaluation import entrants
from glcic_jax.evaluation.classifier import Classifier, TrainedClassifier, save
from glcic_jax.evaluation.comparison import compare_runs
from glcic_jax.evaluation.goals import goals_reached
from glcic_jax.evaluation.intervals import Interval
from glcic_jax.evaluation.records import (
    Contest,
    Curves,
    GoalReached,
    MethodPerception,
    Perception,
    Point,
)
from glcic_jax.evaluation.report.charts import charts
from glcic_jax.evaluation.report.page import check_directory, write_report
from glcic_jax.evaluation.reporting import compare_to_report, evaluate_run
from glcic_jax.evaluation.results import Results
from glcic_jax.evaluation.results_json import to_json
from glcic_jax.inpainting.generator_files import save_generator
from glcic_jax.inpainting.generators import load_run
from glcic_jax.training.loop import train

SCORING = Scoring(("rectangle", "center"), batch_size=8, limit=12, methods=("telea",))


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two networks, one with two seeds; a run with other data, one without checkpoint."""
    from glcic_jax.config.settings import Config, DataConfig, LoopConfig, ModelConfig, PhaseConfig

    root = tmp_path_factory.mktemp("runs")
    config = Config(
        image_size=16,
        data=DataConfig(batch_size=8),
        model=ModelConfig(width=4, dilations=(2,), discriminator_width=4, dense_features=8),
        phases=PhaseConfig(7, 0, 0),
        loop=LoopConfig(log_every=1, validate_every=7, save_every=7, validation_images=8),
    )
    train(root / "plain-0", config)
    train(root / "plain-1", replace(config, seed=1))
    shared = {"generator": "residual", "discriminator": "shared_patch"}
    train(root / "residual", replace(config, model=shared, phases=PhaseConfig(0, 0, 7)))
    shutil.copytree(root / "plain-0", root / "foreign")
    saved = root / "foreign" / "config.json"
    saved.write_text(saved.read_text().replace('"photos"', '"folder:elsewhere"'))
    (root / "empty").mkdir()
    return root


@pytest.fixture(scope="module")
def contest(runs):
    names = ("plain-0", "foreign", "residual", "empty", "plain-0", "plain-1")
    return compare_runs([runs / name for name in names], SCORING)


def test_every_run_that_can_be_scored_is(contest):
    record = contest.record
    assert list(record.protocols) == ["rectangle", "center"]
    for found in record.protocols.values():
        assert list(found.methods) == ["telea", "plain-0", "residual", "plain-1"]
    assert set(record.left_out) == {"foreign", "empty"}
    assert "data.sources" in record.left_out["foreign"]
    assert "config.json" in record.left_out["empty"]


def test_runs_score_what_they_score_alone(runs, contest):
    evaluate_run(runs / "residual", replace(SCORING, methods=("telea", "model")))
    document = json.loads((runs / "residual" / "results.json").read_text())
    for protocol, found in contest.record.protocols.items():
        alone = document[f"{protocol}-test"]["methods"]
        assert alone["model"] == to_json(found.methods["residual"])
        assert alone["telea"] == to_json(found.methods["telea"])


def test_the_pages_numbers_are_those_of_the_json(contest, tmp_path):
    page = write_report(tmp_path / "report", contest).read_text()
    record = json.loads((tmp_path / "report" / "results.json").read_text())
    assert record == {"schema": 1, **json.loads(json.dumps(to_json(contest.record)))}
    table = (tmp_path / "report" / "results.md").read_text()
    sections = page.split("<h2 ")[1:3]
    for section, (protocol, found) in zip(sections, record["protocols"].items(), strict=True):
        assert f">Holes: {protocol}</h2>" in section
        for name, scores in found["methods"].items():
            row = re.search(rf"<tr><td>{name}</td>(.*?)</tr>", section).group(1)
            assert f"<td>{scores['hole']['psnr']:.2f} (" in row
            assert f"<td>{scores['whole']['dice']:.4f}</td>" in row
            assert f"{scores['whole']['l2_millions']:.3f} (" in table
    assert "foreign was left out" in page
    assert not re.search(r"(src|href)=\"(?!data:|#)", page)


def test_intervals_hold_their_means(contest):
    found = contest.record.protocols["rectangle"]
    for name, regions in found.intervals.items():
        mean, low, high = regions.hole["psnr"]
        assert low <= mean <= high
        np.testing.assert_allclose(mean, found.methods[name].hole["psnr"])
    assert len(found.paired) == 6
    first = found.paired[0]
    means = [found.methods[side].hole["psnr"] for side in (first.one, first.other)]
    np.testing.assert_allclose(first.difference.mean, means[0] - means[1], atol=1e-9)


def test_runs_that_differ_in_their_seed_only_are_one_variant(contest):
    found = contest.record.protocols["center"]
    psnr = tuple(found.methods[name].hole["psnr"] for name in ("plain-0", "plain-1"))
    assert psnr[0] != psnr[1]
    assert list(found.seeds.means) == ["plain"]
    variant = found.seeds.means["plain"]
    assert variant.values == psnr
    assert variant.mean.mean == pytest.approx(np.mean(psnr))
    assert found.seeds.differences == ()


def test_goals_are_reached_on_their_side_of_the_threshold(contest):
    """The stretch goal: Dice at least 0.75, L2 at most 1.19 million."""
    region = {
        "psnr": np.ones(1),
        "mse": np.ones(1),
        "dice": np.array([0.74]),
        "keras_dice": np.array([0.8]),
        "l2_millions": np.array([1.2]),
    }
    results = Results("rectangle", 0, np.ones(1), {"m": {"whole": region, "hole": region}})
    reached = goals_reached(results.summary("m", "whole"))
    assert reached["stretch"] == GoalReached(l2=False, dice=False, keras_dice=True)
    assert reached["base"] == GoalReached(l2=True, dice=True, keras_dice=True)
    found = contest.record.protocols
    assert set(found["rectangle"].goals) == {"plain-0", "residual", "plain-1"}
    assert found["center"].goals == {}


def test_what_the_classifier_saw_is_told(contest, tmp_path):
    seen = MethodPerception(Interval(0.75, 0.5, 1.0), Interval(1.5, 1.25, 1.75))
    center = contest.record.protocols["center"]
    perception = Perception(0.405, dict.fromkeys(center.methods, seen))
    center = dataclasses.replace(center, perception=perception)
    protocols = {**contest.record.protocols, "center": center}
    record = dataclasses.replace(contest.record, protocols=protocols)
    page = write_report(tmp_path, Contest(record, contest.pictures)).read_text()
    row = "<tr><td>telea</td><td>75.0% (50.0%..100.0%)</td><td>1.500 (1.250..1.750)</td></tr>"
    assert page.count(row) == 1
    assert "right on 40.5%" in page
    assert "| telea | 75.0% (50.0%..100.0%) |" in (tmp_path / "results.md").read_text()


def test_a_classifier_of_other_images_is_refused(runs, tmp_path):
    classifier = Classifier(width=4)
    variables = initialise(classifier, jax.random.key(0), np.zeros((1, 32, 32, 3), np.float32))
    save(tmp_path / "classifier.npz", TrainedClassifier(classifier, variables, accuracy=0.1))
    with pytest.raises(UserError, match="32 x 32 pixels, and these runs have 16"):
        compare_runs([runs / "plain-0"], SCORING, tmp_path / "classifier.npz")


def test_a_diverged_run_is_left_out(runs, monkeypatch):
    load = entrants.generators.load_run

    def broken(workdir, checkpoint):
        run = load(workdir, checkpoint)
        if workdir.name == "plain-1":
            run = run._replace(variables=jax.tree.map(lambda leaf: leaf * np.nan, run.variables))
        return run

    monkeypatch.setattr(entrants.generators, "load_run", broken)
    names = ("plain-0", "plain-1")
    record = compare_runs([runs / name for name in names], replace(SCORING, limit=2)).record
    assert set(record.runs) == {"plain-0"}
    assert "not finite" in record.left_out["plain-1"]
    with pytest.raises(UserError, match=r"none of the runs.*\nplain-1: the model's output"):
        compare_runs([runs / "plain-1"], SCORING)


def test_a_run_keeps_its_line_in_every_chart():
    """Also where another run has no curve; runs 1, 9, 17 and 25 have one colour but other lines."""
    line = (Point(1, 2.0), Point(2, 3.0))
    names = [f"run{number}" for number in range(25)]
    curves = {name: Curves(validation=line, accuracy=line) for name in names}
    curves["run0"] = Curves(validation=line)
    first, second = charts(curves)
    strokes = [
        dict(zip(re.findall("<title>(.*?)</title>", chart), parts, strict=True))
        for chart in (first, second)
        for parts in [re.findall(r'<polyline fill="none" (.*?) points', chart)]
    ]
    assert len(set(strokes[0].values())) == 25
    assert strokes[1] == {name: strokes[0][name] for name in names[1:]}


def test_without_any_usable_run_the_reasons_are_told(runs):
    with pytest.raises(UserError, match="none of the runs can be scored:\nempty: "):
        compare_runs([runs / "empty"], SCORING)


def test_a_report_needs_a_directory(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="can't write a report"):
        check_directory(tmp_path / "file")


@pytest.mark.parametrize("name", ["results.json", "index.html"])
def test_files_that_no_report_wrote_are_kept(name, tmp_path):
    (tmp_path / name).write_text('{"rectangle-test": {}}')
    with pytest.raises(UserError, match=f"already holds {name}, which no report wrote"):
        check_directory(tmp_path)


def test_a_report_may_be_written_again(contest, tmp_path):
    first = write_report(tmp_path, contest).read_text()
    check_directory(tmp_path)
    assert write_report(tmp_path, contest).read_text() == first
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["index.html", "results.json", "results.md"]


def test_a_run_does_not_pass_for_a_fill(runs, tmp_path):
    shutil.copytree(runs / "plain-0", tmp_path / "telea")
    found = compare_runs([tmp_path / "telea"], replace(SCORING, limit=2)).record.protocols
    assert list(found["center"].methods) == ["telea", "run telea"]


def test_what_can_not_be_scored_is_told_by_name(call_program):
    status, errors = call_program("evaluate", "--workdir", "a", "b")
    assert status == 1
    assert errors.startswith("error: none of the runs can be scored:\na: there is no directory")


# --- Files, names, moved images ------------------------------------------------------------------


def test_a_file_and_a_name_take_part_and_nothing_is_written(runs, tmp_path, capsys, monkeypatch):
    export = tmp_path / "one.npz"
    run = load_run(runs / "plain-0")
    save_generator(export, run.config, run.variables, {"step": [3, 7]})
    monkeypatch.chdir(tmp_path)
    compare_to_report([runs / "plain-0", export, "cifar100"], None, replace(SCORING, limit=3))
    printed = capsys.readouterr().out
    rows = {line.split()[0]: line.split()[1:] for line in printed.splitlines() if line.split()}
    assert rows["one.npz"][:3] == rows["plain-0"][:3]
    assert "cifar100 was left out: trained with image-size 32" in printed
    assert "--report DIRECTORY writes one" in printed
    assert list(tmp_path.iterdir()) == [export]
    record = compare_runs([export], replace(SCORING, limit=2)).record
    assert record.runs["one.npz"].step == 7
    assert record.curves["one.npz"] == Curves()


def test_images_that_have_moved_are_found_where_they_are(runs, tmp_path, photo):
    for number in range(3):
        tile = np.roll(photo, 9 * number, axis=1)
        path = tmp_path / "new" / "test" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(tile).save(path)
    workdir = tmp_path / "foreign"
    shutil.copytree(runs / "foreign", workdir)
    scoring = Scoring(methods=("telea", "model"))
    with pytest.raises(UserError, match=r"does not exist.*\n.*--data.sources folder:NEW_PLACE"):
        evaluate_run(workdir, scoring)
    moved = replace(scoring, sources=(f"folder:{tmp_path}/new",))
    evaluate_run(workdir, moved)
    entry = json.loads((workdir / "results.json").read_text())["rectangle-test"]
    assert entry["sources"] == list(moved.sources)
    assert entry["count"] == 3
    assert compare_runs([workdir], moved).record.sources == moved.sources
    for other in (("photos",), (*moved.sources, "photos")):
        with pytest.raises(UserError, match="but the run's are folder:elsewhere; it says where"):
            evaluate_run(workdir, replace(scoring, sources=other))
