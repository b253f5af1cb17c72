"""A folder of masks as one array that stays on the device: `--masks.kind folder:PATH`."""

from __future__ import annotations

import functools
import logging
import os
import zlib
from concurrent.futures import ThreadPoolExecutor

import cv2
import jax
import numpy as np

from glcic_jax.config.settings import Config, mask_folder
from glcic_jax.data.folder_files import list_images
from glcic_jax.errors import UserError
from glcic_jax.files.mask_reading import read_mask
from glcic_jax.imaging.folder_masks import LEAST_COVER
from glcic_jax.runtime import jobs

_MOST_BYTES = 2**31
_log = logging.getLogger("glcic_jax")


def open_masks(config: Config) -> np.ndarray | None:
    """The masks that a run's holes are made of, or None where it draws its own.

    Raises:
        UserError: as `load_masks`; or, in all processes of a job, they find different masks.
    """
    folder = mask_folder(config.masks)
    if not folder:
        return None
    masks = load_masks(folder, config.image_size)
    if jax.process_count() > 1:
        found = jobs.gather(lambda: (len(masks), zlib.crc32(masks.tobytes())))
        if len(set(found)) > 1:
            raise UserError(
                f"the processes find different masks in folder:{folder}; all machines need the same"
            )
    return masks


@functools.lru_cache(maxsize=4)
def load_masks(folder: str, image_size: int) -> np.ndarray:
    """All masks below a folder, in any form that `read_mask` reads, in the order of their names.

    Each is scaled so that its longer side is the image's, and lies in the middle of a square. What
    is no mask, or shows no hole or nothing else at that size, is left out, with a warning.

    Args:
        folder: a directory; `~` is the home.
        image_size: side S in pixels.

    Returns:
        uint8 cover_NxSxS: the share of each pixel that the hole covers, of 255. Read-only.

    Raises:
        UserError: no such folder, no masks in it, most of them can't be used, or they take more
            than 2 GB.
    """
    root = os.path.abspath(os.path.expanduser(folder))
    paths = list_images(root)
    if len(paths) * image_size**2 > _MOST_BYTES:
        raise UserError(
            f"folder:{folder} has {len(paths)} masks, more than {_MOST_BYTES:,} bytes at "
            f"{image_size} px; give fewer"
        )
    with ThreadPoolExecutor() as pool:
        read = list(pool.map(lambda path: _read(os.path.join(root, path), image_size), paths))
    masks = [mask for mask in read if isinstance(mask, np.ndarray)]
    wrong = [reason for reason in read if isinstance(reason, str)]
    if 2 * len(wrong) > len(paths):
        raise UserError(
            f"{len(wrong)} of {len(paths)} files in folder:{folder} are no masks that can be used, "
            f"for example: {wrong[0]}"
        )
    if wrong:
        _log.warning(
            "%s: left out %d of %d masks, for example: %s", root, len(wrong), len(paths), wrong[0]
        )
    stacked = np.stack(masks)
    stacked.flags.writeable = False
    return stacked


def _read(path: str, size: int) -> np.ndarray | str:
    """uint8 cover_SxS, or what is wrong with the file."""
    try:
        hole, _ = read_mask(path)
    except UserError as error:
        return str(error)
    height, width = hole.shape
    rows, columns = (max(1, round(side * size / max(height, width))) for side in (height, width))
    smaller = cv2.INTER_AREA if max(height, width) > size else cv2.INTER_LINEAR
    scaled = cv2.resize(hole.astype(np.uint8) * 255, (columns, rows), interpolation=smaller)
    cover = np.zeros((size, size), np.uint8)
    top, left = (size - rows) // 2, (size - columns) // 2
    cover[top : top + rows, left : left + columns] = scaled
    if cover.max() < LEAST_COVER:  # all of it is thinner than a pixel
        cover[cover == cover.max()] = 255
    if cover.min() >= LEAST_COVER:
        return f"{path} is a hole nearly everywhere, and at {size} px no pixel is known"
    return cover
