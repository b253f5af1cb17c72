"""The checkpoints of a run, through Orbax.

    <workdir>/checkpoints/<step>/state        the arrays, by name
    <workdir>/checkpoints/<step>/summary      JSON: step, score, and the checksum of each array
    <workdir>/damaged/<step>                  checkpoints that could not be read, moved aside

Orbax makes a checkpoint appear at once, by a rename, so one that was being written when the process
died is never taken for a whole one. It does not notice every change to a file afterwards; the
checksums do, and what is restored is bit for bit what was saved.
"""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import json
import logging
import math
import os
import re
import zlib
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers

from glcic_jax.errors import UserError
from glcic_jax.runtime import jobs

PyTree = Any

_log = logging.getLogger("glcic_jax")
# Orbax reports through absl's logger, on the user's terminal. Its failures still raise.
logging.getLogger("absl").addFilter(
    lambda record: f"{os.sep}orbax{os.sep}checkpoint{os.sep}" not in record.pathname
)


# --- Checkpoints --------------------------------------------------------------------------------


class _DamagedError(Exception):
    """A checkpoint whose files are missing or not as they were written."""


@dataclasses.dataclass(frozen=True)
class _Summary:
    """What is known about a checkpoint without reading its arrays."""

    step: int
    score: float | None
    arrays: dict[str, dict[str, Any]]


class _KeepNewestAndBest(checkpoint_managers.PreservationPolicy):
    """Orbax keeps what this marks: the newest `keep`, and the best by score.

    Scores come from the summaries: Orbax's own metrics do not survive a restart here.
    """

    def __init__(self, keep: int, scores: dict[int, float | None]):
        self._keep = keep
        self._scores = scores

    def should_preserve(
        self,
        checkpoints: Sequence[checkpoint_managers.PolicyCheckpointInfo],
        *,
        context: checkpoint_managers.PreservationContext,  # noqa: ARG002
    ) -> Sequence[bool]:
        steps = [info.step for info in checkpoints]
        scored = [step for step in steps if self._scores.get(step) is not None]
        wanted = set(sorted(steps)[-self._keep :]) | set(_by_score(scored, self._scores)[:1])
        return [step in wanted for step in steps]


Which = Literal["best", "latest"]
"""Which checkpoint to use: the best by validation, or the newest."""


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

    def save(self, step: int, state: PyTree, *, score: float | None) -> bool:
        """Save `state` under `step`; the files are written while the caller goes on.

        Returns when the arrays are copied, so their buffers may be donated at once. Waits for a
        save that is still going on.

        Args:
            step: completed steps, 0 or more.
            state: pytree of jax.Array of any shapes and dtypes; none empty, no typed random keys.
            score: higher is better. None, or not finite: never counts as best.

        Returns:
            False if the step is saved already, and nothing was done.

        Raises:
            UserError: the save before this one could not be written.
        """
        return jobs.from_first(lambda: self._save(step, state, score=score))

    def _save(self, step: int, state: PyTree, *, score: float | None) -> bool:
        self._wait()
        manager = self._writing_manager()
        if step in manager.all_steps():
            return False
        arrays = {name: _host_copy(leaf) for name, leaf in _named_leaves(state)}
        score = float(score) if score is not None and math.isfinite(score) else None
        self._scores[step] = score
        described = {name: _describe(array) for name, array in arrays.items()}
        summary = _sealed({"step": int(step), "score": score, "arrays": described})
        manager.save(
            step,
            args=ocp.args.Composite(
                state=ocp.args.PyTreeSave(arrays), summary=ocp.args.JsonSave(summary)
            ),
            force=True,
        )
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
        restored, damaged = self._first_whole(steps, abstract_state)
        for step in damaged:
            jobs.from_first(functools.partial(self._move_aside, step))
        return restored

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
        steps = jobs.from_first(
            self._steps_by_score if which == "best" else lambda: sorted(self._steps(), reverse=True)
        )
        if not steps:
            raise UserError(
                f"no checkpoint in {self._workdir}; train until the first one is saved "
                "(train.py saves every --loop.save-every steps)"
            )
        return self._first_whole(steps, abstract_state)[0]

    def wait(self) -> None:
        """Return when everything saved so far is on disk.

        Raises:
            UserError: it could not be written.
        """
        jobs.from_first(self._wait)

    def _wait(self) -> None:
        if self._manager is None:
            return
        try:
            self._manager.wait_until_finished()
        except Exception as error:  # the thread that writes may pass on anything
            raise UserError(
                f"writing a checkpoint to {self._root} failed: {_first_line(error)}\n"
                "Earlier ones are whole. Make room there, then give the same command again."
            ) from error

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
            self._manager = ocp.CheckpointManager(
                self._root,
                item_names=("state", "summary"),
                options=ocp.CheckpointManagerOptions(
                    create=False,
                    preservation_policy=_KeepNewestAndBest(self._keep, self._scores),
                    cleanup_tmp_directories=True,
                    multiprocessing_options=_this_process_alone(),
                ),
            )
        return self._manager

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
            return _read_summary(self._root / str(step)).score
        except _DamagedError:
            return if_damaged

    def _first_whole(
        self, steps: Sequence[int], abstract_state: PyTree
    ) -> tuple[tuple[int, PyTree], list[int]]:
        """((step, state) of the first of `steps` that is whole, the damaged ones before it)."""
        for index, step in enumerate(steps):
            path = self._root / str(step)
            arrays: dict[str, np.ndarray] = {}
            damage = jobs.gather(
                functools.partial(_read_into, arrays, path, abstract_state),
            )
            if not any(damage):
                return (step, _to_devices(arrays, abstract_state)), list(steps[:index])
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


def _by_score(steps: Any, scores: dict[int, float | None]) -> list[int]:
    """Best score first, then those without a score; among equals the newest first."""
    rank = {step: -math.inf if scores[step] is None else scores[step] for step in steps}
    return sorted(rank, key=lambda step: (rank[step], step), reverse=True)


def _this_process_alone() -> ocp.options.MultiprocessingOptions:
    """Keeps Orbax from waiting for other processes: what they share goes through `distributed`."""
    if jax.process_count() == 1:
        return ocp.options.MultiprocessingOptions()
    own = jax.process_index()
    return ocp.options.MultiprocessingOptions(
        primary_host=own, active_processes={own}, barrier_sync_key_prefix=f"process{own}"
    )


# --- Arrays and their description ---------------------------------------------------------------


def _named_leaves(tree: PyTree) -> list[tuple[str, Any]]:
    """(dotted path, leaf) of every leaf; the names say on disk what an array is."""
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    named = [(jax.tree_util.keystr(path, simple=True, separator="."), x) for path, x in leaves]
    if len({name for name, _ in named}) != len(named):
        raise ValueError("two arrays of the state have the same dotted name")
    return named


def _host_copy(leaf: jax.Array) -> np.ndarray:
    """The values in memory of our own; `np.asarray` may show a buffer that is donated next."""
    if isinstance(leaf, jax.Array) and not leaf.is_fully_addressable:
        leaf = leaf.addressable_data(0)
    return np.array(leaf, copy=True)


def _describe(array: np.ndarray) -> dict[str, Any]:
    crc = zlib.crc32(np.ascontiguousarray(array).reshape(-1).view(np.uint8))
    return {"shape": list(array.shape), "dtype": array.dtype.name, "crc32": crc}


def _to_devices(arrays: dict[str, np.ndarray], abstract_state: PyTree) -> PyTree:
    """Host arrays by name -> the pytree of jax.Array, with the shardings of `abstract_state`."""

    def place(name: str, leaf: jax.ShapeDtypeStruct) -> jax.Array:
        host = arrays[name]
        if leaf.sharding is None:
            return jax.device_put(host)
        return jax.make_array_from_callback(host.shape, leaf.sharding, lambda at: host[at])

    leaves = [place(name, leaf) for name, leaf in _named_leaves(abstract_state)]
    return jax.tree.unflatten(jax.tree.structure(abstract_state), leaves)


def _sealed(summary: dict[str, Any]) -> dict[str, Any]:
    text = json.dumps(summary, sort_keys=True)
    return summary | {"crc32": zlib.crc32(text.encode())}


# --- Reading ------------------------------------------------------------------------------------


class _PatientReader(ocp.type_handlers.NumpyHandler):
    """Lets every read end before the failure of one is raised.

    Otherwise Orbax closes the event loop under the others, and each prints a traceback.
    """

    async def deserialize(self, infos: Any, args: Any = None) -> Any:
        read = super().deserialize
        reads = [read([info], [arg]) for info, arg in zip(infos, args, strict=True)]
        results = await asyncio.gather(*reads, return_exceptions=True)
        arrays = []
        for result in results:
            if isinstance(result, BaseException):
                raise result
            arrays.extend(result)
        return arrays


def _read_summary(path: Path) -> _Summary:
    try:
        values = json.loads((path / "summary" / "metadata").read_bytes())
        content = {key: value for key, value in values.items() if key != "crc32"}
        if _sealed(content) != values:
            raise ValueError("checksum differs")
        return _Summary(**content)
    except (OSError, ValueError, AttributeError, TypeError) as error:
        if isinstance(error, PermissionError):
            raise
        raise _DamagedError(f"its summary is not readable: {_first_line(error)}") from error


def _read_into(arrays: dict[str, np.ndarray], path: Path, abstract_state: PyTree) -> str:
    """Put the arrays of a whole checkpoint into `arrays`; say what is damaged, or ""."""
    try:
        arrays |= _read(path, abstract_state)
    except _DamagedError as error:
        return str(error) or "unreadable"
    return ""


def _read(path: Path, abstract_state: PyTree) -> dict[str, np.ndarray]:
    """The arrays of one checkpoint on the host, each verified against its checksum."""
    summary = _read_summary(path)
    if str(summary.step) != path.name:
        raise _DamagedError(f"it holds step {summary.step}")
    _require_same_arrays(path, summary, abstract_state)
    try:
        args = {name: ocp.RestoreArgs(restore_type=np.ndarray) for name in summary.arrays}
        handlers = ocp.type_handlers.create_type_handler_registry((np.ndarray, _PatientReader()))
        alone = _this_process_alone()
        orbax_handler = ocp.PyTreeCheckpointHandler(
            type_handler_registry=handlers, multiprocessing_options=alone
        )
        with ocp.Checkpointer(orbax_handler, multiprocessing_options=alone) as reader:
            arrays = reader.restore(path / "state", args=ocp.args.PyTreeRestore(restore_args=args))
    except (MemoryError, PermissionError):
        raise  # says nothing about the files
    except Exception as error:  # what Orbax raises for a damaged file depends on the file
        raise _DamagedError(f"its arrays are not readable: {_first_line(error)}") from error
    for name, expected in summary.arrays.items():
        if name not in arrays or _describe(np.asarray(arrays[name])) != expected:
            raise _DamagedError(f"{name} is not as it was saved")
    return {name: np.asarray(arrays[name]) for name in summary.arrays}


def _require_same_arrays(path: Path, summary: _Summary, abstract_state: PyTree) -> None:
    """Whole files that hold other arrays are a mistake of the caller, not damage."""
    saved = {name: (tuple(x["shape"]), x["dtype"]) for name, x in summary.arrays.items()}
    wanted = {
        name: (tuple(x.shape), np.dtype(x.dtype).name) for name, x in _named_leaves(abstract_state)
    }
    for name in sorted(saved.keys() | wanted.keys()):
        if saved.get(name) != wanted.get(name):
            raise UserError(
                f"{path} holds {name} as {saved.get(name, 'nothing')}, expected "
                f"{wanted.get(name, 'nothing')}; another version of the program saved it"
            )


def _first_line(error: BaseException) -> str:
    """The error in brief. Its paths, all of them inside the checkpoint, would hide the reason."""
    text = str(error).strip() or type(error).__name__
    brief = re.sub(r"( at local file)?:? \"/[^\"]*\"", "", text.splitlines()[0])
    return re.split(r" \[(?:os_error_code|tensorstore_spec)", brief)[0][:200]
