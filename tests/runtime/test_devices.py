"""How programs are compiled, and where they are kept between starts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from glcic_jax.networks.operators import convolve_native
from glcic_jax.runtime import devices


@pytest.fixture
def cache_setting(monkeypatch):
    """The arguments of every `jax.config.update`; none takes effect."""
    calls: list[tuple] = []
    monkeypatch.setattr(jax.config, "update", lambda *arguments: calls.append(arguments))
    monkeypatch.setattr(type(jax.config), "jax_compilation_cache_dir", None, raising=False)
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
    return calls


def test_programs_are_kept_in_the_users_cache_directory(cache_setting, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    devices.keep_compiled_programs()
    (name, directory), *_ = cache_setting
    assert name == "jax_compilation_cache_dir"
    assert Path(directory).is_dir()
    assert Path(directory).parent == tmp_path / "glcic_jax"


@pytest.mark.parametrize("chosen", ["/somewhere/else", ""])
def test_a_directory_set_by_the_user_stays(cache_setting, monkeypatch, tmp_path, chosen):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", chosen)
    devices.keep_compiled_programs()
    assert cache_setting == []
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_the_program_gave_jax_stays(cache_setting, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(type(jax.config), "jax_compilation_cache_dir", "/mine", raising=False)
    devices.keep_compiled_programs()
    assert cache_setting == []


FILL = """
import jax.numpy as jnp
jnp.ones(3).sum().block_until_ready()  # JAX has compiled before it is told of the cache
import numpy as np, skimage.data
from glcic_jax import inpaint_fn, load_generator
photo, mask = skimage.data.astronaut(), np.zeros((512, 512), bool)
mask[100:110, 200:210] = True
inpaint_fn(*load_generator("photographs"), photo, mask)
"""


@pytest.mark.parametrize("chosen", [None, ""])
def test_a_fill_keeps_its_programs_for_the_next_process(tmp_path, chosen):
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path), "JAX_PLATFORMS": "cpu"}
    environment.pop("JAX_COMPILATION_CACHE_DIR", None)
    if chosen is not None:
        environment["JAX_COMPILATION_CACHE_DIR"] = chosen
    subprocess.run([sys.executable, "-c", FILL], env=environment, check=True)
    kept = [path.name for path in tmp_path.rglob("*-cache")]
    assert any("complete_tiles" in name for name in kept) == (chosen is None), kept


def test_without_a_place_to_write_nothing_is_kept(cache_setting, monkeypatch, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("not a directory")
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    devices.keep_compiled_programs()
    assert cache_setting == []


def test_without_a_home_nothing_is_kept(cache_setting, monkeypatch):
    def no_home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", no_home)
    devices.keep_compiled_programs()
    assert cache_setting == []


def convolution(options) -> str:
    """The program that XLA makes of a convolution."""
    x, kernel = np.ones((2, 32, 32, 32), np.float32), np.ones((3, 3, 32, 32), np.float32)
    return jax.jit(convolve_native, compiler_options=options).lower(x, kernel).compile().as_text()


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="about the CPU compiler")
def test_convolutions_are_left_to_xla_where_that_can_be_chosen():
    options = devices.compiler_options("cpu")
    if not options:
        pytest.skip("this jaxlib has no such option")
    assert "ynn" not in convolution(options)


def test_accelerators_get_no_options():
    assert devices.compiler_options("tpu") == devices.compiler_options("gpu") == {}


def test_an_option_that_jaxlib_does_not_know_is_left_out(monkeypatch):
    monkeypatch.setattr(devices, "_YNN", "xla_cpu_no_such_option")
    assert devices.compiler_options.__wrapped__("cpu") == {}


def test_importing_the_package_does_not_start_jax():
    program = (
        "import glcic_jax, glcic_jax.training; from jax._src import xla_bridge;"
        "assert not xla_bridge.backends_are_initialized()"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
