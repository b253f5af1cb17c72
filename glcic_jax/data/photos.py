"""The bundled source: crops of the real colour photographs in scikit-image's package.

Nothing is downloaded. The splits share no photograph, so a crop never meets its neighbour in
another split.
"""

from __future__ import annotations

import functools
import importlib.resources
import math
from typing import Literal

import numpy as np
from PIL import Image

from glcic_jax.data.crops import CropSettings, draw_crop, random_edge, resize_box, square_box
from glcic_jax.errors import UserError

SHARES = {
    "train": {
        "chelsea.png": 3,
        "motorcycle_left.png": 2,
        "motorcycle_right.png": 2,
        "hubble_deep_field.jpg": 1,
        "retina.jpg": 1,
    },
    "validation": {"rocket.jpg": 1, "ihc.png": 1},
    "test": {"astronaut.png": 1, "coffee.png": 1},
}
"""Photographs of each split, and how often each is cropped relative to the others. The two of the
motorcycle show one scene; those of a telescope and an eye are mostly plain ground. Validation has
a smooth photograph, the rocket's sky, and a busy one, stained tissue under a microscope."""

PHOTO_SCALES = (4.0, 16.0)
"""Smallest and largest shortest edge after the random resize, in units of the image side. There are
few photographs, so the crops are cut near their own scale, where they differ most; much smaller,
they are mostly texture that nothing can predict."""

COUNTS = {"train": 16384, "validation": 500, "test": 1000}
"""Crops of each split."""


class Photos:
    """A fixed number of crops; crop i is a function of the split, i and the crop settings."""

    name = "photos"

    def __init__(
        self,
        split: Literal["train", "validation", "test"],
        crops: CropSettings,
        *,
        fixed_bytes: int,
    ):
        """Open one split.

        Args:
            split: train, validation or test.
            crops: side and scales of the crops.
            fixed_bytes: training crops that take more than this together are not fixed: every
                visit then cuts a new crop.

        Raises:
            UserError: the installed scikit-image has not all photographs.
        """
        self._split = split
        self._crops = crops
        total = COUNTS[split] * crops.image_size**2 * 3
        self.fixed = split != "train" or total <= fixed_bytes
        shares = SHARES[split].items()
        self._files = tuple(file for file, share in shares for _ in range(share))
        for file in self._files:
            _levels(file)

    def __len__(self) -> int:
        return COUNTS[self._split]

    def __getitem__(self, index: int) -> np.ndarray:
        """Crop `index`: uint8 image_SxSx3."""
        if not 0 <= index < len(self):
            raise IndexError(f"crop {index} of {len(self)}")
        # The first number keeps the splits' sequences apart.
        return self._crop(np.random.default_rng((list(COUNTS).index(self._split), index)))

    def sample(self, index: int, rng: np.random.Generator) -> np.ndarray:
        """Crop `index` where fixed, else a new crop drawn from `rng`: uint8 image_SxSx3."""
        return self[index] if self.fixed else self._crop(rng)

    def _crop(self, rng: np.random.Generator) -> np.ndarray:
        levels = _levels(self._files[rng.integers(len(self._files))])
        short = min(levels[0].size)
        draw = draw_crop(rng)
        shown = self._crops.image_size / random_edge(short, self._crops, draw)
        # A part that is far larger than the crop is read from a reduced copy, because the resize
        # filter's cost grows with it. At least 2 pixels for each of the crop's are kept.
        surplus = shown * short / (2 * self._crops.image_size)
        level = min(len(levels) - 1, max(0, math.floor(math.log2(surplus))))
        photo = levels[level]
        box = square_box(photo.size, shown * min(photo.size), draw.left, draw.top)
        return resize_box(photo, box, self._crops.image_size)


@functools.cache
def _levels(file: str) -> tuple[Image.Image, ...]:
    """A photograph as RGB, and its reductions by 2, 4 and 8."""
    try:
        with (importlib.resources.files("skimage") / "data" / file).open("rb") as stream:
            photo = Image.open(stream).convert("RGB")
    except (FileNotFoundError, ModuleNotFoundError) as error:
        raise UserError(
            f"the photograph {file} is not in the installed scikit-image; "
            "run: pip install --force-reinstall 'scikit-image>=0.26'"
        ) from error
    return (photo, *(photo.reduce(factor) for factor in (2, 4, 8)))
