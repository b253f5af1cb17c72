"""The checkpoints of a run, through Orbax.

    <workdir>/checkpoints/<step>/state        all arrays that training goes on from, by name
    <workdir>/checkpoints/<step>/generator    the generator's variables and the configuration
    <workdir>/checkpoints/<step>/summary      JSON: step, score, and the checksum of each array
    <workdir>/damaged/<step>                  checkpoints that could not be read, moved aside

Who uses a generator reads its item alone, and needs neither the other networks nor an optimizer.

Orbax makes a checkpoint appear at once, by a rename, so one that was being written when the process
died is never taken for a whole one. It does not notice every change to a file afterwards; the
checksums do, and what is restored is bit for bit what was saved.
"""

from __future__ import annotations

import functools
import logging
import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

import jax
import numpy as np

from glcic_jax.errors import UserError
from glcic_jax.runtime import jobs, orbax_files
from glcic_jax.runtime.checkpoint_files import (
    CONFIG,
    GENERATOR,
    STATE,
    DamagedError,
    PyTree,
    Summary,
    describe,
    host_copy,
    named_leaves,
    nested,
    read_generator,
    read_state,
    read_summary,
    seal,
    to_devices,
)
from glcic_jax.runtime.files import writing
from glcic_jax.runtime.workdir import Which

if TYPE_CHECKING:
    import orbax.checkpoint as ocp

T = TypeVar("T")

_log = logging.getLogger("glcic_jax")


class Checkpoints:
    """The checkpoints of one run; close it, or use it in `with`, so that the last save ends.

    Several JAX processes may share it if all of them make the same calls. Arrays must be whole in
    each process (addressable, or replicated): the first one writes, all of them read and verify.
    An error of one process is raised in all.
    """

    def __init__(self, workdir: Path, *, keep: int):
        """Nothing is written before the first `save`.

        Args:
            workdir: the run's directory.
            keep: how many of the newest checkpoints stay; the best by score stays too.
        """
        self._workdir = Path(workdir).absolute()
        self._root = self._workdir / "checkpoints"
        self._keep = keep
        self._scores: dict[int, float | None] = {}
        self._manager: ocp.CheckpointManager | None = None

    def save(
        self,
        step: int,
        state: PyTree,
        *,
        score: float | None,
        generator: PyTree = None,
        config: str = "",
    ) -> bool:
        """Save `state` under `step`; the files are written while the caller goes on.

        Returns when the arrays are copied, so their buffers may be donated at once. Waits for a
        save that is still going on.

        Args:
            step: completed steps, 0 or more.
            state: pytree of jax.Array of any shapes and dtypes; none empty, no typed random keys.
            score: higher is better. None, or not finite: never counts as best.
            generator: the variables that the generator is used with, nested dictionaries of
                jax.Array; the names hold no dot. None: they will be picked out of `state`.
            config: the run's configuration as JSON, saved with `generator`.

        Returns:
            False if the step is saved already, and nothing was done.

        Raises:
            UserError: this save, or the one before it, could not be written.
        """
        save = functools.partial(self._save, step, state, score, generator, config)
        return jobs.from_first(save)

    def _save(
        self, step: int, state: PyTree, score: float | None, generator: PyTree, config: str
    ) -> bool:
        self._wait()
        with orbax_files.explained(self._root):
            manager = self._writing_manager()
        if step in manager.all_steps():
            return False
        trees = {STATE: state} | ({} if generator is None else {GENERATOR: generator})
        items = {
            name: {leaf_name: host_copy(leaf) for leaf_name, leaf in named_leaves(tree)}
            for name, tree in trees.items()
        }
        if generator is not None:
            items[GENERATOR][CONFIG] = np.frombuffer(config.encode(), np.uint8)
        score = float(score) if score is not None and math.isfinite(score) else None
        self._scores[step] = score
        described = (describe(items.get(name, {})) for name in (STATE, GENERATOR))
        with orbax_files.explained(self._root):
            orbax_files.save(manager, step, items, seal(Summary(int(step), score, *described)))
        return True

    def restore_latest(self, abstract_state: PyTree) -> tuple[int, PyTree] | None:
        """The newest checkpoint that is whole, to go on training from.

        A newer one that is damaged is moved to `damaged/`, with a warning, so that its step can
        be saved again.

        Args:
            abstract_state: pytree of jax.ShapeDtypeStruct with the shardings to restore to,
                which need not be those it was saved with.

        Returns:
            (step, state), or None if there are no checkpoints.

        Raises:
            UserError: there are checkpoints, but none is whole (nothing is moved then), or the
                arrays are not those of `abstract_state`.
        """
        steps = jobs.from_first(lambda: sorted(self._steps(), reverse=True))
        if not steps:
            return None
        (step, arrays), damaged = self._first_whole(
            steps, lambda path: read_state(path, abstract_state)
        )
        for one in damaged:
            with writing(self._workdir / "damaged"):
                jobs.from_first(functools.partial(self._move_aside, one))
        return step, to_devices(arrays, abstract_state)

    def restore_for_use(self, abstract_state: PyTree, which: Which = "best") -> tuple[int, PyTree]:
        """The whole checkpoint of the highest score, or the newest where none has a score.

        Only reads. A damaged checkpoint is passed over, with a warning.

        Args:
            abstract_state: as for `restore_latest`.
            which: "latest" takes the newest one whatever its score.

        Raises:
            UserError: there is no checkpoint, none is whole, or its arrays are not those of
                `abstract_state`.
        """
        step, arrays = self._for_use(which, lambda path: read_state(path, abstract_state))
        return step, to_devices(arrays, abstract_state)

    def restore_generator(self, which: Which = "best") -> tuple[int, dict[str, Any], str | None]:
        """The generator of the checkpoint that `restore_for_use` would choose, and nothing else.

        Only reads. A damaged checkpoint is passed over, with a warning.

        Returns:
            The step; the variables, nested dictionaries of jax.Array of any shapes; and the
            configuration as JSON, None where the checkpoint has no item for the generator.

        Raises:
            UserError: there is no checkpoint, or none is whole.
        """
        step, (arrays, config) = self._for_use(which, read_generator)
        return step, nested({name: jax.device_put(array) for name, array in arrays.items()}), config

    def _for_use(self, which: Which, read: Callable[[Path], T]) -> tuple[int, T]:
        steps = jobs.from_first(
            self._steps_by_score if which == "best" else lambda: sorted(self._steps(), reverse=True)
        )
        if not steps:
            raise UserError(
                f"no checkpoint in {self._workdir}; train until the first one is saved "
                "(train.py saves every --loop.save-every steps)"
            )
        return self._first_whole(steps, read)[0]

    def wait(self) -> None:
        """Return when everything saved so far is on disk.

        Raises:
            UserError: it could not be written.
        """
        jobs.from_first(self._wait)

    def _wait(self) -> None:
        if self._manager is not None:
            with orbax_files.explained(self._root):
                self._manager.wait_until_finished()

    def close(self) -> None:
        """Wait, and release what the saving holds. Reading and saving again is possible.

        Raises:
            UserError: as `wait`.
        """
        if self._manager is None:
            return
        try:
            self._wait()  # without the other processes: an error may have ended them
        finally:
            manager, self._manager = self._manager, None
            manager.close()

    def __enter__(self) -> Checkpoints:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _writing_manager(self) -> ocp.CheckpointManager:
        # Made late: its creation makes the directory and removes what a killed save left behind.
        if self._manager is None:
            self._scores |= {step: self._score(step, if_damaged=None) for step in self._steps()}
            self._root.mkdir(parents=True, exist_ok=True)
            self._manager = orbax_files.open_manager(self._root, (STATE, GENERATOR), self._wanted)
        return self._manager

    def _wanted(self, steps: Sequence[int]) -> set[int]:
        """The newest, and the best by score."""
        scored = [step for step in steps if self._scores.get(step) is not None]
        return set(sorted(steps)[-self._keep :]) | set(_by_score(scored, self._scores)[:1])

    def _steps(self) -> list[int]:
        """Steps with a finished checkpoint, whole or not; temporary directories have a suffix."""
        self._wait()
        if not self._root.is_dir():
            return []
        return [int(entry.name) for entry in self._root.iterdir() if entry.name.isdigit()]

    def _steps_by_score(self) -> list[int]:
        # One that lost its score may have been the best: to be tried, and warned of, first.
        scores = {step: self._score(step, if_damaged=math.inf) for step in self._steps()}
        return _by_score(scores, scores)

    def _score(self, step: int, *, if_damaged: float | None) -> float | None:
        try:
            return read_summary(self._root / str(step)).score
        except DamagedError:
            return if_damaged

    def _first_whole(
        self, steps: Sequence[int], read: Callable[[Path], T]
    ) -> tuple[tuple[int, T], list[int]]:
        """((step, what was read) of the first of `steps` that is whole, the damaged before it)."""
        for index, step in enumerate(steps):
            path = self._root / str(step)
            found: list[T] = []
            damage = jobs.gather(
                functools.partial(_read_into, found, functools.partial(read, path))
            )
            if not any(damage):
                return (step, found[0]), list(steps[:index])
            if jobs.is_first():
                reason = next(filter(None, damage))
                _log.warning("checkpoint %s is damaged (%s); trying the one before", path, reason)
        raise UserError(
            f"none of the {len(steps)} checkpoints in {self._root} can be read.\n"
            "Restore them from a copy, or train anew in another --workdir."
        )

    def _move_aside(self, step: int) -> None:
        parent = self._workdir / "damaged"
        parent.mkdir(exist_ok=True)
        target, count = parent / str(step), 1
        while target.exists():
            count += 1
            target = parent / f"{step}-{count}"
        (self._root / str(step)).rename(target)
        self._scores.pop(step, None)
        if self._manager is not None:
            self._manager.reload()


def _by_score(steps: Iterable[int], scores: dict[int, float | None]) -> list[int]:
    """Best score first, then those without a score; among equals the newest first."""
    rank = {step: -math.inf if scores[step] is None else scores[step] for step in steps}
    return sorted(rank, key=lambda step: (rank[step], step), reverse=True)


def _read_into(found: list[T], read: Callable[[], T]) -> str:
    """Add what `read` returns to `found`; say what is damaged, or ""."""
    try:
        found.append(read())
    except DamagedError as error:
        return str(error) or "unreadable"
    return ""
