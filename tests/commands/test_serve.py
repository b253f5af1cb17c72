"""`glcic-jax serve` as a command: it says where it is, warns, and refuses what it can't do."""

from __future__ import annotations

import signal
import socket
import urllib.request

import pytest


def start(start_program, *words: str):
    process = start_program("-m", "glcic_jax", "serve", "--port", "0", *words)
    lines = [process.stdout.readline()]
    if lines[0].startswith("warning"):
        lines.append(process.stdout.readline())
    return process, lines


def test_it_answers_at_the_address_that_it_prints_and_ends_on_ctrl_c(start_program):
    process, lines = start(start_program, "--host", "0.0.0.0")
    try:
        address = lines[-1].split(" at ")[1].split(" (")[0]
        assert address.startswith("http://127.0.0.1:")
        assert b"Repair a photograph" in urllib.request.urlopen(address, timeout=20).read()
        assert "anyone who reaches this machine" in lines[0]
        process.send_signal(signal.SIGINT)
        process.wait(30)
        assert "Traceback" not in process.stderr.read()
    finally:
        process.kill()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--port", "70000"), "port is 70000"),
        (("--max-megapixels", "0"), "max-megapixels is 0"),
        (("--at-once", "0"), "at-once is 0"),
        (("--host", "203.0.113.9"), "can't listen on 203.0.113.9:8765"),
        (("--host", "no host"), "can't listen on no host"),
        (("--generator", "no"), "no pretrained generator 'no'"),
    ],
)
def test_what_it_can_not_do_is_one_message(call_program, words, said):
    status, errors = call_program("glcic_jax.commands.serve", *words)
    assert status == 1
    assert errors.startswith("error: ")
    assert said in errors
    assert len(errors.splitlines()) == 1


def test_a_port_that_is_taken(call_program):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        status, errors = call_program("glcic_jax.commands.serve", "--port", port)
    assert status == 1
    assert "give another --port" in errors
