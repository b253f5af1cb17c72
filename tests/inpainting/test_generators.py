"""Generators as files: the same results, and clear words for everything else."""

from __future__ import annotations

import os
from importlib import resources

import chex
import jax
import numpy as np
import pytest
import skimage.data
from PIL import Image
from support import initialise, replace

from glcic_jax import inpaint_fn, load_generator
from glcic_jax.commands import export
from glcic_jax.config.settings import Config, ModelConfig, PhaseConfig
from glcic_jax.errors import UserError
from glcic_jax.export.formats import Source
from glcic_jax.inpainting import generator_files
from glcic_jax.inpainting.generators import find_run, load_run
from glcic_jax.networks.registry import build_generator
from glcic_jax.training import loop
from glcic_jax.training.initial import initial_variables
from glcic_jax.training.loop import train


@pytest.fixture(scope="module")
def config():
    return Config(model=ModelConfig(width=4, dilations=(2,)))


@pytest.fixture(scope="module")
def variables(config):
    image, mask = np.zeros((1, 32, 32, 3), np.float32), np.zeros((1, 32, 32, 1), np.float32)
    fresh = initialise(build_generator(config), jax.random.key(0), image, mask)
    # The output layer starts at zero; the noise must show in it without saturating the image.
    noise = np.random.default_rng(0)
    return jax.tree.map(lambda leaf: leaf + 0.02 * noise.normal(size=leaf.shape), fresh)


def test_a_file_completes_as_what_was_saved(config, variables, photo_crops, tmp_path):
    path = tmp_path / "generator.npz"
    generator_files.save_generator(path, config, variables, {"step": 3})
    mask = np.zeros(photo_crops.shape[:3], bool)
    mask[:, 5:20, 8:17] = True
    want = inpaint_fn(build_generator(config), variables, photo_crops, mask)
    assert 0 < np.median(want[mask]) < 255
    np.testing.assert_array_equal(inpaint_fn(*load_generator(path), photo_crops, mask), want)
    assert generator_files.load_file(path)[0] == config


@pytest.mark.parametrize("steps", [7, [3, 9]])
def test_either_kind_of_file_tells_how_long_its_training_was(config, variables, tmp_path, steps):
    for ending, save in (
        ("npz", generator_files.save_generator),
        ("safetensors", generator_files.save_generator_as_safetensors),
    ):
        path = tmp_path / f"x.{ending}"
        save(path, config, variables, {"step": steps})
        assert find_run(path).step == (7 if steps == 7 else 9)


def test_what_is_no_generator_is_refused(variables, tmp_path):
    path = tmp_path / "generator.npz"
    for content in (b"", b"text", b"PK\x03\x04 cut short"):
        path.write_bytes(content)
        with pytest.raises(UserError, match="is not a generator that"):
            load_generator(path)
    with path.open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(UserError, match="is not a generator that"):
        load_generator(path)
    other = Config(model=ModelConfig(width=8, dilations=(2,)))
    generator_files.save_generator(path, other, variables, {})
    with pytest.raises(UserError, match="are not those of the network"):
        load_generator(path)


def test_damage_is_told(config, variables, tmp_path):
    """Wrong bytes are refused; or they stood in a date of the archive, and change nothing."""
    path = tmp_path / "generator.npz"
    generator_files.save_generator(path, config, variables, {})
    sound = path.read_bytes()
    refused = 0
    for place in range(60, len(sound), len(sound) // 40):
        damaged = bytearray(sound)
        damaged[place : place + 8] = bytes(value ^ 0xFF for value in sound[place : place + 8])
        path.write_bytes(bytes(damaged))
        try:
            _, loaded = load_generator(path)
        except UserError:
            refused += 1
        else:
            chex.assert_trees_all_equal(loaded, variables)
    assert refused > 20


def test_a_file_of_a_later_version_says_so(config, variables, tmp_path, monkeypatch):
    path = tmp_path / "generator.npz"
    later = generator_files.to_json(config).replace('"image_size"', '"image_sides"')
    monkeypatch.setattr(generator_files, "to_json", lambda _: later)
    generator_files.save_generator(path, config, variables, {})
    with pytest.raises(UserError, match="unknown field image_sides; it was written by another"):
        load_generator(path)


def test_a_file_is_kept_where_it_cannot_be_replaced(config, variables, tmp_path):
    path = tmp_path / "none" / "generator.npz"
    with pytest.raises(UserError, match="can't write"):
        generator_files.save_generator(path, config, variables, {})
    path = tmp_path / "no_suffix"
    generator_files.save_generator(path, config, variables, {})
    chex.assert_trees_all_equal(load_generator(path)[1], variables)
    assert [entry.name for entry in tmp_path.iterdir()] == ["no_suffix"]


def test_unknown_names_list_the_known_ones():
    with pytest.raises(UserError, match=r"no pretrained generator 'cifar10'.*: cifar100"):
        load_generator("cifar10")
    with pytest.raises(UserError, match=r"config\.json is missing"):
        load_generator("no/such/run")


def test_the_packages_generator_beats_its_own_start(photo_crops):
    """On real crops, none of them CIFAR's, its fill is nearer to the truth than the smooth one."""
    from glcic_jax.imaging.classical import classical_fills

    assert generator_files.names() == ["cifar100", "photographs"]
    generator, variables = load_generator("cifar100")
    mask = np.zeros(photo_crops.shape[:3], np.float32)
    mask[:, 9:21, 10:20] = 1
    completed = inpaint_fn(generator, variables, photo_crops, mask)
    blanked = np.where(mask[..., None] > 0, np.uint8(0), photo_crops)
    mean_pixel = classical_fills(variables["constants"]["mean_pixel"])["mean_pixel"]
    plain = mean_pixel(blanked, mask[..., None])
    errors = [
        np.square(image.astype(float) - photo_crops)[mask > 0].mean()
        for image in (completed, plain)
    ]
    assert errors[0] < errors[1] / 3


def test_a_run_starts_from_a_file_and_goes_on_without_it(config, variables, tmp_path, monkeypatch):
    path, workdir = tmp_path / "generator.npz", tmp_path / "run"
    generator_files.save_generator(path, config, variables, {})
    short = replace(
        config,
        initial=str(path),
        model={"discriminator_width": 4, "dense_features": 8},
        data={"batch_size": 4},
        optimizer={"learning_rate": 1e-12},
        phases=PhaseConfig(1, 0, 0),
        loop={"validation_images": 4},
    )
    read: list[Config] = []
    monkeypatch.setattr(
        loop,
        "initial_variables",
        lambda config: (read.append(config), initial_variables(config))[1],
    )
    train(workdir, short)
    assert len(read) == 1
    _, loaded = load_generator(workdir)
    for kind in ("params", "constants"):
        chex.assert_trees_all_close(loaded[kind], variables[kind], atol=1e-6)
    path.unlink()
    train(workdir, short)
    saved = workdir / "config.json"
    text = saved.read_text()
    saved.write_text(text.replace('"photos"', '"folder:elsewhere"'))
    assert load_run(workdir).config.data.sources == ("folder:elsewhere",), "images may move"
    saved.write_text(text.replace('"width": 4', '"width": 8', 1))
    with pytest.raises(UserError, match=r"names another network .*model\.width: 4 -> 8"):
        load_generator(workdir)


def test_another_network_is_no_start(config, variables, tmp_path):
    path = tmp_path / "generator.npz"
    generator_files.save_generator(path, config, variables, {})
    wider = replace(config, initial=str(path), model={"width": 6})
    with pytest.raises(UserError, match=r"model\.width: 4 -> 6"):
        train(tmp_path / "run", wider)
    with pytest.raises(UserError, match="nothing"):
        train(tmp_path / "run", replace(config, initial="nothing"))
    assert not (tmp_path / "run").exists()


def test_the_mean_of_several_runs(config, variables):
    def a_run(factor, run_config=config):
        scaled = jax.tree.map(lambda leaf: leaf * factor, variables)
        return Source(run_config, build_generator(run_config), scaled, {"step": factor})

    mean = export.mean_of([a_run(1), a_run(3)], ("a", "b"))
    assert mean.notes == {"step": [1, 3]}
    found = mean.variables
    assert {leaf.dtype for leaf in jax.tree.leaves(found)} == {np.dtype(np.float32)}
    chex.assert_trees_all_close(found, a_run(2).variables, rtol=1e-6)
    other = replace(config, model={"dilations": (4,)})
    with pytest.raises(UserError, match=r"a has another network than b.*dilations"):
        export.mean_of([a_run(1, other), a_run(1)], ("a", "b"))


@pytest.mark.parametrize("source", ["~/mine.npz", "~/run"])
def test_a_home_directory_is_found(source, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    with (resources.files("glcic_jax") / "weights" / "cifar100.npz").open("rb") as file:
        (tmp_path / "mine.npz").write_bytes(file.read())
    if source == "~/run":
        with pytest.raises(UserError, match=f"no training run in {tmp_path}/run"):
            load_generator(source)
    else:
        assert load_generator(source)[0] == load_generator("cifar100")[0]


def test_a_photograph_is_no_generator(tmp_path):
    path = tmp_path / "photo.jpg"
    Image.fromarray(skimage.data.chelsea()).save(path)
    with pytest.raises(UserError, match=r"is no \.npz file") as caught:
        load_generator(path)
    assert "pickle" not in str(caught.value)


FORK = """
import os, signal, sys
import numpy as np
from glcic_jax import UserError, inpaint_fn, load_generator
image, mask = np.full((64, 64, 3), 90, np.uint8), np.zeros((64, 64), bool)
mask[20:24, 20:24] = True
if sys.argv[1] == "used":
    model = load_generator("cifar100")
    inpaint_fn(*model, image, mask)
child = os.fork()
if child == 0:
    signal.alarm(120)
    try:
        if sys.argv[1] == "new":
            model = load_generator("cifar100")
        inpaint_fn(*model, image, mask)
        print("filled", flush=True)
    except UserError as error:
        print(error, flush=True)
    os._exit(0)
status = os.waitpid(child, 0)[1]
print("status", status)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.parametrize(("parent", "said"), [("used", "would hang"), ("new", "filled")])
def test_a_forked_child_works_or_says_at_once_that_it_can_not(run_python, parent, said):
    done = run_python("-c", FORK, parent)
    assert said in done.stdout
    assert "status 0" in done.stdout
    if parent == "used":
        assert 'get_context("spawn")' in done.stdout


@pytest.mark.parametrize("name", generator_files.names())
def test_the_packages_own_files_hold_the_arrays_of_their_networks(name):
    config, generator, variables = generator_files.load_pretrained(name)
    generator_files.require_variables_of(generator, config, variables, name)
    del variables["params"]["output"]
    with pytest.raises(UserError, match="are not those of the network"):
        generator_files.require_variables_of(generator, config, variables, name)
