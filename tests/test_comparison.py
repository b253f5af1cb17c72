"""Several runs in one report: the same numbers everywhere, bad runs left out with a reason."""

from __future__ import annotations

import json
import re
import shutil

import numpy as np
import pytest
from support import replace

from glcic_jax import report_page
from glcic_jax.comparison import compare_runs
from glcic_jax.errors import UserError
from glcic_jax.reporting import evaluate_run
from glcic_jax.scoring import Scoring
from glcic_jax.training import train

SCORING = Scoring(("rectangle", "center"), batch_size=8, limit=12, methods=("telea",))


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two networks, one with two seeds; a run with other data, one without checkpoint."""
    from glcic_jax.config import Config, DataConfig, LoopConfig, ModelConfig, PhaseConfig

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
    train(root / "residual", replace(config, model=shared, phases=PhaseConfig(3, 1, 3)))
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
    assert list(record["protocols"]) == ["rectangle", "center"]
    for found in record["protocols"].values():
        assert list(found["methods"]) == ["telea", "plain-0", "residual", "plain-1"]
    assert set(record["left_out"]) == {"foreign", "empty"}
    assert "data.sources" in record["left_out"]["foreign"]
    assert "config.json" in record["left_out"]["empty"]


def test_runs_score_what_they_score_alone(runs, contest):
    evaluate_run(runs / "residual", replace(SCORING, methods=("telea", "model")))
    document = json.loads((runs / "residual" / "results.json").read_text())
    for protocol, found in contest.record["protocols"].items():
        alone = document[f"{protocol}-test"]["methods"]
        assert alone["model"] == found["methods"]["residual"]
        assert alone["telea"] == found["methods"]["telea"]


def test_the_pages_numbers_are_those_of_the_json(contest, tmp_path):
    page = report_page.write_report(tmp_path / "report", contest).read_text()
    record = json.loads((tmp_path / "report" / "results.json").read_text())
    assert record == json.loads(json.dumps(contest.record))
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
    found = contest.record["protocols"]["rectangle"]
    for name, regions in found["intervals"].items():
        mean, low, high = regions["hole"]["psnr"]
        assert low <= mean <= high
        np.testing.assert_allclose(mean, found["methods"][name]["hole"]["psnr"])
    assert len(found["paired"]) == 6
    first = found["paired"][0]
    means = [found["methods"][first[side]]["hole"]["psnr"] for side in ("one", "other")]
    np.testing.assert_allclose(first["difference"][0], means[0] - means[1], atol=1e-9)


def test_runs_that_differ_in_their_seed_only_are_one_variant(contest):
    found = contest.record["protocols"]["center"]
    psnr = [found["methods"][name]["hole"]["psnr"] for name in ("plain-0", "plain-1")]
    assert psnr[0] != psnr[1]
    assert list(found["seeds"]["means"]) == ["plain"]
    variant = found["seeds"]["means"]["plain"]
    assert variant["values"] == psnr
    assert variant["mean"][0] == pytest.approx(np.mean(psnr))
    assert found["seeds"]["differences"] == []


def test_without_any_usable_run_the_reasons_are_told(runs):
    with pytest.raises(UserError, match="none of the runs can be scored:\nempty: "):
        compare_runs([runs / "empty"], SCORING)


def test_a_report_needs_a_directory(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="can't write a report"):
        report_page.check_directory(tmp_path / "file")


def test_several_runs_need_a_place_for_the_report(run_python):
    done = run_python("evaluate.py", "--workdir", "a", "b")
    assert done.returncode == 1
    assert done.stderr.startswith("error: 2 runs were named")
    assert "Traceback" not in done.stderr
