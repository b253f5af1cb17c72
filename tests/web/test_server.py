"""The server behind the page: what it answers, what it refuses, and that it goes on after both."""

from __future__ import annotations

import io
import json
import re
import threading
import time
import zlib
from importlib import resources

import numpy as np
import pytest
import skimage.data
from PIL import Image

from glcic_jax import inpaint_fn, load_generator

PHOTO = np.ascontiguousarray(skimage.data.chelsea()[60:156, 120:240])
HOLE = np.zeros(PHOTO.shape[:2], np.uint8)
HOLE[30:38, 20:90] = 255


def png(array) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(array)).save(buffer, "PNG")
    return buffer.getvalue()


def body(photograph: bytes, mask: bytes) -> bytes:
    return len(photograph).to_bytes(4, "big") + photograph + mask


def ask(server, photograph, mask):
    return server.ask("POST", "/fill", body(photograph, mask), X_Glcic_Jax="1")


@pytest.fixture(scope="module")
def wanted():
    return inpaint_fn(*load_generator("photographs"), PHOTO, HOLE > 0)


def test_a_photograph_comes_back_filled(server, wanted):
    status, answer, headers = ask(server, png(PHOTO), png(HOLE))
    assert (status, headers["Content-Type"]) == (200, "image/png")
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(answer))), wanted)
    assert headers["X-Pixels"] == "560"
    assert headers["Cache-Control"] == "no-store"


def test_the_page_and_its_files_are_here_and_name_no_other_place(server):
    status, page, headers = server.ask("GET", "/")
    assert status == 200
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    linked = re.findall(r'(?:src|href)="(/[^"]*)"', page.decode())
    assert len(linked) >= 3
    for path in linked:
        assert server.ask("GET", path)[0] == 200, path
    for file in (resources.files("glcic_jax.web") / "static").iterdir():
        assert not re.findall(r"https?://(?!www\.w3\.org)", file.read_text("utf-8")), file.name


def huge() -> bytes:
    """A PNG of 100 megapixels in a few hundred bytes."""
    data = png(np.zeros((8, 8), np.uint8))
    header = b"IHDR" + (10_000).to_bytes(4, "big") * 2 + data[24:29]
    return data[:12] + header + zlib.crc32(header).to_bytes(4, "big") + data[33:]


REFUSED = {
    "no photograph": (b"nothing", png(HOLE), 422, "is no image"),
    "no mask": (png(PHOTO), b"nothing", 422, "The mask is no image"),
    "empty mask": (png(PHOTO), png(HOLE * 0), 422, "shows no hole"),
    "full mask": (png(PHOTO), png(HOLE * 0 + 255), 422, "hole everywhere"),
    "mask of another shape": (png(PHOTO), png(HOLE[:50]), 422, "another shape"),
    "cut": (png(PHOTO)[:900], png(HOLE), 422, "can't be read"),
    "bomb": (huge(), png(HOLE), 413, "has 100.0 megapixels; at most 24"),
    "mask bomb": (png(PHOTO), huge(), 413, "has 100.0 megapixels"),
    "nothing after the length": (b"", b"", 400, "incomplete"),
    "GIF": (b"GIF89a" + bytes(30), png(HOLE), 422, "The photograph"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_is_told_and_the_server_lives(server, name):
    photograph, mask, wanted_status, said = REFUSED[name]
    status, answer, _ = ask(server, photograph, mask)
    message = json.loads(answer)["message"]
    assert (status, said in message) == (wanted_status, True), (status, message)
    assert len(message) < 300
    assert ask(server, png(PHOTO), png(HOLE))[0] == 200


def test_a_body_that_is_too_large_is_cut_off(server):
    status, answer, _ = server.ask("POST", "/fill", bytes(193_000_000), X_Glcic_Jax="1")
    assert status == 413
    assert "larger than 192 MB" in json.loads(answer)["message"]


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/../../etc/passwd", {}, 404),
        ("GET", "/static/../server.py", {}, 404),
        ("GET", "/%2e%2e/server.py", {}, 404),
        ("GET", "/page.js/../../server.py", {}, 404),
        ("GET", "/fill", {}, 405),
        ("POST", "/", {}, 405),
        ("POST", "/fill", {}, 403),
        ("GET", "/", {"Host": "evil.example"}, 400),
    ],
)
def test_addresses_that_nobody_should_ask_for(server, method, path, headers, status):
    assert server.ask(method, path, **headers)[0] == status


def test_an_error_of_ours_is_one_message(server):
    def broken(*_):
        raise RuntimeError("inner workings")

    server.filler = broken
    try:
        status, answer, _ = ask(server, png(PHOTO), png(HOLE))
    finally:
        server.filler = server.fill
    assert status == 500
    assert b"inner workings" not in answer
    assert ask(server, png(PHOTO), png(HOLE))[0] == 200


def test_one_photograph_at_a_time_one_waits_and_more_are_sent_away(server, wanted):
    running, most, gate = [0], [0], threading.Event()

    def slow(image, hole):
        running[0] += 1
        most[0] = max(most[0], running[0])
        gate.wait(30)
        running[0] -= 1
        return server.fill(image, hole)

    server.filler = slow
    answers: list = []
    threads = [
        threading.Thread(target=lambda: answers.append(ask(server, png(PHOTO), png(HOLE))))
        for _ in range(5)
    ]
    try:
        for thread in threads:
            thread.start()
        until = time.monotonic() + 30
        while len(answers) < 3 and time.monotonic() < until:
            time.sleep(0.05)
        gate.set()
        for thread in threads:
            thread.join(60)
    finally:
        server.filler = server.fill
        gate.set()
    assert sorted(status for status, _, _ in answers) == [200, 200, 503, 503, 503]
    assert most == [1]
    for status, answer, _ in answers:
        if status == 200:
            np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(answer))), wanted)


def test_two_users_get_their_own_photographs(server):
    rng = np.random.default_rng(0)
    photos = [np.roll(PHOTO, int(rng.integers(90)), 1) for _ in range(2)]
    answers: dict = {}

    def use(number):
        answers[number] = [ask(server, png(photos[number]), png(HOLE)) for _ in range(4)]

    threads = [threading.Thread(target=use, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    for number, photo in enumerate(photos):
        for status, answer, _ in answers[number]:
            assert status == 200
            done = np.asarray(Image.open(io.BytesIO(answer)))
            np.testing.assert_array_equal(done[HOLE == 0], photo[HOLE == 0])


def test_nothing_is_written_to_disk(server, monkeypatch):
    import tempfile

    def refuse(*_, **__):
        raise AssertionError("a temporary file was asked for")

    for name in ("mkstemp", "NamedTemporaryFile", "TemporaryFile", "SpooledTemporaryFile"):
        monkeypatch.setattr(tempfile, name, refuse)
    large = np.tile(PHOTO, (12, 10, 1))
    hole = np.zeros(large.shape[:2], np.uint8)
    hole[500:510, 500:600] = 255
    assert ask(server, png(large), png(hole))[0] == 200
