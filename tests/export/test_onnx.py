"""ONNX files complete as `inpaint_fn` does, on ONNX Runtime, at any size."""

from __future__ import annotations

import json
import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import onnx
import onnxruntime
import pytest
from export_cases import (
    EXAMPLES,
    Case,
    check_picture,
    example_arguments,
    make_case,
    make_source,
    save_pictures,
)

from glcic_jax import complete, inpaint_fn
from glcic_jax.config.saved import from_json
from glcic_jax.export.formats import Source, write_generator
from glcic_jax.export.onnx_model import onnx_model
from glcic_jax.imaging.depths import most_halvings
from glcic_jax.inpainting.coarse_to_fine import complete_halved

MODULES = Path(os.environ.get("GLCIC_JAX_NODE_MODULES", EXAMPLES / "node_modules"))


def open_session(content: str | bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def run(session: onnxruntime.InferenceSession, case: Case) -> np.ndarray:
    """What the file answers, NHWC, where what the holes hide is not even a number."""
    hidden = np.where(case.mask_BxHxWx1 > 0, np.float32(np.nan), case.image_BxHxWx3)
    feed = {"image": hidden, "mask": case.mask_BxHxWx1}
    planes = {name: np.ascontiguousarray(x.transpose(0, 3, 1, 2)) for name, x in feed.items()}
    return session.run(["completed"], planes)[0].transpose(0, 2, 3, 1)


@pytest.fixture(scope="module")
def path(source, tmp_path_factory):
    path = tmp_path_factory.mktemp("onnx") / "generator.onnx"
    write_generator("onnx", path, source)
    return path


@pytest.fixture(scope="module")
def session(path):
    return open_session(str(path))


def test_the_file_is_sound_and_says_what_it_is(path, source):
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    texts = {entry.key: entry.value for entry in model.metadata_props}
    assert from_json(texts["config.json"]) == source.config
    assert json.loads(texts["notes.json"]) == {"step": 7}
    shapes = {
        value.name: [side.dim_param or side.dim_value for side in value.type.tensor_type.shape.dim]
        for value in (*model.graph.input, *model.graph.output)
    }
    assert shapes == {
        "image": ["N", 3, "H", "W"],
        "mask": ["N", 1, "H", "W"],
        "completed": ["N", 3, "H", "W"],
    }


@pytest.mark.parametrize(
    ("height", "width", "count"),
    [(96, 96, 1), (64, 48, 2), (33, 130, 1), (81, 70, 2), (17, 31, 1), (5, 9, 1)],
)
def test_it_completes_as_the_package_does(session, source, height, width, count):
    case = make_case(height, width, count)
    want = inpaint_fn(source.generator, source.variables, *case)
    found = run(session, case)
    known = np.broadcast_to(case.mask_BxHxWx1 == 0, found.shape)
    np.testing.assert_array_equal(found[known], case.image_BxHxWx3[known])
    np.testing.assert_allclose(found, want, atol=1e-5)
    assert 0 < np.median(found[~known]) < 1, "limits would hide a difference"


def test_masks_at_both_ends(session, source):
    """Nothing missing, and nothing known: the mean pixel, as no smooth fill has anything."""
    case = make_case(40, 50, 2)
    nothing = case._replace(mask_BxHxWx1=np.zeros_like(case.mask_BxHxWx1))
    np.testing.assert_array_equal(run(session, nothing), case.image_BxHxWx3)
    everything = case._replace(mask_BxHxWx1=np.ones_like(case.mask_BxHxWx1))
    want = jax.jit(complete, static_argnums=0)(source.generator, source.variables, *everything)[1]
    np.testing.assert_allclose(run(session, everything), want, atol=1e-5)


def test_fewer_levels_are_the_packages_own(source):
    case = make_case(96, 80)
    assert most_halvings(96, 80, source.generator.deepest) == 2
    want = jax.jit(complete_halved, static_argnums=(0, 4))(
        source.generator, source.variables, *case, 1
    )[1]
    found = run(open_session(onnx_model(*source[1:3], 1).SerializeToString()), case)
    np.testing.assert_allclose(found, want, atol=1e-5)
    more = run(open_session(onnx_model(*source[1:3], 2).SerializeToString()), case)
    assert np.abs(more - found).max() > 1e-2


@pytest.mark.parametrize(
    "model",
    [
        {"generator": "glcic", "fill": "mean", "dilated_residual": True, "dilations": (2, 4)},
        {
            "generator": "glcic",
            "fill": "mean",
            "contrast": "centred",
            "normalisation": "after_relu",
            "convolution_bias": True,
        },
        {"generator": "residual", "fill": "harmonic", "dilations": (2,), "views": 4},
        {"generator": "skip", "fill": "harmonic", "deepest": 2.0, "refines": False},
    ],
    ids=lambda model: "-".join(str(value) for value in model.values()),
)
def test_every_network(model):
    source: Source = make_source(**model)
    case = make_case(38, 43, 2)
    want = jax.jit(complete, static_argnums=0)(source.generator, source.variables, *case)[1]
    found = run(open_session(onnx_model(*source[1:3], 8).SerializeToString()), case)
    np.testing.assert_allclose(found, want, atol=1e-5)


def test_the_example_in_python(path, source, tmp_path, monkeypatch):
    save_pictures(tmp_path)
    program = str(EXAMPLES / "fill_onnx.py")
    monkeypatch.setattr(sys, "argv", [program, *example_arguments(tmp_path, path, "py.png")])
    monkeypatch.setitem(sys.modules, "glcic_jax", None)  # to import it would be an error
    runpy.run_path(program)
    monkeypatch.undo()
    check_picture(tmp_path, "py.png", source)


@pytest.mark.skipif(
    not MODULES.is_dir() and "GLCIC_JAX_NODE_MODULES" not in os.environ,
    reason="needs npm install in examples/",
)
def test_the_example_in_javascript(path, source, tmp_path):
    save_pictures(tmp_path)
    shutil.copy(EXAMPLES / "fill_onnx.mjs", tmp_path)
    (tmp_path / "node_modules").symlink_to(MODULES)
    words = ["node", "fill_onnx.mjs", *example_arguments(tmp_path, path, "js.png")]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    check_picture(tmp_path, "js.png", source)
