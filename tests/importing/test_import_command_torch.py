"""`glcic-jax import`: what it writes is a generator like any other, and training starts from it."""

from __future__ import annotations

import dataclasses
import json
import sys

import chex
import numpy as np
import pytest
import skimage.data

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install '.[torch]'")

from foreign_networks import MEAN, NormalisedLast, as_trained  # noqa: E402
from support import replace  # noqa: E402

from glcic_jax import import_generator, inpaint_fn, load_generator  # noqa: E402
from glcic_jax.commands import import_generator as command  # noqa: E402
from glcic_jax.commands.train import parse_arguments  # noqa: E402
from glcic_jax.config.settings import PhaseConfig  # noqa: E402
from glcic_jax.inpainting.generator_files import load_file  # noqa: E402
from glcic_jax.networks.registry import generator_differences  # noqa: E402
from glcic_jax.training.loop import train  # noqa: E402


@pytest.fixture
def written(tmp_path, monkeypatch, capsys):
    """model_cn, what the command makes of it, and what it says."""
    torch.save(as_trained(NormalisedLast(4)).state_dict(), tmp_path / "model_cn")
    settings, output = tmp_path / "settings.json", tmp_path / "generator.npz"
    settings.write_text(json.dumps({"mpv": MEAN}))
    arguments = [str(tmp_path / "model_cn"), "--config", str(settings), "--output", str(output)]
    monkeypatch.setattr(sys, "argv", ["glcic-jax import", *arguments])
    command.main()
    return tmp_path / "model_cn", settings, output, capsys.readouterr().out


def test_what_is_written_loads_as_what_was_imported(written):
    path, settings, output, said = written
    assert f"{output}: 0.1 MB, model_cn of otenim" in said
    imported, loaded = import_generator(path, settings), load_generator(output)
    assert imported[0] == loaded[0]
    chex.assert_trees_all_equal(imported[1], loaded[1])
    photo = skimage.data.astronaut()[:50, :62]
    mask = np.zeros(photo.shape[:2], bool)
    mask[:9, 20:30] = True
    completed = inpaint_fn(*loaded, photo, mask)
    np.testing.assert_array_equal(completed[~mask], photo[~mask])
    assert (completed[mask] != photo[mask]).any()


def test_training_starts_from_it(written, tiny_config, tmp_path, monkeypatch):
    """With the options that the command prints."""
    output, said = written[2:]
    options = said.partition("to train from it: glcic-jax train ")[2].split()
    monkeypatch.setattr(sys, "argv", ["glcic-jax train", "--workdir", "x", *options])
    printed = parse_arguments().config
    assert generator_differences(load_file(output)[0], printed) == []
    model = dataclasses.replace(printed.model, views=1, discriminator_width=4, dense_features=8)
    config = dataclasses.replace(
        replace(tiny_config, loop={"validate_every": 3}),
        model=model,
        phases=PhaseConfig(1, 0, 0),
        initial=printed.initial,
    )
    config = replace(config, optimizer={"learning_rate": 1e-6, "warmup_steps": 0})
    train(tmp_path / "run", config)
    (_, start), (_, end) = load_generator(output), load_generator(tmp_path / "run", "latest")
    chex.assert_trees_all_equal(start["constants"], end["constants"])
    chex.assert_trees_all_close(start["params"], end["params"], atol=1e-4)
    kernels = [variables["params"]["dilated2"]["kernel"] for variables in (start, end)]
    assert (kernels[0] != kernels[1]).any()
