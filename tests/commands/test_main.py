"""`glcic-jax`: its commands, how fast it answers, and what it says of a mistake."""

from __future__ import annotations

import importlib
import tomllib

import numpy as np
import pytest
from support import ROOT

from glcic_jax import load_generator
from glcic_jax.commands.main import COMMANDS

SLOW = ("jax", "flax", "orbax", "grain", "numpy", "optax")


def call(run_python, *words: str, **options):
    return run_python("-m", "glcic_jax", *words, **options)


def test_the_installed_command_is_this_one():
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    module, function = scripts["glcic-jax"].split(":")
    assert callable(getattr(importlib.import_module(module), function))


@pytest.mark.parametrize("words", [(), ("--help",), ("-h",)])
def test_help_names_every_command(run_python, words):
    done = call(run_python, *words)
    assert (done.returncode, done.stderr) == (0, "")
    for name, what in COMMANDS.items():
        assert f"  {name} " in done.stdout
        assert what in done.stdout


def test_help_loads_nothing_slow(run_python):
    program = (
        "import sys; sys.argv = ['glcic-jax', '--help']\n"
        "from glcic_jax.commands.main import main\nmain()\n"
        f"print(sorted(set({SLOW}) & set(sys.modules)))"
    )
    done = run_python("-c", program)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_describes_its_options(run_python, name):
    done = call(run_python, name, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"glcic-jax {name}" in done.stdout
    assert any(option in done.stdout for option in ("--workdir", "--output", "--port"))


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (
            ("trian",),
            "there is no command 'trian'; did you mean train? known are train, fill, serve",
        ),
        (("zzz",), "there is no command 'zzz'; known are train, fill, serve"),
        (("--workdir", "x"), "there is no command '--workdir'"),
        (("export", "--workdir", "nowhere", "--output", "x.npz"), "no training run in nowhere"),
        (("export", "--output", "x.txt", "--workdir", "x"), "--output x.txt: give a file that"),
        (("evaluate", "--workdir"), "--workdir names nothing"),
        (("train", "--workdir", "x", "--preset", "none"), "there is no preset 'none'"),
        (("train-classifier", "--output", "x.npz", "--epochs", "0"), "--epochs must be at least 1"),
    ],
)
def test_mistakes_are_one_message(run_python, words, complaint):
    done = call(run_python, *words)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"error: {complaint}")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("locale", [{}, {"LC_ALL": "C", "PYTHONUTF8": "0"}], ids=["UTF-8", "ASCII"])
def test_a_command_line_that_does_not_fit_is_told_alike_on_every_terminal(run_python, locale):
    done = call(run_python, "fill", "a.png", "--output", "b.png", "--grow", "many", **locale)
    assert done.stderr.startswith("error: Error parsing --grow: invalid literal for int()")
    assert len(done.stderr.splitlines()) == 2


def test_a_run_is_exported_to_a_file_that_loads(run_python, tmp_path):
    """`train`, `export` and `load_generator` from end to end; train.py is the same command."""
    options = (
        "--image-size 16 --data.batch-size 8 --model.width 4 --model.dilations 2 "
        "--model.discriminator-width 4 --model.dense-features 8 --phases.completion-steps 2 "
        "--phases.discriminator-steps 0 --phases.joint-steps 0 --loop.validation-images 4"
    ).split()
    workdir, file = str(tmp_path / "x"), tmp_path / "generator.npz"
    done = call(run_python, "train", "--workdir", workdir, *options)
    assert done.returncode == 0, done.stderr
    done = call(run_python, "export", "--workdir", workdir, "--output", str(file))
    assert done.returncode == 0, done.stderr
    assert "step 2" in done.stdout
    for one, other in zip(load_generator(file), load_generator(workdir), strict=True):
        if isinstance(one, dict):
            leaf = one["params"]["entry"]["kernel"]
            np.testing.assert_array_equal(leaf, other["params"]["entry"]["kernel"])
        else:
            assert one == other
