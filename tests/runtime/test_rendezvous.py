"""Processes meet, or all of them learn what is wrong; here threads play their parts."""

from __future__ import annotations

import contextlib
import json
import queue
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from support import free_port

from glcic_jax.errors import UserError
from glcic_jax.runtime.rendezvous import Member, Ties, meet


def outcomes(calls, timeout: float = 5.0) -> list[str]:
    """What `meet` said to each of `calls`, which are (process_count, process_index, settings)."""
    port = free_port()

    def call(count: int, index: int, settings: dict[str, str]) -> str:
        try:
            meet(Member("localhost", port, count, index), settings, timeout)
        except UserError as error:
            return str(error)
        return "met"

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(lambda call_arguments: call(*call_arguments), calls))


def test_all_meet_whoever_comes_first():
    port = free_port()
    with ThreadPoolExecutor(3) as pool:
        members = [Member("localhost", port, 3, index) for index in (2, 1, 0)]
        meetings = []
        for member in members:
            meetings.append(pool.submit(meet, member, {"seed": "1"}, 10))
            time.sleep(0.1)
        assert [meeting.result(timeout=10).own_index for meeting in meetings] == [2, 1, 0]
    with socket.create_server(("", port)):
        pass  # the port is free for JAX


def three() -> list[Ties]:
    port = free_port()
    with ThreadPoolExecutor(3) as pool:
        members = [Member("localhost", port, 3, index) for index in range(3)]
        return list(pool.map(lambda member: meet(member, {}, 10), members))


def watch(ties: list[Ties]) -> list[queue.SimpleQueue]:
    heard = [queue.SimpleQueue() for _ in ties]
    for one, queue_ in zip(ties, heard, strict=True):
        one.watch(lambda reason, was_told, queue_=queue_: queue_.put((reason, was_told)))
    return heard


def test_an_end_is_told_to_all():
    ties = three()
    heard = watch(ties)
    ties[2].tell("process 2 stopped: disk full")
    for one in heard[:2]:
        assert one.get(timeout=5) == ("process 2 stopped: disk full", True)


def test_a_death_is_noticed_by_all(start_program):
    program = (
        "import sys; from glcic_jax.runtime.rendezvous import Member, meet;"
        "ties = meet(Member('localhost', int(sys.argv[1]), 3, 1), {}, 10); print(1, flush=True);"
        "sys.stdin.read()"
    )
    port = free_port()
    died = start_program("-c", program, str(port))
    with ThreadPoolExecutor(2) as pool:
        members = [Member("localhost", port, 3, index) for index in (0, 2)]
        ties = list(pool.map(lambda member: meet(member, {}, 10), members))
    heard = watch(ties)
    assert died.stdout.readline() == "1\n"
    died.kill()
    died.communicate()
    reason = "process 1 has ended; its own output may say why"
    assert heard[0].get(timeout=5) == (reason, False)
    assert heard[1].get(timeout=5) == (reason, True)


def test_parting_in_order_disturbs_nobody():
    ties = three()
    heard = watch(ties)
    for one in ties:
        one.part()
    ties[0].wait_until_alone(0.2)
    time.sleep(0.2)
    assert all(one.empty() for one in heard)


def test_counts_that_disagree():
    said = outcomes([(2, 0, {}), (3, 1, {})])
    assert (
        said
        == ["process 1 was given process-count 3, process 0 2; give all processes the same"] * 2
    )


def test_settings_that_disagree_are_named_to_all():
    same, other = {"a": "1", "data.sources": "('photos',)"}, {"a": "1", "data.sources": "()"}
    said = outcomes([(3, 0, same), (3, 1, same), (3, 2, other)], timeout=1)
    assert "process 2 was given data.sources (), process 0 ('photos',)" in said[0]
    assert said[2] == said[0]
    # The second may have come before or after the third.
    assert said[1] == said[0] or "can't reach process 0" in said[1]


def test_an_index_given_twice():
    said = outcomes([(3, 0, {}), (3, 1, {}), (3, 1, {})], timeout=1)
    assert said[0] == "two processes were given process-index 1; give each its own"


def test_a_process_that_does_not_come():
    said = outcomes([(4, 0, {}), (4, 2, {})], timeout=0.5)
    assert said[0] == said[1]
    assert "of 4 processes these did not come to localhost:" in said[0]
    assert "within 0.5 s: 1, 3\n" in said[0]


def test_an_unreachable_coordinator():
    started = time.monotonic()
    (said,) = outcomes([(2, 1, {})], timeout=0.5)
    assert "process 1 can't reach process 0 at localhost:" in said
    assert "Connection refused" in said
    assert len(said.splitlines()) == 2
    assert time.monotonic() - started < 5


def test_a_port_in_use():
    with socket.create_server(("", 0)) as taken:
        member = Member("localhost", taken.getsockname()[1], 2, 0)
        with pytest.raises(UserError, match=r"can't listen on port \d+ \(Address already in use\)"):
            meet(member, {}, 5)


def test_strangers_and_processes_that_went_away_do_not_count():
    port = free_port()
    hello = {"process-index": 1, "settings": {"process-count": "3"}}
    with ThreadPoolExecutor(3) as pool:
        meetings = [pool.submit(meet, Member("localhost", port, 3, 0), {}, 20)]
        for sent in ("GET / HTTP/1.1\n\n", json.dumps(hello) + "\n"):
            connect(port).sendall(sent.encode())
        time.sleep(0.2)
        meetings += [pool.submit(meet, Member("localhost", port, 3, i), {}, 20) for i in (1, 2)]
        assert [meeting.result(timeout=10).own_index for meeting in meetings] == [0, 1, 2]


def connect(port: int) -> socket.socket:
    """Connect as soon as somebody listens."""
    for _ in range(100):
        with contextlib.suppress(ConnectionError):
            return socket.create_connection(("localhost", port))
        time.sleep(0.05)
    raise AssertionError("nobody listens")


def test_something_else_at_the_port():
    with socket.create_server(("localhost", 0)) as server:

        def answer():
            with contextlib.suppress(OSError):
                while True:
                    connection = server.accept()[0]
                    connection.sendall(b"HTTP/1.1 400 Bad Request\n")
                    connection.close()

        threading.Thread(target=answer, daemon=True).start()
        member = Member("localhost", server.getsockname()[1], 2, 1)
        with pytest.raises(UserError, match="can't reach process 0"):
            meet(member, {}, 0.5)
