"""StableHLO programs complete as `inpaint_fn` does, at any size, and are made for all platforms."""

from __future__ import annotations

import re

import jax
import numpy as np
import pytest
from export_cases import (
    EXAMPLES,
    check_picture,
    example_arguments,
    make_case,
    make_source,
    save_pictures,
)
from jax import export

from glcic_jax import complete, inpaint_fn
from glcic_jax.export.formats import write_generator
from glcic_jax.imaging import fills


@pytest.fixture(scope="module")
def path(source, tmp_path_factory):
    """A file whose smooth fills suffice for 64 pixels a side."""
    path = tmp_path_factory.mktemp("stablehlo") / "generator.stablehlo"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fills, "SYMBOLIC_HALVINGS", 6)
        write_generator("stablehlo", path, source, levels=1)
    return path


@pytest.fixture(scope="module")
def program(path):
    return export.deserialize(bytearray(path.read_bytes()))


def test_it_is_made_for_every_platform_and_size(program):
    assert program.platforms == ("cpu", "cuda", "tpu")
    assert [str(value) for value in program.in_avals] == ["float32[N,H,W,3]", "float32[N,H,W,1]"]
    calls = set(re.findall(r"custom_call @([\w.]+)", program.mlir_module()))
    # They stand for what is known when the sizes are, and are gone before anything is compiled.
    assert calls <= {"shape_assertion", "stablehlo.dynamic_reduce_window"}


def test_it_completes_as_the_package_does(program, source):
    case = make_case(19, 33, 2)
    want = inpaint_fn(source.generator, source.variables, *case)
    hidden = np.where(case.mask_BxHxWx1 > 0, np.float32(np.nan), case.image_BxHxWx3)
    found = np.asarray(program.call(hidden, case.mask_BxHxWx1))
    known = np.broadcast_to(case.mask_BxHxWx1 == 0, found.shape)
    np.testing.assert_array_equal(found[known], case.image_BxHxWx3[known])
    np.testing.assert_allclose(found, want, atol=1e-5)
    assert 0 < np.median(found[~known]) < 1, "limits would hide a difference"


def test_the_example_in_a_process_without_the_package(path, source, run_python, tmp_path):
    """A photograph of a size at which deep holes are completed in the half first."""
    save_pictures(tmp_path)
    program = str(EXAMPLES / "fill_stablehlo.py")
    words = [program, *example_arguments(tmp_path, path, "hlo.png")]
    without = f"import runpy, sys; sys.modules['glcic_jax'] = None; sys.argv = {words!r}\n"
    done = run_python("-c", without + f"runpy.run_path({program!r})")
    assert done.returncode == 0, done.stderr
    check_picture(tmp_path, "hlo.png", source)


def test_a_network_without_halves(tmp_path):
    """The paper's: the mean pixel, transposed convolutions, a sigmoid; no levels are read."""
    paper = make_source(generator="glcic", fill="mean", dilations=(2, 4))
    write_generator("stablehlo", tmp_path / "x", paper)
    found = export.deserialize(bytearray((tmp_path / "x").read_bytes()))
    case = make_case(18, 27)
    want = jax.jit(complete, static_argnums=0)(paper.generator, paper.variables, *case)[1]
    np.testing.assert_allclose(found.call(*case), want, atol=1e-5)
