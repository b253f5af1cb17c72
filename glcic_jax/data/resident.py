"""Training images that are decoded once and stay on the device, where they fit.

Fixed images are one array of images; photographs one buffer of pyramids (`imaging/pyramids.py`),
out of which the compiled step cuts crops that no two visits share.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from glcic_jax.data.folder import Folder
from glcic_jax.data.sources import ImageSet
from glcic_jax.imaging.pyramids import Pyramids, build_pyramids, count_pixels

Resident = np.ndarray | Pyramids
"""uint8 image_NxSxSx3 of fixed images, or the pyramids of N photographs."""


def load_resident(sets: Sequence[ImageSet], image_size: int, most_bytes: int) -> Resident | None:
    """All training images of all sets in order, or None where they must be streamed.

    Args:
        sets: image sets, at least one.
        image_size: side S of the training images in pixels.
        most_bytes: what the images may take.
    """
    if all(part.fixed for part in sets):
        fits = sum(len(part) for part in sets) * image_size**2 * 3 <= most_bytes
        return _as_array(sets) if fits else None
    folders = [part for part in sets if isinstance(part, Folder)]
    if len(folders) < len(sets):
        return None
    sizes, total = [], 0
    for size in (part.whole_size(index) for part in folders for index in range(len(part))):
        sizes.append(size)
        total += count_pixels(*size, smallest=image_size)
        # Pixels are counted in 32 bits.
        if total * 3 > most_bytes or total >= 2**31:
            return None
    with ThreadPoolExecutor() as pool:
        photos = (photo for part in folders for photo in pool.map(part.whole, range(len(part))))
        return build_pyramids(photos, sizes, image_size)


def _as_array(sets: Sequence[ImageSet]) -> np.ndarray:
    side = sets[0][0].shape[0]
    array = np.empty((sum(len(part) for part in sets), side, side, 3), np.uint8)

    def fill(part: ImageSet, target_NxSxSx3: np.ndarray, first: int) -> None:
        for index in range(first, min(first + 256, len(part))):
            target_NxSxSx3[index] = part[index]

    with ThreadPoolExecutor() as pool:
        pending = []
        start = 0
        for part in sets:
            target = array[start : start + len(part)]
            pending += [pool.submit(fill, part, target, i) for i in range(0, len(part), 256)]
            start += len(part)
        for job in pending:
            job.result()
    return array
