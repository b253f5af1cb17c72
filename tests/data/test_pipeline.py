"""The order of training images: exact from any step, in shares, with any number of workers."""

from __future__ import annotations

import dataclasses
import itertools
import os
import signal
import subprocess
import sys
from collections import Counter

import jax._src.xla_bridge
import numpy as np
import pytest

from glcic_jax.config.settings import Config, DataConfig
from glcic_jax.data.pipeline import TrainingData, open_training
from glcic_jax.data.sources import open_split
from glcic_jax.errors import UserError


class Numbered:
    """A fixed set whose image i has the value `base` + i everywhere."""

    name = "numbered"
    fixed = True

    def __init__(self, count, base=0):
        self._count, self._base = count, base

    def __len__(self):
        return self._count

    def __getitem__(self, index):
        return np.full((8, 8, 3), (self._base + index) % 256, np.uint8)

    def sample(self, index, rng):  # noqa: ARG002
        return self[index]


class AcceleratorState(Numbered):
    """Tells, as an image, what its process may do and has done with JAX."""

    fixed = False

    def sample(self, index, rng):  # noqa: ARG002
        started = jax._src.xla_bridge.backends_are_initialized()
        platforms = jax.config.jax_platforms
        interrupted = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        values = [started, platforms == "cpu", interrupted]
        return np.broadcast_to(np.array(values, np.uint8), (8, 8, 3))


def config_of(*, batch_size=6, **data):
    return dataclasses.replace(
        Config(), image_size=8, seed=3, data=DataConfig(batch_size=batch_size, **data)
    )


def take(data, start, count, **shares):
    return np.stack(list(itertools.islice(data.batches(start, **shares), count)))


@pytest.fixture(params=["resident", "streaming"])
def data(request, folder_config):
    """Both kinds of training data, 8 images a step."""
    if request.param == "resident":
        with TrainingData(config_of(batch_size=8), [Numbered(50), Numbered(30, 50)]) as opened:
            assert opened.resident is not None
            yield opened
    else:
        with open_training(folder_config) as opened:
            assert opened.resident is None
            yield opened


def test_the_batch_of_a_step_does_not_depend_on_the_start(data):
    whole = take(data, 0, 12)
    for start in (1, 7):
        np.testing.assert_array_equal(take(data, start, 12 - start), whole[start:])
    assert len({batch.tobytes() for batch in whole}) == 12


def test_shares_of_processes_make_up_the_batch(data):
    whole = take(data, 2, 5)
    for count in (2, 4):
        shares = [take(data, 2, 5, process_index=i, process_count=count) for i in range(count)]
        assert shares[0].shape[1] == 8 // count
        np.testing.assert_array_equal(np.concatenate(shares, axis=1), whole)
    with pytest.raises(UserError, match=r"batch-size 8 does not divide by the 3 processes.* is 6"):
        data.batches(0, process_count=3)


def test_types(data):
    batch = next(data.batches(0))
    if data.resident is None:
        assert (batch.dtype, batch.shape) == (np.uint8, (8, 16, 16, 3))
    else:
        assert (batch.dtype, batch.shape) == (np.int32, (8,))
        assert data.resident.dtype == np.uint8
        assert data.resident.shape == (80, 8, 8, 3)
        np.testing.assert_array_equal(data.resident[:, 3, 4, 1], np.arange(80))
    assert data.mean_pixel.shape == (3,)
    assert 0 < data.mean_pixel.min() < data.mean_pixel.max() + 1e-6 < 1


def test_every_epoch_visits_every_image_once_in_a_new_order():
    with TrainingData(config_of(batch_size=6), [Numbered(30)]) as data:
        epochs = take(data, 0, 15).reshape(3, 30)
    for epoch in epochs:
        assert sorted(epoch) == list(range(30))
    assert len({epoch.tobytes() for epoch in epochs}) == 3


def test_seed_decides_the_order():
    orders = []
    for seed in (0, 0, 2**31 - 1):
        config = dataclasses.replace(config_of(batch_size=32), seed=seed)
        with TrainingData(config, [Numbered(64)]) as data:
            orders.append(take(data, 0, 2))
    np.testing.assert_array_equal(orders[0], orders[1])
    assert not np.array_equal(orders[0], orders[2])


def test_weights_hold():
    for weights, share in [((), 0.5), ((3.0, 1.0), 0.75), ((0.2, 0.8), 0.2)]:
        config = config_of(batch_size=20, sources=("photos", "photos"), weights=weights)
        with TrainingData(config, [Numbered(100), Numbered(100, 100)]) as data:
            drawn = take(data, 0, 50).ravel()
        assert abs(np.mean(drawn < 100) - share) < 0.01
        first, second = drawn[drawn < 100], drawn[drawn >= 100] - 100
        length = min(len(first), len(second))
        assert not np.array_equal(first[:length], second[:length]), "each source has its own order"


def test_resident_limit_and_mixing_with_a_streaming_source(folder_config):
    megabyte = TrainingData(config_of(resident_megabytes=1), [Numbered(5208)])
    assert megabyte.resident is not None
    assert TrainingData(config_of(resident_megabytes=1), [Numbered(5209)]).resident is None
    sets = [Photo16(60), *open_split(folder_config, "train")]
    with TrainingData(folder_config, sets) as mixed:
        assert mixed.resident is None
        batches = take(mixed, 0, 3)
    plain = Counter(bool((image == image[0, 0]).all()) for image in batches.reshape(-1, 16, 16, 3))
    assert plain == {True: 12, False: 12}


class Photo16(Numbered):
    """Plain images of 16 pixels."""

    def __getitem__(self, index):
        return np.full((16, 16, 3), index, np.uint8)


def test_each_visit_has_its_own_crop(folder_config):
    """More than an epoch, so images come again; no two crops are the same."""
    with open_training(folder_config) as data:
        images = take(data, 0, 16).reshape(128, -1)
    assert len({image.tobytes() for image in images}) > 120


def test_worker_processes_give_the_same_batches(folder_config):
    with open_training(folder_config) as data:
        expected = take(data, 3, 5)
    several = dataclasses.replace(folder_config.data, workers=2)
    with open_training(dataclasses.replace(folder_config, data=several)) as data:
        np.testing.assert_array_equal(take(data, 3, 5), expected)


def test_workers_keep_off_the_accelerator_and_ignore_interrupts():
    with TrainingData(config_of(workers=1), [AcceleratorState(30)]) as data:
        started, cpu_only, ignores = take(data, 0, 1)[0, 0, 0, 0]
    assert (started, cpu_only, ignores) == (0, 1, 1)


INTERRUPTED = """
import dataclasses, signal, sys
from glcic_jax.config.settings import Config, DataConfig
from glcic_jax.data.pipeline import open_training

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
    data = DataConfig(sources=(sys.argv[1],), batch_size=4, workers=1, resident_megabytes=0)
    with open_training(dataclasses.replace(Config(), data=data)) as opened:
        try:
            for step, _ in enumerate(opened.batches(0)):
                if step == 2:
                    print("running", flush=True)
        except KeyboardInterrupt:
            print("stopped", flush=True)
"""


@pytest.mark.skipif(os.name != "posix", reason="sends a signal to a process group")
def test_ctrl_c_ends_quietly(photo_folder, tmp_path):
    script = tmp_path / "interrupted.py"
    script.write_text(INTERRUPTED)
    process = subprocess.Popen(
        [sys.executable, str(script), f"folder:{photo_folder}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    try:
        assert process.stdout.readline() == "running\n"
        os.killpg(process.pid, signal.SIGINT)
        output, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert output == "stopped\n"
    assert process.returncode == 0
