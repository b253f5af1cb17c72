"""Images a second of the folder source, against a PyTorch DataLoader; how long training waits.

Both decode the same photographs, resize the shortest edge to a random length and cut a random
square, with Pillow, in as many worker processes. Give a folder of real photographs: what decoding
costs depends on them.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks import report
from benchmarks.extras import require_torch
from glcic_jax.commands.command_line import parse, run
from glcic_jax.config.checks import check
from glcic_jax.config.presets import preset
from glcic_jax.config.settings import Config, DataConfig

if TYPE_CHECKING:
    from benchmarks.timing import Samples
    from glcic_jax.data.pipeline import TrainingData

_OURS, _THEIRS = "glcic_jax", "PyTorch"
_SETTLE_SECONDS = 3.0
_DECODED = 200


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Images a second from a folder of photographs, side by side with a PyTorch DataLoader."""

    folder: str
    """Folder of photographs, as data.sources folder:PATH."""
    image_size: int = 256
    """Side of the crops in pixels."""
    batch_size: int = 16
    """Images in a batch."""
    workers: int = 2
    """Worker processes of each side."""
    batches: int = 40
    """Batches in each turn."""
    rounds: int = 5
    """Turns of each side."""
    train_image_size: int = 64
    """Side of the images of the training whose waits are measured; preset photos."""
    train_batch_size: int = 64
    """Batch of that training."""
    train_steps: int = 20
    """Steps of that training in each turn; 0 leaves it out."""
    json: Path | None = None
    """File to write all samples to."""


def main() -> None:
    """Measure, print tables, write JSON."""
    arguments = parse(Arguments, description=Arguments.__doc__)
    report.check_output(arguments.json)
    report.check_counts(arguments, "workers", "batches", "rounds")
    streaming = _config(arguments, arguments.image_size, arguments.batch_size)
    training = _config(arguments, arguments.train_image_size, arguments.train_batch_size)
    from glcic_jax.data.sources import open_split

    open_split(streaming, "train")  # complains of a folder without photographs
    require_torch()
    import jax

    from glcic_jax.runtime import devices

    jax.config.update("jax_platforms", "cpu")
    devices.set_cpu_devices(training.loop.cpu_devices)
    devices.check_batch(training.data.batch_size, devices.batch_mesh())
    result = {"loading": _loading(streaming, arguments)}
    _publish_loading(result["loading"], arguments)
    if arguments.train_steps:
        result["waiting"] = _waiting(training, arguments)
        _publish_waiting(result["waiting"], arguments)
    report.write_json(arguments.json, result)


def _config(arguments: Arguments, image_size: int, batch_size: int) -> Config:
    data = DataConfig(
        sources=(f"folder:{arguments.folder}",), batch_size=batch_size, workers=arguments.workers
    )
    config = dataclasses.replace(preset("photos"), image_size=image_size, data=data)
    check(config)
    return config


# --- Loading alone ----------------------------------------------------------------------------


def _loading(config: Config, arguments: Arguments) -> dict[str, Any]:
    """Both sides' images a second with nothing else to do."""
    from benchmarks.timing import alternate
    from benchmarks.torch_data import RandomCrops, stream
    from glcic_jax.data.crops import CropSettings
    from glcic_jax.data.pipeline import open_training

    paths = _paths(config)
    limit = report.cores() * _decoded_a_second(paths, config)
    crops = CropSettings(config.image_size, config.data.min_scale, config.data.max_scale)
    size = config.data.batch_size
    with open_training(config) as ours:
        theirs = stream(RandomCrops(paths, crops), size, arguments.workers)
        batches: dict[str, Iterator[Any]] = {_OURS: ours.batches(0), _THEIRS: theirs}
        # What the workers had ready when a turn begins was not made in that turn. Grain holds up to
        # six batches for each worker, counting its queues; a DataLoader two.
        ready = 8 * arguments.workers
        samples = alternate(
            {name: functools.partial(_take, it) for name, it in batches.items()},
            rounds=arguments.rounds,
            calls=arguments.batches,
            prepare={name: functools.partial(_take, it, ready) for name, it in batches.items()},
            settle_seconds=_SETTLE_SECONDS,
        )
    return {
        "photographs": len(paths),
        "image_size": config.image_size,
        "limit": limit,
        "samples": {name: sample.record() for name, sample in samples.items()},
        **{name: dataclasses.asdict(sample.rate(size)) for name, sample in samples.items()},
    }


def _take(batches: Iterator[Any], count: int) -> None:
    for _ in itertools.islice(batches, count):
        pass


def _paths(config: Config) -> list[str]:
    """Absolute paths of the training photographs."""
    from glcic_jax.data.folder_files import split_paths

    root = os.path.abspath(os.path.expanduser(config.data.sources[0].removeprefix("folder:")))
    return [os.path.join(root, path) for path in split_paths(root, "train")]


def _decoded_a_second(paths: list[str], config: Config) -> float:
    """Photographs that one core decodes in a second, as small as the smallest crop allows."""
    from PIL import Image

    chosen = paths[:: max(1, len(paths) // _DECODED)]
    edge = config.image_size * config.data.min_scale
    started = time.perf_counter()
    for path in chosen:
        with Image.open(path) as image:
            short = min(image.size)
            width, height = (int(2 * edge * side / short) + 1 for side in image.size)
            image.draft(None, (width, height))
            image.load()
    return len(chosen) / (time.perf_counter() - started)


def _publish_loading(result: dict[str, Any], arguments: Arguments) -> None:
    from benchmarks.timing import Spread

    ours, theirs = Spread(**result[_OURS]), Spread(**result[_THEIRS])
    rows = [
        (
            name,
            report.spread(spread),
            report.number(ours.median / theirs.median) if name == _OURS else "",
            report.number(result["limit"]),
            f"{spread.median / result['limit']:.0%}",
            report.number(result["samples"][name]["first_seconds"]),
        )
        for name, spread in ((_OURS, ours), (_THEIRS, theirs))
    ]
    report.publish(
        f"Crops of {arguments.image_size} px from {result['photographs']} photographs, "
        f"{arguments.workers} workers on {report.cores()} cores: median (lowest..highest)",
        ("loader", "images/s", "ratio", "limit images/s", "of limit", "first batch, s"),
        rows,
        notes=("limit: decoding alone, on every core",),
    )


# --- Training that waits --------------------------------------------------------------------


def _waiting(config: Config, arguments: Arguments) -> dict[str, Any]:
    """Completion steps fed by the folder source, and the same steps on images at hand."""
    from benchmarks.timing import Spread, alternate
    from glcic_jax.data.pipeline import open_training

    shares: list[float] = []
    with open_training(config) as data:
        contenders = _training_runs(config, data, shares)
        samples = alternate(
            contenders,
            rounds=arguments.rounds,
            calls=arguments.train_steps,
            settle_seconds=_SETTLE_SECONDS,
        )
    # The last one of each round; those before it belong to the warm-up.
    measured = shares[-arguments.rounds :]
    return {
        "image_size": config.image_size,
        "batch_size": config.data.batch_size,
        "wait_share": dataclasses.asdict(Spread.of(measured)),
        "samples": {name: sample.record() for name, sample in samples.items()},
        **{name: _rate(sample, config) for name, sample in samples.items()},
    }


def _rate(samples: Samples, config: Config) -> dict[str, Any]:
    return dataclasses.asdict(samples.rate(config.data.batch_size))


def _training_runs(config: Config, data: TrainingData, shares: list[float]) -> dict[str, Any]:
    """Two ways to run steps; the streamed one notes the share of its time spent waiting."""
    import jax

    from benchmarks import stepping
    from glcic_jax.runtime import devices

    mesh, state, step = stepping.start(config, "completion", data.mean_pixel)
    batches = data.batches(0)
    kept = np.array(next(batches))

    def steps(count: int, streamed: bool) -> None:
        nonlocal state
        started, waited, terms = time.perf_counter(), 0.0, None
        for _ in range(count):
            asked = time.perf_counter()
            images = devices.put_batch(mesh, next(batches) if streamed else kept)
            waited += time.perf_counter() - asked
            state, terms = step(state, images)
        jax.block_until_ready((state, terms))
        if streamed:
            shares.append(waited / (time.perf_counter() - started))

    return {
        "streamed": lambda count: steps(count, True),
        "at hand": lambda count: steps(count, False),
    }


def _publish_waiting(result: dict[str, Any], arguments: Arguments) -> None:
    from benchmarks.timing import Spread

    rates = {name: Spread(**result[name]) for name in ("streamed", "at hand")}
    shares = Spread(**result["wait_share"])
    rows = [
        ("streamed", report.spread(rates["streamed"]), report.spread(shares, 100) + " %"),
        ("at hand", report.spread(rates["at hand"]), ""),
    ]
    report.publish(
        f"Completion steps at {result['image_size']} px, batch {result['batch_size']}, "
        f"{arguments.workers} workers on the same {report.cores()} cores",
        ("images", "images/s", "share of time waiting"),
        rows,
        notes=("on a CPU the workers also take time from the step, which has the same cores",),
    )


if __name__ == "__main__":
    run(main)
