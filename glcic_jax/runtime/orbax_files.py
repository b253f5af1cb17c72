"""What this package uses of Orbax, and all that it knows of Orbax's insides.

Each reliance on something that Orbax does not promise stands here with its reason;
`tests/runtime/test_orbax_files.py` fails when Orbax changes it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers

from glcic_jax.errors import UserError

SUMMARY_FILE = Path("summary", "metadata")
"""Where Orbax writes the JSON item "summary". Read without Orbax, whose error for a damaged file
does not tell it from a missing one."""

# Orbax reports through absl's logger, on the user's terminal. Its failures still raise.
logging.getLogger("absl").addFilter(
    lambda record: f"{os.sep}orbax{os.sep}checkpoint{os.sep}" not in record.pathname
)


# --- Writing ------------------------------------------------------------------------------------


def open_manager(
    root: Path, items: Sequence[str], wanted: Callable[[Sequence[int]], set[int]]
) -> ocp.CheckpointManager:
    """What writes checkpoints to an existing directory; removes what a killed save left behind.

    Args:
        root: the directory.
        items: names of the trees of arrays; one called "summary" is added.
        wanted: the steps to keep, of those that there are.
    """
    return ocp.CheckpointManager(
        root,
        item_handlers={name: _tree_handler() for name in items}
        | {"summary": ocp.JsonCheckpointHandler(multiprocessing_options=_this_process_alone())},
        options=ocp.CheckpointManagerOptions(
            create=False,
            preservation_policy=_Keep(wanted),
            cleanup_tmp_directories=True,
            multiprocessing_options=_this_process_alone(),
        ),
    )


def save(
    manager: ocp.CheckpointManager,
    step: int,
    items: Mapping[str, Mapping[str, np.ndarray]],
    summary: Mapping[str, Any],
) -> None:
    """Write arrays of any shape, by item and name, and a summary; returns before it has ended."""
    trees = {name: ocp.args.PyTreeSave(dict(arrays)) for name, arrays in items.items()}
    args = ocp.args.Composite(**trees, summary=ocp.args.JsonSave(summary))
    manager.save(step, args=args, force=True)


class _Keep(checkpoint_managers.PreservationPolicy):
    """Orbax keeps what this marks. Its own metrics do not survive a restart here."""

    def __init__(self, wanted: Callable[[Sequence[int]], set[int]]):
        self._wanted = wanted

    def should_preserve(
        self,
        checkpoints: Sequence[checkpoint_managers.PolicyCheckpointInfo],
        *,
        context: checkpoint_managers.PreservationContext,  # noqa: ARG002
    ) -> Sequence[bool]:
        steps = [info.step for info in checkpoints]
        wanted = self._wanted(steps)
        return [step in wanted for step in steps]


@contextlib.contextmanager
def explained(root: Path) -> Iterator[None]:
    """Inside, what keeps a checkpoint from being written to `root` is a `UserError`."""
    try:
        yield
    except Exception as error:  # Orbax, and its thread that writes, may pass on anything
        raise UserError(
            f"writing a checkpoint to {root} failed: {brief(error)}\n"
            "Earlier ones are whole. Make room there, then give the same command again."
        ) from error


# --- Reading ------------------------------------------------------------------------------------


def read_arrays(path: Path, names: Iterable[str]) -> dict[str, np.ndarray]:
    """Arrays of one item on the host, by name; others of the item are not read.

    Args:
        path: of the item.
        names: all of them there.

    Raises:
        Exception: whatever Orbax raises for a damaged file, which depends on the file.
    """
    wanted = dict.fromkeys(names, 0)
    args = {name: ocp.RestoreArgs(restore_type=np.ndarray) for name in wanted}
    alone = _this_process_alone()
    with ocp.Checkpointer(_tree_handler(), multiprocessing_options=alone) as reader:
        restore = ocp.args.PyTreeRestore(item=wanted, restore_args=args, partial_restore=True)
        arrays = reader.restore(path, args=restore)
    # What is not there comes back as it was asked for.
    missing = [name for name in wanted if not isinstance(arrays[name], np.ndarray)]
    if missing:
        raise KeyError(f"{missing[0]} is missing")
    return {name: arrays[name] for name in wanted}


def _tree_handler() -> ocp.PyTreeCheckpointHandler:
    handlers = ocp.type_handlers.create_type_handler_registry((np.ndarray, _Patient()))
    return ocp.PyTreeCheckpointHandler(
        type_handler_registry=handlers, multiprocessing_options=_this_process_alone()
    )


class _Patient(ocp.type_handlers.NumpyHandler):
    """Lets every read or write end before the failure of one is raised, such as on a full disk.

    Otherwise Orbax closes the event loop under the others, and each prints a traceback.
    """

    async def deserialize(self, infos: Any, args: Any = None) -> Any:
        read = super().deserialize
        reads = [read([info], [arg]) for info, arg in zip(infos, args, strict=True)]
        return [array for arrays in await _all_of(reads) for array in arrays]

    async def _background_serialize(self, values: Any, infos: Any, args: Any = None) -> None:
        write = super()._background_serialize
        each = zip(values, infos, args, strict=True)
        await _all_of([write([value], [info], [arg]) for value, info, arg in each])


async def _all_of(waiting: Sequence[Coroutine[Any, Any, Any]]) -> list[Any]:
    """What each gives, when all have ended; then the first error is raised."""
    results = await asyncio.gather(*waiting, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results


def brief(error: BaseException) -> str:
    """An error of Orbax, or any other, in one line.

    Its paths, all of them inside the checkpoint, and what TensorStore adds would hide the reason.
    """
    text = str(error).strip() or type(error).__name__
    line = re.sub(r"( at local file)?:? \"/[^\"]*\"", "", text.splitlines()[0])
    return re.split(r" \[(?:os_error_code|tensorstore_spec)", line)[0][:200]


def _this_process_alone() -> ocp.options.MultiprocessingOptions:
    """Keeps Orbax from waiting for other processes: what they share goes through `jobs`."""
    if jax.process_count() == 1:
        return ocp.options.MultiprocessingOptions()
    own = jax.process_index()
    return ocp.options.MultiprocessingOptions(
        primary_host=own, active_processes={own}, barrier_sync_key_prefix=f"process{own}"
    )
