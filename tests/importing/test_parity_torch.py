"""Imported generators against PyTorch: the same pixels, and no array that could be another."""

from __future__ import annotations

import functools
import json

import jax
import numpy as np
import pytest
import skimage.data

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install '.[torch]'")

from foreign_networks import MEAN, Centred, NormalisedLast, as_trained  # noqa: E402
from torch7_files import as_torch7, to_bytes  # noqa: E402

from glcic_jax import import_generator, inpaint_fn  # noqa: E402
from glcic_jax.importing.import_generator import read_generator  # noqa: E402
from glcic_jax.importing.known_files import IIZUKA, OTENIM, variables_of  # noqa: E402
from glcic_jax.importing.state_dicts import read_state_dict  # noqa: E402

WIDTH = 8
NEAR = 1e-4
FORMS = ("otenim", "otenim on several devices", "yangwangx", "torch7")


@functools.cache
def foreign(form: str):
    return as_trained((NormalisedLast if form.startswith("otenim") else Centred)(WIDTH))


def write(form: str, folder):
    """The file of a form, and the file with its mean pixel or None."""
    network, path = foreign(form), folder / form
    settings = folder / "config.json"
    settings.write_text(json.dumps({"mpv": MEAN, "cn_input_size": 160}))
    state = network.state_dict()
    if form == "torch7":
        path.write_bytes(to_bytes(as_torch7(network, MEAN)))
        return path, None
    if form == "otenim":
        torch.save(state, path)
        return path, None  # config.json beside it is found
    if form == "yangwangx":
        torch.save({"model": state}, path)
    else:
        torch.save({f"module.{name}": tensor for name, tensor in state.items()}, path)
    return path, settings


@pytest.fixture(scope="module")
def imported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("foreign")
    return {form: import_generator(*write(form, folder)) for form in FORMS}


def photographs(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """float32 image_2xHxWx3 in [0, 1], and mask_2xHxWx1 with holes inside and at the border."""
    astronaut, cat = skimage.data.astronaut()[40:, 150:], skimage.data.chelsea()[20:, 60:]
    image = np.stack([photo[:height, :width] for photo in (astronaut, cat)]).astype(np.float32)
    mask = np.zeros((2, height, width, 1), np.float32)
    mask[0, height // 3 : height // 2, width // 4 : width // 2] = 1
    mask[1, -9:, : width // 3] = 1
    mask[1, 3:7, -5:] = 1
    return image / 255, mask


def in_torch(network, image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """float32 output_BxHxWx3 of a network of PyTorch."""
    with torch.inference_mode():
        tensors = (torch.from_numpy(np.moveaxis(array, 3, 1).copy()) for array in (image, mask))
        return np.moveaxis(network(*tensors).numpy(), 1, 3)


@functools.partial(jax.jit, static_argnums=0)
def whole(generator, variables, image, mask):
    return generator.apply(variables, image, mask, train=False)


@pytest.mark.parametrize("form", FORMS)
def test_all_pixels_of_the_whole_output_agree(form, imported):
    generator, variables = imported[form]
    np.testing.assert_array_equal(variables["constants"]["mean_pixel"], np.float32(MEAN))
    for size in ((72, 80), (40, 64)):
        image, mask = photographs(*size)
        wanted = in_torch(foreign(form), image, mask)
        assert wanted.std() > 0.05, "the network has something to say"
        found = whole(generator, variables, image, mask)
        np.testing.assert_allclose(found, wanted, rtol=0, atol=NEAR)


@pytest.mark.parametrize("form", ["otenim", "torch7"])
@pytest.mark.parametrize("size", [(48, 64), (256, 300)])
def test_windows_complete_as_the_whole(form, size, imported):
    """300 pixels: more than a window, since 153 to each side of a hole are read."""
    image, mask = photographs(*size)
    wanted = np.where(mask > 0, in_torch(foreign(form), image, mask), image)
    completed = inpaint_fn(*imported[form], image, mask)
    np.testing.assert_allclose(completed, wanted, rtol=0, atol=NEAR)
    np.testing.assert_array_equal(completed[mask[..., 0] == 0], image[mask[..., 0] == 0])


def mutations(arrays):
    """(what, arrays) with one thing wrong: rolled, transposed, mirrored, or exchanged."""
    names = sorted(arrays)
    for place, name in enumerate(names):
        array = arrays[name]
        yield f"{name} rolled", {name: np.roll(array, 1, 0)}
        if array.ndim == 4:
            yield f"{name} transposed", {name: array.swapaxes(2, 3)}
            yield f"{name} mirrored", {name: array[:, :, ::-1, ::-1]}
            if array.shape[0] == array.shape[1]:
                yield f"{name} in for out", {name: array.swapaxes(0, 1)}
        for other in names[place + 1 :]:
            if arrays[other].shape == array.shape and other[-4:] == name[-4:]:
                yield f"{name} as {other}", {name: arrays[other], other: array}
                break


@pytest.mark.parametrize(("form", "kind"), [("otenim", OTENIM), ("yangwangx", IIZUKA)])
def test_any_array_that_is_another_shows(form, kind, imported, tmp_path):
    generator, variables = imported[form]
    arrays = read_state_dict(write(form, tmp_path)[0])
    # Large enough for the outer taps of rate 16 at a quarter of the size.
    image, mask = (array[:1] for array in photographs(72, 80))
    wanted = in_torch(foreign(form), image, mask)
    unseen, count = [], 0
    for what, changed in mutations(arrays):
        wrong = variables_of(
            form, arrays | changed, kind, generator.layers(), variables["constants"]["mean_pixel"]
        )
        count += 1
        if np.abs(whole(generator, wrong, image, mask) - wanted).max() < 10 * NEAR:
            unseen.append(what)
    assert count > 200
    assert unseen == []


def test_the_configuration_is_that_of_the_file(tmp_path):
    config = read_generator(*write("otenim", tmp_path)).config
    assert (config.image_size, config.model.width) == (160, WIDTH)
    assert config.model.normalisation == "after_relu"
    config = read_generator(*write("yangwangx", tmp_path)).config
    assert (config.model.contrast, config.model.normalisation) == ("centred", "before_relu")
