"""CIFAR-100, read through TensorFlow Datasets (TFDS) and held as one array.

Reading the prepared files needs no TensorFlow; preparing them, once, does. TFDS keeps them in
`~/tensorflow_datasets`, or where the environment variable TFDS_DATA_DIR says.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np

from glcic_jax.errors import UserError

RANGES = {
    "train": ("train", 0, 50_000),
    "validation": ("test", 0, 3000),
    "test": ("test", 3000, 10_000),
}
"""Each split as (split of TFDS, first index, end)."""

PREPARE = (
    "pip install 'glcic-jax[cifar100]' && python -c \"import tensorflow_datasets as tfds; "
    "tfds.builder('cifar100').download_and_prepare(file_format='array_record')\""
)
"""The command that prepares CIFAR-100 by hand."""

_ARCHIVE = "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz"
_PNG_START = b"\x89PNG\r\n\x1a\n"


class Cifar100:
    """One split of CIFAR-100; decoded at the first access, in a second or two."""

    name = "cifar100"
    fixed = True

    def __init__(self, split: Literal["train", "validation", "test"]):
        """Find the prepared data set, or prepare it where TensorFlow is installed.

        Raises:
            UserError: it is not prepared and can't be, or is prepared in another format.
        """
        self._split = split
        self._images: np.ndarray | None = None
        self._lock = threading.Lock()
        _prepared_builder()

    def __len__(self) -> int:
        _, start, end = RANGES[self._split]
        return end - start

    def __getitem__(self, index: int) -> np.ndarray:
        """Image `index`: uint8 image_32x32x3, read-only."""
        if not 0 <= index < len(self):
            raise IndexError(f"image {index} of {len(self)}")
        with self._lock:
            if self._images is None:
                self._images = _read(*RANGES[self._split])
        return self._images[index]

    def sample(self, index: int, rng: np.random.Generator) -> np.ndarray:  # noqa: ARG002
        """The same as indexing."""
        return self[index]

    def __getstate__(self) -> dict[str, Any]:
        # A worker process reads the files again: faster than 150 MB through a pipe.
        return {"_split": self._split}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _images=None, _lock=threading.Lock())


def _read(tfds_split: str, start: int, end: int) -> np.ndarray:
    """Images start..end of a split of TFDS: uint8 image_Nx32x32x3."""
    from tensorflow_datasets import decode

    with _quiet():
        raw = decode.DeserializeMethod.RAW_BYTES
        source = _prepared_builder().as_data_source(tfds_split, deserialize_method=raw)
        records = source.__getitems__(list(range(start, end)))
    images = np.empty((end - start, 32, 32, 3), np.uint8)

    def decode_block(first: int) -> None:
        for i in range(first, min(first + 1000, len(records))):
            # The record holds the image as one PNG file. Cutting it out takes microseconds; TFDS
            # takes 0.2 ms for each record, most of it for the other fields.
            png = np.frombuffer(records[i], np.uint8)[records[i].index(_PNG_START) :]
            images[i] = np.asarray(cv2.imdecode(png, cv2.IMREAD_COLOR_RGB), np.uint8)

    with ThreadPoolExecutor() as pool:
        list(pool.map(decode_block, range(0, len(records), 1000)))
    images.flags.writeable = False
    return images


def read_labels(split: Literal["train", "validation", "test"]) -> np.ndarray:
    """int32 labels_N, 0 to 99, of a split's images in their order.

    Raises:
        UserError: as `Cifar100`.
    """
    tfds_split, start, end = RANGES[split]
    builder = _prepared_builder()
    from tensorflow_datasets import decode

    with _quiet():
        decoders = {"image": decode.SkipDecoding()}
        source = builder.as_data_source(tfds_split, decoders=decoders)
        records = source.__getitems__(list(range(start, end)))
    return np.array([record["label"] for record in records], np.int32)


def _prepared_builder() -> Any:
    """The TFDS builder of a prepared CIFAR-100.

    Raises:
        UserError: it is not prepared and can't be, or is prepared in another format.
    """
    # TensorFlow, where installed, greets with several lines unless told so before its import.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow_datasets as tfds

    with _quiet():
        builder = tfds.builder("cifar100")
        if not builder.is_prepared():
            _prepare(builder)
    formats = {kind.value for kind in builder.info.available_file_formats()}
    if "array_record" not in formats:
        raise UserError(
            f"CIFAR-100 in {builder.data_dir} has the format {', '.join(sorted(formats))}, not "
            "array_record; move it away or set TFDS_DATA_DIR to another directory, then run:\n"
            + PREPARE
        )
    return builder


def _prepare(builder: Any) -> None:
    where = f"CIFAR-100 is not prepared in {builder.data_dir}"
    if importlib.util.find_spec("tensorflow") is None:
        raise UserError(
            f"{where} and preparing it needs TensorFlow; set TFDS_DATA_DIR to a prepared copy, or "
            f"run:\n{PREPARE}"
        )
    downloads = Path(builder.data_dir).parents[1] / "downloads"
    if not any(downloads.rglob("*cifar-100-binary*.tar.gz")):
        _check_network(where)
    try:
        # TFDS builds in a directory of its own and renames it at the end, so a failure leaves
        # nothing that the next try could take for finished.
        builder.download_and_prepare(file_format="array_record")
    except Exception as error:  # TFDS documents no set of errors: network, disk, checksum, ...
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise UserError(
            f"{where} and preparing it failed: {reason[:200]}\nTo try again by hand, run: {PREPARE}"
        ) from error


def _check_network(where: str) -> None:
    """Ask for the archive before TFDS does, which retries for many minutes without a network."""
    try:
        request = urllib.request.Request(_ARCHIVE, method="HEAD")
        urllib.request.urlopen(request, timeout=20).close()
    except (OSError, urllib.error.URLError) as error:
        raise UserError(
            f"{where} and {_ARCHIVE} can't be reached ({error}); "
            "connect to the network, or set TFDS_DATA_DIR to a prepared copy"
        ) from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep TFDS from logging below the level of errors; its progress bar stays."""
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
