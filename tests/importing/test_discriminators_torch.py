"""Imported discriminators against PyTorch: the same logits, no array that could be another."""

from __future__ import annotations

import functools
import pickle
import sys

import jax
import numpy as np
import pytest
import skimage.data

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install '.[torch]'")

from foreign_networks import Judges, NormalisedLast, as_trained  # noqa: E402
from support import apply, replace  # noqa: E402

from glcic_jax.commands.train import parse_arguments  # noqa: E402
from glcic_jax.config.settings import Config, DataConfig, ModelConfig, PhaseConfig  # noqa: E402
from glcic_jax.errors import UserError  # noqa: E402
from glcic_jax.importing.discriminators import read_discriminators  # noqa: E402
from glcic_jax.importing.import_generator import read_generator  # noqa: E402
from glcic_jax.networks.registry import build_discriminator  # noqa: E402
from glcic_jax.runtime.checkpoints import Checkpoints  # noqa: E402
from glcic_jax.runtime.devices import batch_mesh, replicated  # noqa: E402
from glcic_jax.runtime.workdir import check_workdir, open_workdir  # noqa: E402
from glcic_jax.training.loop import train  # noqa: E402
from glcic_jax.training.state import abstract_train_state  # noqa: E402

NEAR = 1e-4
PORTRAITS = (64, 96, 5)
"""Sides of window and image, halvings of the image: nothing that is rounded, as 96 and 160."""
PLACES = (128, 256, 6)


@functools.cache
def foreign(sides=PORTRAITS) -> Judges:
    return as_trained(Judges(4, *sides, features=8), seed=3)


def write(folder, sides=PORTRAITS):
    torch.save(foreign(sides).state_dict(), folder / "model_cd")
    return folder / "model_cd"


def config_of(sides=PORTRAITS) -> Config:
    window, side, halvings = sides
    model = ModelConfig(
        width=4,
        dilations=(2,),
        discriminator_width=4,
        dense_features=8,
        discriminator_normalisation="after_relu",
        discriminator_halvings=5 if halvings == 5 else 0,
    )
    config = Config(image_size=side, model=model, data=DataConfig(batch_size=8))
    return replace(config, masks={"local_window": window / side})


def views(window: int, side: int, halvings: int) -> tuple[np.ndarray, np.ndarray]:
    """float32 image_3xSxSx3 and window_3xPxPx3, in [0, 1]."""
    del halvings
    photos = [skimage.data.astronaut(), skimage.data.chelsea(), skimage.data.coffee()]
    image = np.stack([photo[40 : 40 + side, 90 : 90 + side] for photo in photos])
    image = image.astype(np.float32) / 255
    return image, image[:, 9 : 9 + window, 21 : 21 + window]


def in_torch(sides=PORTRAITS) -> np.ndarray:
    with torch.inference_mode():
        tensors = [torch.from_numpy(np.moveaxis(x, 3, 1).copy()) for x in views(*sides)]
        return foreign(sides)(*tensors).numpy()


@pytest.mark.parametrize("sides", [PORTRAITS, PLACES])
def test_the_logits_agree(sides, tmp_path):
    config = config_of(sides)
    variables = read_discriminators(write(tmp_path, sides), config)
    wanted = in_torch(sides)
    assert np.ptp(wanted) > 0.05, "they have something to say"
    found = apply(build_discriminator(config), variables, *views(*sides))
    np.testing.assert_allclose(found["joint"], wanted, rtol=0, atol=NEAR)
    other = replace(config, model={"discriminator_halvings": 7})
    advice = 5 if sides == PORTRAITS else 0
    with pytest.raises(UserError, match=f"set --model.discriminator-halvings {advice}"):
        read_discriminators(tmp_path / "model_cd", other)


def mutations(arrays):
    """(what, arrays) with one thing wrong: rolled, transposed, mirrored, or exchanged."""
    names = sorted(arrays)
    for place, name in enumerate(names):
        array = arrays[name]
        if len(array) > 1:
            yield f"{name} rolled", {name: array.roll(1, 0)}
        if array.ndim == 4:
            yield f"{name} transposed", {name: array.transpose(2, 3)}
            yield f"{name} mirrored", {name: array.flip(2, 3)}
        elif array.ndim == 2:
            yield f"{name} turned", {name: array.roll(1, 1)}
        for other in names[place + 1 :]:
            if arrays[other].shape == array.shape and other[-4:] == name[-4:]:
                yield f"{name} as {other}", {name: arrays[other], other: array}
                break


def test_any_array_that_is_another_shows(tmp_path):
    config, module = config_of(), build_discriminator(config_of())
    state = foreign().state_dict()
    arrays = {name: x for name, x in state.items() if not name.endswith("batches_tracked")}
    wanted, seen = in_torch(), views(*PORTRAITS)
    unseen, count = [], 0
    for what, changed in mutations(arrays):
        torch.save(arrays | changed, tmp_path / "changed")
        found = apply(module, read_discriminators(tmp_path / "changed", config), *seen)["joint"]
        count += 1
        if np.abs(found - wanted).max() < 3 * NEAR:
            unseen.append(what)
    assert count > 120
    assert unseen == []


def test_the_options_that_are_asked_for_are_the_right_ones(tmp_path, monkeypatch):
    path = write(tmp_path)
    with pytest.raises(UserError, match="of another form than this run's; set --") as told:
        read_discriminators(path, Config())
    options = str(told.value).partition("run's; set ")[2].split()
    monkeypatch.setattr(sys, "argv", ["glcic-jax train", "--workdir", "x", *options])
    config = parse_arguments().config
    assert (config.image_size, config.model.discriminator_halvings) == (96, 5)
    variables = read_discriminators(path, config)
    found = apply(build_discriminator(config), variables, *views(*PORTRAITS))["joint"]
    np.testing.assert_allclose(found, in_torch(), rtol=0, atol=NEAR)


def test_a_run_starts_from_them(tmp_path, tiny_config):
    path, workdir = write(tmp_path), tmp_path / "run"
    config = replace(
        config_of(),
        phases=PhaseConfig(0, 1, 0),
        optimizer={"discriminator_learning_rate": 1e-6},
        loop=tiny_config.loop,
        initial_discriminators=str(path),
    )
    train(workdir, config)
    abstract = abstract_train_state(config, replicated(batch_mesh(jax.devices()[:1])))
    with Checkpoints(workdir, keep=1) as checkpoints:
        step, state = checkpoints.restore_latest(abstract)
    assert step == 1
    start, end = read_discriminators(path, config)["params"], state.discriminator.params
    moved = jax.tree.map(lambda one, other: np.abs(one - other).max(), start, end)
    assert 0 < max(jax.tree.leaves(moved)) < 1e-4


def test_another_file_for_a_run_that_is_there(tmp_path, tiny_config):
    open_workdir(tmp_path / "x", tiny_config)
    with pytest.raises(UserError, match="Only a new run starts from --initial-discriminators"):
        check_workdir(tmp_path / "x", replace(tiny_config, initial_discriminators="y"))


class Code:
    def __reduce__(self):
        return print, ("ran",)


def bad_files(folder):
    """(a file that is no discriminators of this form, what is said of it)."""
    state = foreign().state_dict()
    nan = {**state, "model_gd.conv2.bias": torch.full((8,), torch.nan)}
    less = {name: x for name, x in state.items() if name != "model_ld.bn3.weight"}
    thin = {**state, "model_ld.conv3.weight": torch.zeros(16, 8, 3, 3)}
    oblong = {**state, "model_gd.linear6.weight": torch.zeros(8, 32 * 6)}
    for name, found in {
        "nan": nan,
        "less": less,
        "thin": thin,
        "oblong": oblong,
        "generator": as_trained(NormalisedLast(4)).state_dict(),
        "more": {**state, "model_ld.conv9.weight": torch.zeros(4, 4, 5, 5)},
        "empty": {**state, "model_ld.conv1.weight": torch.zeros(0, 3, 5, 5)},
        "negative": {**state, "model_gd.bn1.running_var": -torch.ones(4)},
    }.items():
        torch.save(found, folder / name)
    whole = write(folder).read_bytes()
    (folder / "half").write_bytes(whole[: len(whole) // 2])
    (folder / "code").write_bytes(pickle.dumps(Code()))
    yield "nan", "model_gd.conv2.bias has values that are not finite"
    yield "less", r"lacks model_ld.bn3.weight\."
    yield "thin", r"model_ld.conv3.weight has shape \(16, 8, 3, 3\); expected \(16, 8, 5, 5\)"
    yield "oblong", "expected 32 times a square number"
    yield "generator", "holds no discriminators that can be imported"
    yield "more", r"the file has model_ld\.conv9\.weight beside them"
    yield "empty", r"model_ld\.conv1\.weight has shape \(0, 3, 5, 5\)"
    yield "negative", "model_gd.bn1.running_var has negative values"
    yield "half", "or it is damaged"
    yield "code", "nothing in it was run"
    yield "missing", "No such file"


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_what_is_no_such_file_is_told_and_nothing_is_written(tmp_path, capsys):
    for name, message in bad_files(tmp_path):
        config = replace(config_of(), initial_discriminators=str(tmp_path / name))
        with pytest.raises(UserError, match=message):
            read_discriminators(tmp_path / name, config)
    with pytest.raises(UserError, match="No such file"):
        train(tmp_path / "run", config)
    assert not (tmp_path / "run").exists()
    assert "ran" not in capsys.readouterr().out
    with pytest.raises(UserError, match="takes this one by --initial-discriminators"):
        read_generator(tmp_path / "model_cd")
