"""The evaluation loop: every example once, the same numbers however the work is cut up."""

import dataclasses
import functools
import hashlib
import json
import os
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import ROOT

from glcic_jax.config.rules import PROTOCOLS
from glcic_jax.config.scoring import Scoring
from glcic_jax.config.settings import Config, ModelConfig
from glcic_jax.cpu import convolutions
from glcic_jax.errors import UserError
from glcic_jax.evaluation import loop, metrics, model, protocols, reporting
from glcic_jax.evaluation.model import model_completer
from glcic_jax.evaluation.results import Results
from glcic_jax.imaging import classical
from glcic_jax.inpainting import inpaint
from glcic_jax.networks.registry import build_generator

SIDE = 32
COUNT = 40


def _image_set(count=COUNT):
    rng = np.random.default_rng(3)
    coarse = rng.integers(0, 256, (count, 4, 4, 3))
    noise = rng.integers(-20, 21, (count, SIDE, SIDE, 3))
    smooth = coarse.repeat(SIDE // 4, 1).repeat(SIDE // 4, 2)
    return list(np.clip(smooth + noise, 0, 255).astype(np.uint8))


@functools.cache
def _model():
    """A generator whose output layer is not zero, so that the network's values show.

    Its output layer reads 16 channels: there the CPU's native convolution to 3 channels adds up in
    an order that depends on the number of threads, which follows from the number of devices.
    """
    generator = build_generator(Config(model=ModelConfig(width=32, downsamples=1, dilations=(2,))))
    image, mask = jnp.zeros((1, SIDE, SIDE, 3)), jnp.zeros((1, SIDE, SIDE, 1))
    init = jax.jit(functools.partial(generator.init, train=False))
    variables = init(jax.random.key(0), image, mask)
    rng = np.random.default_rng(1)

    def disturbed(leaf):
        leaf = np.asarray(leaf)
        noise = 0.05 * rng.standard_normal(leaf.shape, np.float32)
        return leaf + noise if leaf.ndim > 1 else leaf

    return generator, jax.tree.map(disturbed, variables)


@functools.cache
def _completers():
    fills = classical.classical_fills(np.full(3, 0.5))
    return {
        "mean_pixel": fills["mean_pixel"],
        "harmonic": fills["harmonic"],
        "model": model_completer(*_model()),
    }


def _fingerprint(results):
    """A digest of every bit of every score."""
    digest = hashlib.sha256(results.hole_fraction.tobytes())
    for leaf in jax.tree.leaves(dict(results.scores)):
        assert leaf.dtype == np.float64
        digest.update(leaf.tobytes())
    return digest.hexdigest()


def _raw_fingerprint():
    """A digest of the network's own float32 output, where 8 bits would hide a lost last bit."""
    truth = np.stack(_image_set(16))
    mask = protocols.protocol_masks("center", 0, np.arange(16), SIDE)
    generator, variables = _model()
    complete = jax.jit(inpaint.complete, static_argnums=0)
    output, _ = complete(generator, variables, truth.astype(np.float32) / 255, mask)
    return hashlib.sha256(np.asarray(output).tobytes()).hexdigest()


def _evaluate(batch_size, completers=None, **options):
    settings = {"protocol": "rectangle", "seed": 0, **options}
    return loop.evaluate(
        completers or _completers(), _image_set(), batch_size=batch_size, **settings
    )


@pytest.fixture(scope="module")
def results():
    return _evaluate(64)


@pytest.mark.parametrize("batch_size", [1, 7, 1000])
def test_batch_size_changes_no_bit(results, batch_size):
    assert _fingerprint(_evaluate(batch_size)) == _fingerprint(results)


def test_each_device_always_computes_the_same_number_of_images(monkeypatch):
    """Other shapes are other compiled programs, which need not round alike."""
    sizes = []

    def spy(_generator, _mesh, _arrays, image_u8, _hole):
        sizes.append(image_u8.shape[0])
        return image_u8, jnp.ones(len(image_u8), bool)

    monkeypatch.setattr(model, "_complete_small", spy)
    for batch_size in (1, 7, 40):
        _evaluate(batch_size, {"model": model_completer(*_model())})
    assert set(sizes) == {16 * jax.device_count()}


def test_eight_devices_change_no_bit(run_python, monkeypatch):
    """By the same convolutions: one CPU device alone has others."""
    monkeypatch.setattr(convolutions, "suit", lambda *_: False)
    jax.clear_caches()
    results = _evaluate(64)
    program = (
        "import jax; from tests.evaluation import test_loop as t; assert jax.device_count() == 8;"
        "print(*{t._fingerprint(t._evaluate(size)) for size in (7, 64)}, t._raw_fingerprint())"
    )
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    run = run_python("-c", program, devices=8, PYTHONPATH=paths)
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == [_fingerprint(results), _raw_fingerprint()]
    jax.clear_caches()


def test_scores_are_those_of_each_image_alone(results):
    """Image 39, in the padded tail, scored with nothing around it."""
    truth = np.stack(_image_set())[39:]
    indices = np.array([39])
    mask = np.asarray(protocols.protocol_masks("rectangle", 0, indices, SIDE))
    completed = _completers()["model"](np.where(mask > 0, np.uint8(0), truth), mask)
    expected = metrics.per_image(truth / 255.0, completed / 255.0, mask)
    for region in metrics.REGIONS:
        for name, value in expected[region].items():
            got = results.scores["model"][region][name]
            assert got.shape == (COUNT,)
            assert got[39] == pytest.approx(float(value[0]), rel=1e-4), name


def test_limit_takes_the_first_images(results):
    short = _evaluate(4, limit=9)
    assert len(short) == 9
    psnr = results.scores["model"]["hole"]["psnr"]
    np.testing.assert_array_equal(short.scores["model"]["hole"]["psnr"], psnr[:9])


def test_another_seed_cuts_other_holes(results):
    other = _evaluate(64, {"mean_pixel": _completers()["mean_pixel"]}, seed=1)
    assert not np.array_equal(other.hole_fraction, results.hole_fraction)


def test_completers_never_see_the_hole_nor_change_the_rest():
    def spy(image_u8, mask):
        assert not np.any(image_u8 * mask)
        return image_u8

    def meddler(image_u8, mask):
        return image_u8 + (mask == 0).astype(np.uint8)

    _evaluate(16, {"spy": spy})
    with pytest.raises(ValueError, match="meddler changed known pixels"):
        _evaluate(16, {"meddler": meddler})


def test_nothing_to_evaluate_is_refused():
    for options in ({"batch_size": 0}, {"batch_size": 4, "limit": 0}):
        with pytest.raises(UserError, match="nothing to evaluate"):
            _evaluate(completers={"spy": lambda image_u8, _: image_u8}, **options)


def test_a_diverged_model_is_refused():
    generator, variables = _model()
    broken = jax.tree.map(lambda leaf: leaf * np.float32(np.nan), variables)
    with pytest.raises(UserError, match="not finite"):
        _evaluate(64, {"model": model_completer(generator, broken)})


def test_summaries_and_bins_by_hand():
    mse = np.array([0.01, 0.03, 0.1])
    scores = {
        "m": {region: {"mse": mse, "psnr": -10 * np.log10(mse)} for region in metrics.REGIONS}
    }
    results = Results("center", 0, np.array([0.1, 0.1 + 0.2, 0.25]), scores)
    assert results.mean("m", "hole", "mse") == pytest.approx(0.14 / 3)
    summary = results.summary("m", "hole")
    assert summary["psnr_of_mean_mse"] == pytest.approx(-10 * np.log10(0.14 / 3))
    assert summary["psnr"] == pytest.approx(-10 * np.log10(mse).mean())
    bins = results.bins("m")
    assert [(b.above, b.up_to, b.count) for b in bins] == [(0.0, 0.1, 1), (0.2, 0.3, 2)]
    assert bins[1].hole["mse"] == pytest.approx(0.065)


# --- Evaluation of a run ------------------------------------------------------------------------


@pytest.fixture
def workdir(tmp_path, monkeypatch):
    """A directory that loads as a run of the small model, scored on the images above."""
    generator, variables = _model()
    run = SimpleNamespace(config=Config(), generator=generator, variables=variables, step=7)
    monkeypatch.setattr(reporting.generators, "load_run", lambda *_: run)
    monkeypatch.setattr(reporting, "open_images", lambda *_: _image_set())
    return tmp_path


def _run(workdir, **changes):
    scoring = Scoring(batch_size=16, limit=12, methods=("telea", "model"))
    reporting.evaluate_run(workdir, dataclasses.replace(scoring, **changes))


def test_run_writes_scores_and_pictures(workdir, capsys):
    _run(workdir)
    _run(workdir, protocols=("center", "freeform", "center"))
    document = json.loads((workdir / "results.json").read_text())
    assert list(document) == ["rectangle-test", "center-test", "freeform-test"]
    entry = document["rectangle-test"]
    assert (entry["step"], entry["count"], entry["seed"]) == (7, 12, 0)
    assert set(entry["methods"]) == {"telea", "model"}
    assert set(entry["methods"]["model"]["hole"]) == {*metrics.METRICS, "psnr_of_mean_mse"}
    assert sum(part["count"] for part in entry["methods"]["model"]["bins"]) == 12
    printed = capsys.readouterr().out
    assert f"{entry['methods']['telea']['hole']['psnr']:.2f}" in printed
    table = [line for line in printed.splitlines() if "results" not in line]
    assert max(map(len, table)) <= 120
    names = sorted(path.name for path in workdir.iterdir())
    pictures = [f"results-{name}-test.png" for name in ("center", "freeform", "rectangle")]
    assert names == [*pictures, "results.json"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": -1}, "seed is -1"),
        ({"batch_size": 0}, "batch-size is 0"),
        ({"limit": 0}, "limit is 0"),
        ({"methods": ()}, "no method"),
        ({"protocols": ()}, "no protocol"),
    ],
)
def test_bad_settings_write_nothing(workdir, changes, message):
    with pytest.raises(UserError, match=message):
        _run(workdir, **changes)
    assert list(workdir.iterdir()) == []


@pytest.mark.parametrize("text", ["not json", "[1]"])
def test_a_foreign_results_file_is_kept(workdir, text):
    (workdir / "results.json").write_text(text)
    with pytest.raises(UserError, match="move it away"):
        _run(workdir)
    assert (workdir / "results.json").read_text() == text
    assert len(list(workdir.iterdir())) == 1


# --- The command line -------------------------------------------------------------------------


def test_help_lists_every_method_and_protocol(run_python):
    listed = run_python("evaluate.py", "--help").stdout
    for name in (*classical.classical_fills(np.zeros(3)), "model", *PROTOCOLS):
        assert name in listed
