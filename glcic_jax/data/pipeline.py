"""The order in which training sees images: the batch of step n is a function of (seed, n).

Each source is shuffled anew in each of its epochs, and the sources are mixed by weight. Nothing is
remembered between steps, so a run continues at any step, and any number of processes can each take
their part of every batch.
"""

from __future__ import annotations

import dataclasses
import functools
import multiprocessing
import os
import queue
import signal
import threading
import zlib
from collections.abc import Iterator, Sequence
from multiprocessing import resource_tracker
from typing import Any

import grain
import jax
import numpy as np
from absl import flags

from glcic_jax.config.settings import Config
from glcic_jax.data.resident import load_resident
from glcic_jax.data.sources import ImageSet, mean_pixel, open_split
from glcic_jax.errors import UserError
from glcic_jax.runtime import jobs


def open_training(config: Config) -> TrainingData:
    """Open the training split of the configuration's sources.

    Raises:
        UserError: a source can't be opened.
    """
    return TrainingData(config, open_split(config, "train"))


class TrainingData:
    """The training images in their order; a context manager that ends its workers.

    Sets that fit are resident: `resident` holds all images, and a batch is indices into it.
    Otherwise `resident` is None and a batch is the images themselves.
    """

    def __init__(self, config: Config, sets: Sequence[ImageSet]):
        """Prepare batches over `sets`, which stand in the order of `config.data.weights`."""
        self._config = config
        self._sets = tuple(sets)
        self._streams: list[_Stream] = []
        most_bytes = config.data.resident_megabytes * 10**6
        self.resident = load_resident(sets, config.image_size, most_bytes)
        """All training images, see `resident.Resident`, or None where batches are streamed."""

    def require_same(self) -> None:
        """Compare the training images with those of the other processes, see `require_same`."""
        require_same(self._sets)

    @functools.cached_property
    def mean_pixel(self) -> np.ndarray:
        """Mean colour of the training images: float32 of shape (3,), in [0, 1]."""
        return mean_pixel(self._sets, weights=self._config.data.weights)

    def batches(
        self, start_step: int, *, process_index: int = 0, process_count: int = 1
    ) -> Iterator[np.ndarray]:
        """Batches of the steps from `start_step` on, without end.

        Args:
            start_step: first step, counted from 0.
            process_index: which contiguous share of every batch to give.
            process_count: number of shares, which batch_size must divide by.

        Returns:
            Where resident, int32 indices_B into `resident`; else uint8 image_BxSxSx3. B is
            batch_size / process_count.

        Raises:
            UserError: batch_size does not divide by process_count.
        """
        size = self._config.data.batch_size
        if size % process_count:
            raise UserError(
                f"data.batch-size {size} does not divide by the {process_count} processes of this "
                f"run; the nearest that does is {max(1, size // process_count) * process_count}"
            )
        elements = _mixed(self._config, self._sets, images=self.resident is None)
        # The shares of all steps in a row; this process takes every process_count-th of them.
        shares = elements.batch(size // process_count)
        first = start_step * process_count + process_index
        mine = shares[first::process_count]
        if self.resident is not None:
            return (mine[step].astype(np.int32) for step in range(len(mine)))
        stream = _decode(mine, self._config.data.workers)
        self._streams.append(stream)
        return stream

    def close(self) -> None:
        """End the workers of all iterators that `batches` gave."""
        while self._streams:
            self._streams.pop().close()

    def __enter__(self) -> TrainingData:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def require_same(sets: Sequence[ImageSet]) -> None:
    """Compare these sets, by their lengths and some images, with those of a job's other processes.

    Raises:
        UserError: in all processes, if they differ.
    """
    if jax.process_count() == 1:
        return
    everywhere = jobs.gather(lambda: [_fingerprint(part) for part in sets])
    for index, prints in enumerate(everywhere):
        for part, first, other in zip(sets, everywhere[0], prints, strict=True):
            if first != other:
                raise UserError(
                    f"process {index} finds other images in {part.name} than process 0 "
                    f"({other[0]} and {first[0]} of them); all machines need the same"
                )


def _fingerprint(part: ImageSet) -> tuple[int, int]:
    count = min(16, len(part))
    sample = [part[i * len(part) // count] for i in range(count)]
    return len(part), zlib.crc32(b"".join(image.tobytes() for image in sample))


@dataclasses.dataclass(frozen=True)
class _Sample:
    """Decodes an image of a set for training."""

    images: ImageSet

    def __call__(self, index: int, rng: np.random.Generator) -> np.ndarray:
        return self.images.sample(index, rng)


def _mixed(config: Config, sets: Sequence[ImageSet], *, images: bool) -> grain.MapDataset:
    """An endless, randomly accessible sequence over all sets: images, or indices into all sets."""
    parts = []
    offset = 0
    for which, part in enumerate(sets):
        # A seed for each source: sets of the same length must not share their order.
        seed = int(np.random.SeedSequence((config.seed, which)).generate_state(1)[0])
        start = 0 if images else offset
        order = grain.MapDataset.range(start, start + len(part)).seed(seed).shuffle()
        parts.append((order.random_map(_Sample(part)) if images else order).repeat())
        offset += len(part)
    weights = list(config.data.weights) or None
    return parts[0] if len(parts) == 1 else grain.MapDataset.mix(parts, weights)


def _decode(batches: grain.MapDataset, workers: int) -> _Stream:
    """An iterator over `batches` in order that decodes ahead, in threads or processes."""
    threads = 1 if workers else min(8, os.cpu_count() or 1)
    read = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=2 * threads)
    stream = batches.to_iter_dataset(read)
    if workers:
        if not flags.FLAGS.is_parsed():
            # Grain reads command-line flags of absl, which this program does not use.
            flags.FLAGS.mark_as_parsed()
        options = grain.MultiprocessingOptions(num_workers=workers, per_worker_buffer_size=2)
        stream = stream.mp_prefetch(options, worker_init_fn=_init_worker)
    return _Stream(stream)


class _Stream:
    """Iterates over an endless data set of Grain, one batch ahead in a thread; starts at once.

    Ctrl-C in a terminal reaches every process, and the main process alone decides what it means.
    Workers inherit the blocked signal from the thread that starts them, so that not even their
    imports are interrupted. Nor is Grain here: Python interrupts the main thread alone, which only
    waits for the other one. It waits in queues written in C: an interrupt inside a lock of Python's
    own, as futures have, could leave it locked for ever.
    """

    def __init__(self, dataset: grain.IterDataset):
        self._wanted: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._taken: queue.SimpleQueue[np.ndarray | BaseException] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._serve, args=(dataset,), daemon=True)
        self._thread.start()
        self._wanted.put(True)

    def __iter__(self) -> _Stream:
        return self

    def __next__(self) -> np.ndarray:
        batch = self._taken.get()
        self._wanted.put(True)
        if isinstance(batch, BaseException):
            raise batch
        return batch

    def _serve(self, dataset: grain.IterDataset) -> None:
        """Take a batch whenever one is wanted; an error is passed on, then and ever after."""
        _block_interrupts()
        stream: Any = None
        failure: BaseException | None = None
        while self._wanted.get():
            try:
                stream = iter(dataset) if stream is None else stream
                # A copy: workers deliver in shared memory, which must not outlive them.
                self._taken.put(failure or np.array(next(stream)))
            except BaseException as error:
                failure = error
                self._taken.put(error)
        if stream is not None:
            stream.close()

    def close(self) -> None:
        """End the workers."""
        self._wanted.put(False)
        self._thread.join()


def _block_interrupts() -> None:
    """Block SIGINT in this thread and all that it starts."""
    if hasattr(signal, "pthread_sigmask"):  # not on Windows
        # Were this thread to start Python's tracker later, that would unblock the signal again.
        resource_tracker.ensure_running()
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})


def _init_worker(index: int, count: int) -> None:  # noqa: ARG001
    """Runs first in each worker process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Workers only decode; should anything in them touch JAX, it must not take the accelerator.
    jax.config.update("jax_platforms", "cpu")
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End this worker when the main process is gone, however it ended: a killed one can't tell."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)
