"""Several processes, usually one on each machine, that work as one; and what they tell each other.

With one process nothing here does anything: no connection, no copy, no computation.
"""

from __future__ import annotations

import _thread
import contextlib
import functools
import importlib.util
import logging
import os
import pickle
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from glcic_jax.errors import UserError
from glcic_jax.runtime.rendezvous import Member, Ties, meet

T = TypeVar("T")

_log = logging.getLogger("glcic_jax")

_TPU_POD_PORT = 8482
_HEARTBEAT_SECONDS = 100
"""After so long without a sign of a process JAX takes it for dead, and ends all others."""
_SHUTDOWN_SECONDS = 300
_GRACE_SECONDS = 2.0

# --- Start and end ------------------------------------------------------------------------------


def find_member(
    coordinator: str | None, process_count: int | None, process_index: int | None
) -> Member | None:
    """Which process of which job this is, or None if it works alone.

    Args:
        coordinator: HOST:PORT of process 0.
        process_count: all processes; 1 means alone.
        process_index: which one this is, from 0. All three may be None: a TPU pod then says itself.

    Raises:
        UserError: only some of them are given, or a value is out of range.
    """
    if process_count == 1 and coordinator is None and process_index in (None, 0):
        return None
    if coordinator is None and process_count is None and process_index is None:
        return _member_of_tpu_pod()
    if coordinator is None or process_count is None or process_index is None:
        raise UserError(
            "give all three of --coordinator, --process-count and --process-index, or none of them"
        )
    host, _, port = coordinator.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise UserError(
            f"--coordinator is {coordinator!r}; expected HOST:PORT, as in 10.0.0.2:8482"
        )
    if process_count < 1 or not 0 <= process_index < process_count:
        raise UserError(
            f"--process-index is {process_index} of --process-count {process_count}; "
            "the processes are numbered from 0"
        )
    if process_count == 1:
        return None
    return Member(host.strip("[]"), int(port), process_count, process_index)


@contextlib.contextmanager
def job(
    member: Member | None,
    settings: Mapping[str, str],
    *,
    timeout: float,
    sync_stops: bool,
    when_lost: Callable[[str], None] | None = None,
) -> Iterator[None]:
    """Inside, this process is one of a job; JAX must not have been asked for devices before.

    Args:
        member: see `find_member`; None changes nothing.
        settings: what must be the same in all processes, by name.
        timeout: seconds to wait for the others at the start.
        sync_stops: SIGTERM does not end the process but makes `stop_requested` true, in all.
        when_lost: called with the reason, in a thread, when another process ended by an error or
            was killed. Computations that wait for it never return, so only the end of this process
            helps. None: the reason is logged and the main thread interrupted, which it notices
            when it is next in Python.

    Raises:
        UserError: the processes do not come together, see `rendezvous.meet`, or have different
            numbers of devices.

    An error inside is told to the others before it is passed on. After it the process should end
    without waiting for them.
    """
    if member is None:
        yield
        return
    ties = meet(member, settings, timeout)
    leaving = threading.Event()
    ties.watch(functools.partial(_lose, ties, leaving, when_lost or _interrupt))
    jax.config.update("jax_enable_preemption_service", sync_stops)
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    try:
        jax.distributed.initialize(
            member.address,
            member.process_count,
            member.process_index,
            cluster_detection_method="deactivate",
            initialization_timeout=max(30, round(timeout)),
            heartbeat_timeout_seconds=_HEARTBEAT_SECONDS,
            shutdown_timeout_seconds=_SHUTDOWN_SECONDS,
        )
        _check_devices()
        _connect_devices()
        yield
        jax.distributed.shutdown()
    except BaseException as error:
        if isinstance(error, Exception) and not isinstance(error, UserError):
            # If it is for the loss of another, that is told now. Gloo raises a plain ValueError
            # where the other one goes in the middle of an exchange.
            time.sleep(3 * _GRACE_SECONDS)
        leaving.set()
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:300]
        ties.tell(f"process {ties.own_index} stopped: {reason}")
        _let_others_end(ties)
        raise
    ties.part()


def _lose(
    ties: Ties,
    leaving: threading.Event,
    when_lost: Callable[[str], None],
    reason: str,
    was_told: bool,
) -> None:
    if was_told:
        # An error in all processes ends one of them first; then this one shall tell its own.
        time.sleep(_GRACE_SECONDS)
    if not leaving.is_set():
        _let_others_end(ties)
        when_lost(reason)


def _let_others_end(ties: Ties) -> None:
    """JAX's service ends with the first process, and would abort the others with a stack trace."""
    if ties.own_index == 0:
        ties.wait_until_alone(2 * _GRACE_SECONDS)


def _interrupt(reason: str) -> None:
    _log.error("%s; this process can't go on without it", reason)
    _thread.interrupt_main()


def is_first() -> bool:
    """Whether this is the process that writes and prints."""
    return jax.process_index() == 0


def stop_requested(step: int) -> bool:
    """Whether all processes are to stop after `step`, because one of them got SIGTERM.

    True at the same step in all of them. Call it for every step, in all processes.
    """
    return multihost_utils.reached_preemption_sync_point(step)


def _check_devices() -> None:
    counts = Counter(device.process_index for device in jax.devices())
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"process {index} has {counts[index]}" for index in sorted(counts)[:8])
        raise UserError(f"all processes need the same number of devices; {listed}")


def _connect_devices() -> None:
    """Gloo gives devices 30 s to meet when they first compute something together; then it waits.

    They meet here, where all processes come at once. Before the first step of training one process
    may compile for much longer than another.
    """
    mesh = Mesh(np.array(jax.devices()), ("all",))
    ones = jax.make_array_from_callback(
        (mesh.size,), NamedSharding(mesh, PartitionSpec("all")), lambda _: np.ones(1, np.float32)
    )
    total = jax.jit(jnp.sum, out_shardings=NamedSharding(mesh, PartitionSpec()))(ones)
    total.block_until_ready()
    gather(lambda: None)


# --- TPU pods -----------------------------------------------------------------------------------


def _member_of_tpu_pod() -> Member | None:
    """None without a TPU, or with one on a single machine."""
    # JAX sets the second where the machine has no TPU chips.
    if importlib.util.find_spec("libtpu") is None or "TPU_SKIP_MDS_QUERY" in os.environ:
        return None
    if "tpu" not in os.environ.get("JAX_PLATFORMS", "tpu"):
        return None
    workers, index = os.environ.get("TPU_WORKER_HOSTNAMES"), os.environ.get("TPU_WORKER_ID")
    if workers is None or index is None:  # these are set on Kubernetes; elsewhere ask the machine
        workers, index = _metadata("worker-network-endpoints"), _metadata("agent-worker-number")
    if not workers or index is None or not index.isdecimal():
        return None
    # Either "host" or "name:number:address" of each worker, in the order of their numbers.
    hosts = [worker.split(":")[-1].strip() for worker in workers.split(",")]
    if len(hosts) == 1:
        return None
    return Member(hosts[0], _TPU_POD_PORT, len(hosts), int(index))


def _metadata(name: str) -> str | None:
    """An attribute of this virtual machine in Google's cloud; None where there is none."""
    server = os.environ.get("GCE_METADATA_IP", "metadata.google.internal")
    request = urllib.request.Request(
        f"http://{server}/computeMetadata/v1/instance/attributes/{name}",
        headers={"Metadata-Flavor": "Google"},
    )
    try:
        with urllib.request.urlopen(request, timeout=5) as response:
            return response.read().decode()
    except (OSError, ValueError):
        return None


# --- What processes tell each other -------------------------------------------------------------


def gather(make: Callable[[], T]) -> list[T]:
    """Call `make` in every process; what it returned in each, in their order.

    All processes must come here, in the same order of calls. The values must be picklable, and
    come through bit for bit.

    Raises:
        UserError: `make` raised one in any process; then all of them raise.
    """
    if jax.process_count() == 1:
        return [make()]
    outcome: tuple[Any, UserError | None]
    try:
        outcome = make(), None
    except UserError as error:
        outcome = None, error
    outcomes = [pickle.loads(part) for part in _gather_bytes(pickle.dumps(outcome))]
    if outcome[1] is not None:
        raise outcome[1]
    for index, (_, failure) in enumerate(outcomes):
        if failure is not None:
            raise UserError(f"process {index}: {failure}")
    return [value for value, _ in outcomes]


def together(make: Callable[[], T]) -> T:
    """Call `make` in every process and return its value of this one, which need not be picklable.

    Raises:
        UserError: as `gather`: after an error in one process none goes on.
    """
    values: list[T] = []
    gather(lambda: values.append(make()))
    return values[0]


def from_first(make: Callable[[], T]) -> T:
    """Call `make` in the first process only; its value in all of them.

    Raises:
        UserError: as `gather`.
    """
    return gather(lambda: make() if is_first() else None)[0]  # type: ignore[return-value]


def _gather_bytes(own: bytes) -> list[bytes]:
    lengths = multihost_utils.process_allgather(np.asarray(len(own), np.int32))
    # A power of two, so that few different programs are compiled.
    width = 1 << int(lengths.max() - 1).bit_length()
    padded = np.zeros(width, np.uint8)
    padded[: len(own)] = np.frombuffer(own, np.uint8)
    rows = multihost_utils.process_allgather(padded)
    return [row[:length].tobytes() for row, length in zip(rows, lengths, strict=True)]
