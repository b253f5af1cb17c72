"""Real photographs, written as image files of every kind."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image

from glcic_jax.config.settings import Config, DataConfig


@pytest.fixture(scope="session")
def photo_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 different crops of real photographs as JPEG and PNG, in two levels of directories."""
    root = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    sources = [skimage.data.chelsea(), skimage.data.coffee()]
    for i in range(40):
        source = sources[i % 2]
        top, left = (int(rng.integers(0, side - 64)) for side in source.shape[:2])
        path = root / f"album{i % 3}" / f"{i:02d}.{'png' if i % 4 else 'jpg'}"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(source[top : top + 48, left : left + 64]).save(path)
    return root


@pytest.fixture
def folder_config(photo_folder: Path) -> Config:
    """Streams the folder of photographs at 16 pixels, 8 a step, in threads."""
    data = DataConfig(
        sources=(f"folder:{photo_folder}",), batch_size=8, workers=0, resident_megabytes=0
    )
    return dataclasses.replace(Config(), image_size=16, data=data)
