"""A small generator that does all that the package's own do, and photographs with holes for it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
import skimage.data
from PIL import Image
from support import ROOT, initialise

from glcic_jax import inpaint_fn
from glcic_jax.config.settings import Config, ModelConfig
from glcic_jax.export.formats import Source
from glcic_jax.networks.registry import build_generator

EXAMPLES = ROOT / "examples"


class Case(NamedTuple):
    """Float photographs in [0, 1], NHWC, and their holes."""

    image_BxHxWx3: np.ndarray
    mask_BxHxWx1: np.ndarray


def make_source(**model) -> Source:
    """A generator whose weights are noise: whatever a layer does shows in the image."""
    config = Config(model=ModelConfig(width=4, **model))
    generator = build_generator(config)
    image, mask = np.zeros((1, 32, 32, 3), np.float32), np.zeros((1, 32, 32, 1), np.float32)
    fresh = initialise(generator, jax.random.key(0), image, mask)
    noise = np.random.default_rng(0)

    def shaken(path, leaf):
        name = jax.tree_util.keystr(path)
        spread = 0.02 if "output" in name else 0.1
        values = np.asarray(leaf) + spread * noise.normal(size=leaf.shape)
        return np.abs(values).astype(np.float32) if "var" in name else values.astype(np.float32)

    return Source(config, generator, jax.tree_util.tree_map_with_path(shaken, fresh), {"step": 7})


def make_case(height: int, width: int, count: int = 1, seed: int = 0) -> Case:
    """Windows of a photograph with a deep hole, one at the border, a scratch and single pixels."""
    photo = skimage.data.astronaut().astype(np.float32) / 255
    corners = [(20 + 90 * number, 160 + 40 * number) for number in range(count)]
    images = np.stack([photo[y : y + height, x : x + width] for y, x in corners])
    mask = np.zeros((count, height, width, 1), np.float32)
    mask[0, height // 4 : height * 3 // 4, width // 4 : width // 2] = 1
    mask[-1, : height // 5, -(width // 5) :] = 1
    mask[:, height // 2, width // 3 :] = 1
    mask[np.random.default_rng(seed).random(mask.shape) < 0.02] = 1
    mask[0, 0, 0] = 0
    return Case(images, mask)


def save_pictures(folder: Path) -> None:
    """photo.png and mask.png, which the examples read."""
    image, mask = (np.round(255 * values[0]).astype(np.uint8) for values in make_case(45, 62))
    Image.fromarray(image).save(folder / "photo.png")
    Image.fromarray(mask[..., 0]).save(folder / "mask.png")


def example_arguments(folder: Path, model: Path, output: str) -> list[str]:
    """What each example wants to be told."""
    return [str(model), *(str(folder / name) for name in ("photo.png", "mask.png", output))]


def check_picture(folder: Path, output: str, source: Source) -> None:
    """It is what the package fills; one level of 255 off at most, where rounding fell otherwise."""
    photo, mask, found = (
        np.asarray(Image.open(folder / name)) for name in ("photo.png", "mask.png", output)
    )
    found = found[..., :3].astype(int)
    want = inpaint_fn(source.generator, source.variables, photo, mask > 127)
    np.testing.assert_array_equal(found[mask == 0], photo[mask == 0])
    difference = np.abs(found - want)
    assert difference.max() <= 1
    assert (difference > 0).mean() < 1e-3
    assert np.abs(found - photo).max() > 30
