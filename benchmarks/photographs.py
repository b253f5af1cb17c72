"""Real images to measure with: crops of the photographs that come with scikit-image."""

from __future__ import annotations

import dataclasses

import numpy as np

from glcic_jax.config.settings import Config
from glcic_jax.data.sources import open_split


def training_crops(config: Config, count: int) -> np.ndarray:
    """uint8 image_NxSxSx3, the first `count` training crops of the bundled photographs."""
    data = dataclasses.replace(config.data, sources=("photos",), weights=())
    (photos,) = open_split(dataclasses.replace(config, data=data), "train")
    return np.stack([photos[index] for index in range(min(count, len(photos)))])


def square_photograph(side: int) -> np.ndarray:
    """uint8 image_SxSx3: the astronaut, enlarged or reduced."""
    import skimage.data
    from PIL import Image

    photo = Image.fromarray(skimage.data.astronaut())
    return np.asarray(photo.resize((side, side), Image.Resampling.BICUBIC))
