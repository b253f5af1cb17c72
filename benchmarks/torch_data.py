"""Random crops of photographs as a PyTorch user loads them: a data set, workers, Pillow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from glcic_jax.data.crops import CropSettings


class RandomCrops(Dataset):
    """Decode, resize the shortest edge to a random length, cut a random square."""

    def __init__(self, paths: Sequence[str], crops: CropSettings):
        """`paths`: image files. `crops`: side and scales, as of the project's folder source."""
        self._paths, self._crops = list(paths), crops

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int) -> Tensor:
        """uint8 image_SxSx3."""
        with Image.open(self._paths[index]) as image:
            photo = image.convert("RGB")
        size, short = self._crops.image_size, min(photo.size)
        scale, left, top = torch.rand(3).tolist()
        low, high = self._crops.min_scale, self._crops.max_scale
        # As ours: a photograph is not enlarged unless it is smaller than the crop.
        edge = min(size * (low + (high - low) * scale), max(short, size))
        width, height = (max(size, round(side * edge / short)) for side in photo.size)
        photo = photo.resize((width, height), Image.Resampling.BICUBIC)
        x, y = int(left * (width - size + 1)), int(top * (height - size + 1))
        crop = photo.crop((x, y, x + size, y + size))
        return torch.frombuffer(bytearray(crop.tobytes()), dtype=torch.uint8).view(size, size, 3)


def stream(dataset: RandomCrops, batch_size: int, workers: int) -> Iterator[Tensor]:
    """uint8 image_BxSxSx3 without end, shuffled in each epoch; workers stay between epochs."""
    # Spawned, as the other side's: a fork of a process that runs JAX can hang.
    loader = DataLoader(
        dataset,
        batch_size,
        shuffle=True,
        drop_last=True,
        num_workers=workers,
        persistent_workers=workers > 0,
        multiprocessing_context="spawn" if workers else None,
    )
    while True:
        yield from loader
