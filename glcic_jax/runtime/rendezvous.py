"""How the processes of a job meet before JAX connects them, and learn that one has ended.

JAX ends a process with a stack trace where the others can't be found or disagree. So process 0
first waits for the others on the port that JAX will use, compares what each was given with its own,
and tells all of them how it went. The connections stay open: when a process ends, however it does,
its connection closes, while JAX takes it for alive for another minute or two.

What goes over a connection is one JSON object a line: `{"complaint": text}`, where "" is none.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import socket
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from glcic_jax.errors import UserError

_RETRY_SECONDS = 0.3
_MESSAGE_SECONDS = 5.0
_MOST_BYTES = 1_000_000


class Member(NamedTuple):
    """Where process 0 can be reached, how many processes there are, and which one this is."""

    host: str
    port: int
    process_count: int
    process_index: int

    @property
    def address(self) -> str:
        """The coordinator as HOST:PORT, an IPv6 address in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Ties:
    """The open connections of process 0 with each of the others."""

    def __init__(self, own_index: int, connections: dict[int, socket.socket]):
        """Keep `connections`, by the index of the process at the other end."""
        self.own_index = own_index
        self._connections = connections
        for connection in connections.values():
            _keep_alive(connection)

    def watch(self, when_lost: Callable[[str, bool], None]) -> None:
        """Call `when_lost`, in a thread, once another process ends too early.

        Args:
            when_lost: takes the reason, and whether it was told; False for a process that was
                killed or crashed.
        """
        threading.Thread(target=self._watch, args=(when_lost,), daemon=True).start()

    def part(self) -> None:
        """Tell the others that all is well and this process needs them no more."""
        self.tell("")

    def tell(self, complaint: str) -> None:
        """Tell the others why this process ends; those that have gone don't matter."""
        for connection in self._connections.values():
            _write(connection, {"complaint": complaint})

    def wait_until_alone(self, timeout: float) -> None:
        """Return when the other ends are closed, at the latest after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline and any(map(_is_open, self._connections.values())):
            time.sleep(0.05)

    def _watch(self, when_lost: Callable[[str, bool], None]) -> None:
        selector = selectors.DefaultSelector()
        for index, connection in self._connections.items():
            selector.register(connection, selectors.EVENT_READ, index)
        while selector.get_map():
            for key, _ in selector.select():
                message = _read(self._connections[key.data])
                reason = f"process {key.data} has ended; its own output may say why"
                if message is not None:
                    reason = str(message.get("complaint", ""))
                selector.unregister(key.fileobj)
                if reason:
                    self.tell(reason)
                    when_lost(reason, message is not None)
                    return


def meet(member: Member, settings: Mapping[str, str], timeout: float) -> Ties:
    """Return in every process when all of them are there and were given the same.

    Args:
        member: of this process in the job.
        settings: by name; must be the same in all processes.
        timeout: seconds to wait for the others.

    Raises:
        UserError: a process is missing or can't be reached, two have the same index, or their
            counts or settings differ. All that are there raise one.
    """
    told = {"process-count": str(member.process_count), **settings}
    deadline = time.monotonic() + timeout
    if member.process_index == 0:
        return Ties(0, _receive_all(member, told, deadline, timeout))
    return Ties(member.process_index, {0: _report(member, told, deadline, timeout)})


# --- Process 0 ----------------------------------------------------------------------------------


def _receive_all(
    member: Member, told: dict[str, str], deadline: float, timeout: float
) -> dict[int, socket.socket]:
    complaint = ""
    others: dict[int, socket.socket] = {}
    with _listen(member.port) as listener:
        while not complaint and len(others) < member.process_count - 1:
            connection = _accept(listener, deadline)
            # One that was stopped while it waited may have come back.
            others = {index: other for index, other in others.items() if _is_open(other)}
            if connection is None:
                complaint = _missing(member, others.keys(), timeout)
                break
            hello = _read(connection)
            if hello is None:  # whatever it is, it is no process of a job
                connection.close()
                continue
            index: Any = hello.get("process-index")
            complaint = _disagreement(index, hello.get("settings"), told, others.keys())
            others[-1 if complaint else int(index)] = connection
    # The port is free again by now: JAX opens it next.
    for other in others.values():
        _write(other, {"complaint": complaint})
    if complaint:
        raise UserError(complaint)
    return others


def _listen(port: int) -> socket.socket:
    dual = socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if dual else socket.AF_INET
    try:
        return socket.create_server(("", port), family=family, backlog=256, dualstack_ipv6=dual)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else error
        raise UserError(
            f"process 0 can't listen on port {port} ({reason}); give all processes another port, "
            "or end what uses it"
        ) from error


def _accept(listener: socket.socket, deadline: float) -> socket.socket | None:
    """The next connection; None after the deadline."""
    listener.settimeout(max(0.01, deadline - time.monotonic()))
    try:
        return listener.accept()[0]
    except TimeoutError:
        return None


def _missing(member: Member, present: Any, timeout: float) -> str:
    missing = [str(i) for i in range(1, member.process_count) if i not in present]
    named = ", ".join(missing[:8]) + (f" and {len(missing) - 8} more" if len(missing) > 8 else "")
    return (
        f"of {member.process_count} processes these did not come to {member.address} within "
        f"{timeout:g} s: {named}\nStart the same command for every process-index, and let all "
        "reach that address."
    )


def _disagreement(index: Any, settings: Any, told: dict[str, str], present: Any) -> str:
    """What is wrong with the process that reported `index` and `settings`; "" if nothing."""
    if not isinstance(settings, dict):
        settings = {}
    names = told.keys() | settings.keys()
    for name in sorted(names, key=lambda name: (name != "process-count", name)):
        if settings.get(name) != told.get(name):
            return (
                f"process {index} was given {name} {settings.get(name, 'nothing')}, process 0 "
                f"{told.get(name, 'nothing')}; give all processes the same"
            )
    if index in present or index == 0:
        return f"two processes were given process-index {index}; give each its own"
    if not isinstance(index, int) or not 0 < index < int(told["process-count"]):
        return f"a process was given process-index {index} of {told['process-count']}"
    return ""


def _is_open(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        return connection.recv(1, socket.MSG_PEEK) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False


# --- The others ---------------------------------------------------------------------------------


def _report(member: Member, told: dict[str, str], deadline: float, timeout: float) -> socket.socket:
    hello = {"process-index": member.process_index, "settings": told}
    while True:
        reason = "nothing of this program answers there"
        try:
            connection = socket.create_connection((member.host, member.port), _MESSAGE_SECONDS)
        except OSError as error:
            reason = error.strerror or str(error) or type(error).__name__
        else:
            _write(connection, hello)
            # Process 0 tells at its own deadline, which may be later than ours.
            reply = _read(connection, max(0.0, deadline - time.monotonic()) + _MESSAGE_SECONDS)
            if reply is not None and "complaint" in reply:
                if reply["complaint"]:
                    raise UserError(str(reply["complaint"]))
                return connection
            connection.close()
        if time.monotonic() > deadline:
            raise UserError(
                f"process {member.process_index} can't reach process 0 at {member.address} within "
                f"{timeout:g} s ({reason}).\nIs process 0 running, and does its firewall let "
                "this port through?"
            )
        time.sleep(_RETRY_SECONDS)


# --- Messages -----------------------------------------------------------------------------------


def _keep_alive(connection: socket.socket) -> None:
    """Firewalls forget connections on which nothing is sent for some minutes."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 30), ("TCP_KEEPCNT", 6)):
        if hasattr(socket, name):  # not everywhere
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _write(connection: socket.socket, message: dict[str, Any]) -> None:
    connection.settimeout(_MESSAGE_SECONDS)
    with contextlib.suppress(OSError):  # it has gone; then the start of JAX fails in the others
        connection.sendall(json.dumps(message).encode() + b"\n")


def _read(connection: socket.socket, seconds: float = _MESSAGE_SECONDS) -> dict[str, Any] | None:
    """The next message; None if there comes none, or something else."""
    connection.settimeout(seconds)
    received = b""
    try:
        while b"\n" not in received and len(received) < _MOST_BYTES:
            part = connection.recv(65536)
            if not part:
                return None
            received += part
        message = json.loads(received.split(b"\n")[0])
    except (OSError, ValueError):
        return None
    return message if isinstance(message, dict) else None
