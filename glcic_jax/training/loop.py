"""The training loop: phases, cadence, the check for finite losses, saving and resuming.

The mathematics of a step is in `steps.py`; what a run writes is in `writers.py` and
`runtime/checkpoints.py`; `validation.py` scores it now and then.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from glcic_jax.config.saved import to_json
from glcic_jax.config.settings import Config, Phase, phase_of, total_steps
from glcic_jax.cpu import convolutions
from glcic_jax.data.folder_files import one_walk
from glcic_jax.data.mask_folder import open_masks
from glcic_jax.data.pipeline import TrainingData, open_training, require_same
from glcic_jax.data.sources import ImageSet, open_evaluation
from glcic_jax.evaluation.model import model_completer
from glcic_jax.evaluation.pictures import picture_grid
from glcic_jax.imaging.pyramids import Pyramids
from glcic_jax.networks.registry import check_run
from glcic_jax.runtime import devices, jobs
from glcic_jax.runtime.checkpoints import Checkpoints
from glcic_jax.runtime.journal import SATURATED, is_saturated
from glcic_jax.runtime.workdir import CONFIG_NAME, check_shared, check_workdir, open_workdir
from glcic_jax.training.extension import check_extension
from glcic_jax.training.images import resident_images
from glcic_jax.training.initial import Initial, initial_variables
from glcic_jax.training.recipe import Recipe, build_recipe
from glcic_jax.training.signals import StopSignals
from glcic_jax.training.state import (
    TrainState,
    abstract_train_state,
    create_train_state,
    generator_variables,
)
from glcic_jax.training.steps import STEPS
from glcic_jax.training.terms import Terms
from glcic_jax.training.validation import VALIDATION_SEED, validate, validation_protocols
from glcic_jax.training.window import Window
from glcic_jax.training.writers import Writers

Step = Callable[[TrainState, jax.Array], tuple[TrainState, Terms]]


def train(workdir: Path, config: Config, *, extend: bool = False) -> None:
    """Run, or go on with, the training run in `workdir` until its last step.

    SIGTERM and Ctrl-C save a checkpoint and return; a second Ctrl-C stops at once. All processes of
    a job must call it alike.

    Args:
        workdir: made if it does not exist.
        config: must agree with the run that is there already, see `config.saved.differences`.
        extend: but for the lengths of its phases: go on with that run for more steps.

    Raises:
        UserError: a setting, a source of data or `workdir` can't be used (nothing is written
            then), or a loss is no longer finite (the last good checkpoint stays). An error of one
            process before the first step is raised in all.
    """
    check_run(config)
    mesh = devices.batch_mesh()
    devices.check_batch(config.data.batch_size, mesh)
    jobs.together(lambda: check_workdir(workdir, config, extend=extend))
    extended = jobs.together(lambda: check_extension(workdir, config)) if extend else ""
    check_shared(workdir)
    with one_walk():
        validation_images = jobs.together(lambda: open_evaluation(config, "validation"))
        opened = jobs.together(lambda: open_training(config))
    with opened as training_data:
        cover_NxSxS = open_masks(config)
        require_same([validation_images])
        training_data.require_same()
        initial = None
        if not (Path(workdir) / CONFIG_NAME).exists():
            initial = jobs.together(lambda: initial_variables(config))  # raises before any write
        with (
            jobs.together(lambda: open_workdir(workdir, config, extend=extend)),
            Checkpoints(workdir, keep=config.loop.keep_checkpoints) as checkpoints,
        ):
            state = _start_or_resume(config, mesh, checkpoints, training_data, initial)
            start = int(state.step)
            active = jobs.is_first()
            with Writers(workdir, total_steps(config), start, active=active) as writers:
                _announce(writers, config, mesh, state)
                if extended:
                    writers.message(extended)
                loop = _Loop(config, mesh, checkpoints, writers, validation_images, cover_NxSxS)
                loop.run(state, training_data)


def compile_step(
    recipe: Recipe,
    phase: Phase,
    mesh: Mesh,
    resident: jax.Array | Pyramids | None = None,
    cover_NxSxS: jax.Array | None = None,
) -> Step:
    """One phase's step, jitted over the mesh; donates the state.

    Args:
        recipe: settings, networks and update rules.
        phase: completion, discriminator or joint.
        mesh: the batch is sharded over its axis, the state is on all devices.
        resident: uint8 image_NxSxSx3 or photographs, on all devices, if batches are int32
            indices_B into them; otherwise batches are uint8 image_BxSxSx3.
        cover_NxSxS: uint8 on all devices, the masks of a folder, where holes are made of them.
    """
    step = functools.partial(STEPS[phase], recipe)

    def on_batch(state, batch, resident=None, cover_NxSxS=None):
        if resident is not None:
            batch = resident_images(recipe.config, state, resident, batch)
        images = jax.lax.with_sharding_constraint(batch, devices.batch_sharded(mesh))
        return step(state, images, cover_NxSxS)

    jitted: Any = jax.jit(
        on_batch,
        donate_argnums=0,
        out_shardings=devices.replicated(mesh),
        compiler_options=devices.compiler_options(mesh.devices.flat[0].platform),
    )
    if resident is None and cover_NxSxS is None:
        return jitted
    return functools.partial(jitted, resident=resident, cover_NxSxS=cover_NxSxS)


def _start_or_resume(
    config: Config,
    mesh: Mesh,
    checkpoints: Checkpoints,
    training_data: TrainingData,
    initial: Initial | None,
) -> TrainState:
    """The state of the last checkpoint; without one a new state, from `initial` if it was read."""
    restored = checkpoints.restore_latest(abstract_train_state(config, devices.replicated(mesh)))
    if restored is not None:
        return restored[1]
    if initial is None:
        initial = jobs.together(lambda: initial_variables(config))
    create = jax.jit(
        create_train_state,
        static_argnums=1,
        out_shardings=devices.replicated(mesh),
        # Runs once: what optimizing its dozens of random draws costs is never earned back.
        compiler_options={"xla_backend_optimization_level": 0},
    )
    mean_pixel = jobs.together(lambda: training_data.mean_pixel)
    return create(jax.random.key(config.seed), config, mean_pixel, initial)


def _announce(writers: Writers, config: Config, mesh: Mesh, state: TrainState) -> None:
    counts = [
        sum(leaf.size for leaf in jax.tree.leaves(network.params))
        for network in (state.generator, state.discriminator)
    ]
    kind = mesh.devices.flat[0].device_kind
    if jax.default_backend() == "cpu":
        kind += ", convolutions " + ("in C" if convolutions.are_used() else "by XLA")
    shared = f" of {jax.process_count()} processes" if jax.process_count() > 1 else ""
    writers.message(
        f"{mesh.size} device(s){shared} ({kind}); completion network {counts[0]:,} parameters, "
        f"discriminators {counts[1]:,}; steps {int(state.step)} to {total_steps(config)}"
    )


class _Loop:
    """Steps from one state to the end of the run, with everything that happens in between."""

    def __init__(
        self,
        config: Config,
        mesh: Mesh,
        checkpoints: Checkpoints,
        writers: Writers,
        validation_images: ImageSet,
        cover_NxSxS: np.ndarray | None,
    ):
        self._config = config
        self._mesh = mesh
        self._recipe = build_recipe(config)
        self._checkpoints = checkpoints
        self._writers = writers
        self._validation_images = validation_images
        self._cover_NxSxS = cover_NxSxS
        self._window = Window(config.data.batch_size)
        self._told_saturated = False

    def run(self, state: TrainState, training_data: TrainingData) -> None:
        loop, total = self._config.loop, total_steps(self._config)
        start = int(state.step)
        if start >= total:
            self._writers.message(
                f"the run is complete: {total} steps are done; --extend and longer phases go on"
            )
            return
        steps = self._steps(training_data)
        batches = training_data.batches(
            start, process_index=jax.process_index(), process_count=jax.process_count()
        )
        with StopSignals() as stop:
            for done in range(start + 1, total + 1):
                phase = phase_of(done - 1, self._config.phases)
                with self._window.waiting():
                    batch = devices.put_batch(self._mesh, next(batches))
                state, terms = steps[phase](state, batch)
                self._window.add(done, phase, terms)

                # Read once: a signal that comes later in this pass is served by the next one.
                stopped_by = stop.after(done)
                last = done == total or bool(stopped_by)
                if last or done % loop.log_every == 0 or self._phase_ends(done):
                    self._flush()
                validate = done % loop.validate_every == 0 or done == total
                if last or validate or done % loop.save_every == 0:
                    self._flush()
                    score = self._validate(done, state) if validate else None
                    self._checkpoints.save(
                        done,
                        state,
                        score=score,
                        generator=generator_variables(state),
                        config=to_json(self._config),
                    )
                    self._window.restart()
                if stopped_by and done < total:
                    self._checkpoints.wait()
                    self._writers.message(
                        f"{stopped_by}: saved step {done}; the same command goes on from there"
                    )
                    return
        self._checkpoints.wait()
        self._writers.message(f"finished {total} steps")

    def _steps(self, training_data: TrainingData) -> dict[Phase, Step]:
        resident = None
        if training_data.resident is not None:
            resident = devices.put_replicated(self._mesh, training_data.resident)
        cover = self._cover_NxSxS
        if cover is not None:
            cover = devices.put_replicated(self._mesh, cover)
        phases: tuple[Phase, ...] = ("completion", "discriminator", "joint")
        return {
            phase: compile_step(self._recipe, phase, self._mesh, resident, cover)
            for phase in phases
        }

    def _phase_ends(self, done: int) -> bool:
        phases = self._config.phases
        return phase_of(done - 1, phases) != phase_of(done, phases)

    def _flush(self) -> None:
        """Fetch the losses since the last call, check that they are finite, report them."""
        if self._window.empty:
            return
        record = self._window.close()
        self._writers.scalars(
            record.step,
            record.phase,
            record.images_per_second,
            record.terms,
            data_wait=record.data_wait,
        )
        self._writers.progress(record.step, record.phase, record.losses, record.images_per_second)
        if record.phase == "joint" and not self._told_saturated and is_saturated(record.terms):
            self._told_saturated = True
            self._writers.message(
                f"warning: at step {record.step} the discriminators are right on at least "
                f"{SATURATED:.0%} of real and of completed images, so the generator learns little "
                "from them; a lower optimizer.discriminator-learning-rate or model.spectral-norm "
                "may help"
            )

    def _validate(self, done: int, state: TrainState) -> float:
        """Score the validation images, draw some; returns the hole's mean PSNR in dB, over all
        protocols."""
        variables = devices.local_copy(generator_variables(state))
        completer = model_completer(self._recipe.generator, variables)
        scores = validate(
            completer,
            self._validation_images,
            self._config.masks,
            self._config.loop.validation_images,
        )
        self._writers.validation(done, scores)
        if jobs.is_first():
            sheet = picture_grid(
                {"completed": completer},
                self._validation_images,
                protocol=validation_protocols(self._config.masks)[0],
                seed=VALIDATION_SEED,
                count=self._config.loop.sample_images,
            )
            self._writers.grid(done, sheet)
        self._writers.message(
            f"validation at step {done}: hole PSNR {scores['hole_psnr']:.2f} dB, "
            f"whole SSIM {scores['whole_ssim']:.3f}"
        )
        return scores["hole_psnr"]
