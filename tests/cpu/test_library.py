"""The library is compiled once, and whatever stands in the way of that stops nobody."""

from __future__ import annotations

import logging
import os
import platform
import shutil

import pytest

from glcic_jax.cpu import library
from glcic_jax.errors import UserError

pytestmark = pytest.mark.skipif(not shutil.which("cc"), reason="there is no C compiler")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("GLCIC_JAX_COMPILER", raising=False)
    return tmp_path


def test_it_is_compiled_once(cache, monkeypatch):
    assert library.open_library()
    (made,) = cache.rglob("*.so")
    monkeypatch.setattr(library, "_compile", None)
    assert library.open_library()
    assert list(cache.rglob("*.*")) == [made]


def test_a_broken_file_is_compiled_anew(cache, monkeypatch):
    assert library.open_library()
    (made,) = cache.rglob("*.so")
    # In another place, for a file that is loaded stays so whatever is written over it.
    broken = cache / "other" / made.relative_to(cache)
    broken.parent.mkdir(parents=True)
    broken.write_bytes(made.read_bytes()[:100])
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache / "other"))
    assert library.open_library().glcic_jax_convolve
    assert len(broken.read_bytes()) == len(made.read_bytes())


def test_without_a_place_to_keep_it(monkeypatch):
    monkeypatch.setattr(library, "user_cache", lambda _: None)
    assert library.open_library().glcic_jax_convolve


@pytest.mark.usefixtures("cache")
def test_no_compiler_is_no_error(monkeypatch, caplog):
    monkeypatch.setenv("PATH", "")
    assert library.open_library() is None
    monkeypatch.undo()
    monkeypatch.setenv("GLCIC_JAX_COMPILER", "")
    assert library.open_library() is None
    assert caplog.records == []


def test_a_compiler_that_fails_is_told_in_one_line(cache, monkeypatch, caplog):
    monkeypatch.setenv("GLCIC_JAX_COMPILER", shutil.which("false"))
    with caplog.at_level(logging.WARNING, "glcic_jax"):
        assert library.open_library() is None
    (record,) = caplog.records
    assert "left to XLA" in record.getMessage()
    assert "\n" not in record.getMessage()
    assert not [file for file in cache.rglob("*") if file.is_file()]


@pytest.mark.usefixtures("cache")
def test_a_compiler_that_is_not_there_is_an_error(monkeypatch):
    monkeypatch.setenv("GLCIC_JAX_COMPILER", "no-such-compiler")
    with pytest.raises(UserError, match="no-such-compiler"):
        library.open_library()


def test_a_run_without_a_compiler(run_python):
    """The same result but for rounding, by XLA's convolutions."""
    program = (
        "import numpy as np, jax; from glcic_jax.networks import operators as o;"
        "x = np.ones((1, 8, 8, 3), np.float32); k = np.full((3, 3, 3, 8), 0.5, np.float32);"
        "f = jax.jit(lambda x, k: o.convolve(x, k));"
        "print('glcic_jax' in f.lower(x, k).as_text(), float(f(x, k)[0, 4, 4, 0]))"
    )
    for compiler, expected in (("", "False 13.5"), (os.environ.get("CC", "cc"), "True 13.5")):
        run = run_python("-c", program, GLCIC_JAX_COMPILER=compiler)
        assert run.stdout.strip() == expected, run.stderr


OTHER = """
import sys
from glcic_jax.cpu import library
library._FOR_THIS_MACHINE = (tuple(sys.argv[1:]),)
assert library.is_loaded()
from tests.cpu import test_convolutions as tests
for number in range(12):
    tests.test_any_geometry(number)
tests.test_a_kernel_with_many_weights()
"""


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the options are for that")
@pytest.mark.parametrize("options", [("-mavx2", "-mfma"), ()], ids=["AVX2", "SSE2"])
def test_older_machines(options, run_python, tmp_path):
    """Other widths of vectors and other numbers of registers."""
    run = run_python("-c", OTHER, *options, XDG_CACHE_HOME=str(tmp_path))
    assert run.returncode == 0, run.stderr
    assert list(tmp_path.rglob("*.so"))
