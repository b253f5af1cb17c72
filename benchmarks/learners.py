"""Two programs that learn to fill holes, ours and GLCIC in PyTorch, trained for so many seconds.

Both are in their first phase, the completion network alone, and draw the same kind of holes and
flips from the same images; what differs is what their users would choose.
"""

from __future__ import annotations

import abc
import dataclasses
import time
from typing import Any

import jax
import numpy as np

from benchmarks import report, stepping
from glcic_jax.config.presets import preset
from glcic_jax.config.settings import Config, DataConfig, OptimizerConfig, PhaseConfig
from glcic_jax.evaluation.model import model_completer
from glcic_jax.imaging.classical import Completer
from glcic_jax.networks.registry import build_generator
from glcic_jax.runtime import devices
from glcic_jax.training.state import generator_variables

_PROBED = 20
"""Steps whose speed says how many a run of so many seconds has."""


class Learner(abc.ABC):
    """A training that is stopped and goes on."""

    def __init__(self, batch_size: int):
        self.seconds = 0.0
        """Spent so far, compilation included."""
        self.images = 0
        """Seen so far."""
        self._batch_size = batch_size

    def learn_until(self, seconds: float) -> None:
        """Go on until so many seconds are spent, or the run is complete."""
        while self.seconds < seconds and not self.is_complete():
            started = time.perf_counter()
            self.step()
            self.seconds += time.perf_counter() - started
            self.images += self._batch_size

    @abc.abstractmethod
    def step(self) -> None:
        """One update, finished when it returns."""

    @abc.abstractmethod
    def completer(self) -> Completer:
        """What it has learned so far."""

    def is_complete(self) -> bool:
        """Whether its schedule is over."""
        return False


class OurLearner(Learner):
    """`glcic-jax train` with a preset, its schedule as long as the seconds that it is given."""

    def __init__(self, config: Config, images_NxSxSx3: np.ndarray, seconds: float):
        """Measure how many steps there will be, then compile, which counts.

        Args:
            config: of the run; the phases' lengths are replaced.
            images_NxSxSx3: uint8, to learn from.
            seconds: that it will learn for.
        """
        super().__init__(config.data.batch_size)
        probe = self._start(config, images_NxSxSx3)
        started = time.perf_counter()
        for _ in range(_PROBED):
            self.step()
        each = (time.perf_counter() - started) / _PROBED
        self._steps = max(1, int((seconds - probe) / each))
        # Compiled once more, as the schedule's length is a part of the program.
        self.seconds = self._start(_with_steps(config, self._steps), images_NxSxSx3)
        self.images = self._batch_size

    def _start(self, config: Config, images_NxSxSx3: np.ndarray) -> float:
        """Begin anew and make the first step; returns its seconds."""
        self._generator = build_generator(config)
        self._batches = stepping.shuffled_batches(len(images_NxSxSx3), config.data.batch_size)
        mean = stepping.mean_pixel(images_NxSxSx3)
        self._mesh, self._state, self._step = stepping.start(
            config, "completion", mean, images_NxSxSx3
        )
        started = time.perf_counter()
        self._done = 0
        self.step()
        return time.perf_counter() - started

    def step(self) -> None:
        batch = devices.put_batch(self._mesh, next(self._batches))
        self._state, terms = self._step(self._state, batch)
        jax.block_until_ready(terms)
        self._done += 1

    def completer(self) -> Completer:
        variables = devices.local_copy(generator_variables(self._state))
        return model_completer(self._generator, variables)

    def is_complete(self) -> bool:
        return self._done >= self._steps


class TheirLearner(Learner):
    """GLCIC in PyTorch, eager on all cores, as `torch_steps.Trainer` trains it."""

    def __init__(self, config: Config, images_NxSxSx3: np.ndarray):
        """Fresh networks of `config`, which learn from uint8 images."""
        super().__init__(config.data.batch_size)
        import torch

        from benchmarks.torch_steps import Trainer

        torch.set_num_threads(report.cores())
        torch.manual_seed(config.seed)
        self._trainer = Trainer(config, stepping.mean_pixel(images_NxSxSx3))
        self._images = torch.from_numpy(images_NxSxSx3)
        self._batches = stepping.shuffled_batches(len(images_NxSxSx3), config.data.batch_size)

    def step(self) -> None:
        import torch

        self._trainer.step("completion", self._images[torch.from_numpy(next(self._batches))])

    def completer(self) -> Completer:
        return self._complete

    def _complete(self, image_BxHxWx3: np.ndarray, mask_BxHxWx1: np.ndarray) -> np.ndarray:
        import torch

        network = self._trainer.generator.eval()
        image, mask = (
            torch.from_numpy(np.ascontiguousarray(x.transpose(0, 3, 1, 2), np.float32))
            for x in (image_BxHxWx3, mask_BxHxWx1)
        )
        with torch.no_grad():
            output: Any = network(image / 255, mask)
        network.train()
        output_u8 = (255 * output).round().clamp(0, 255).numpy().astype(np.uint8)
        return np.where(mask_BxHxWx1 > 0.5, output_u8.transpose(0, 2, 3, 1), image_BxHxWx3)


def our_config(name: str) -> Config:
    """A preset at 32 pixels, with CIFAR-100 for data."""
    config = preset(name)
    data = dataclasses.replace(config.data, sources=("cifar100",))
    return dataclasses.replace(config, image_size=32, data=data)


def their_config() -> Config:
    """GLCIC as otenim/GLCIC-PyTorch has it: the paper's network of width 64 with normalisation
    behind the ReLU and the mean pixel in the hole, a squared error; by Adam, with batches of 64."""
    config = preset("paper")
    model = dataclasses.replace(
        config.model, normalisation="after_relu", convolution_bias=True, batch_norm_momentum=0.9
    )
    optimizer = OptimizerConfig(
        name="adam", learning_rate=0.001, schedule="constant", warmup_steps=0
    )
    return dataclasses.replace(
        config,
        image_size=32,
        data=DataConfig(sources=("cifar100",), batch_size=64),
        masks=our_config("photos").masks,
        model=model,
        optimizer=optimizer,
    )


def _with_steps(config: Config, steps: int) -> Config:
    """A run of so many steps of the completion network alone."""
    phases = PhaseConfig(completion_steps=steps, discriminator_steps=0, joint_steps=0)
    return dataclasses.replace(config, phases=phases)
