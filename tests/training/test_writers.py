"""Writers: strict lines, cut back on resume; events; PNGs; a bar or plain lines."""

import errno
import io
import json
import os

import numpy as np
import pytest
from PIL import Image
from rich.console import Console
from tensorboardX.proto.event_pb2 import Event, SessionLog

from glcic_jax.errors import UserError
from glcic_jax.training.writers import Writers


class Clock:
    """Seconds that pass only when told."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def strict(line):
    def refuse(token):
        raise AssertionError(f"{token} is not JSON")

    return json.loads(line, parse_constant=refuse)


def metrics(workdir):
    return [strict(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def events(workdir):
    """Every TensorBoard event of the run: length, its CRC, the event, its CRC."""
    found = []
    for path in sorted((workdir / "tensorboard").iterdir()):
        raw = path.read_bytes()
        while raw:
            length = int.from_bytes(raw[:8], "little")
            found.append(Event.FromString(raw[12 : 12 + length]))
            raw = raw[12 + length + 4 :]
    return found


def board_scalars(workdir):
    return [
        (event.step, value.tag, value.simple_value)
        for event in events(workdir)
        for value in event.summary.value
        if value.HasField("simple_value")
    ]


@pytest.fixture
def terminal():
    return Console(force_terminal=True, file=io.StringIO(), width=100)


@pytest.fixture
def plain():
    return Console(force_terminal=False, file=io.StringIO(), width=60)


# --- metrics.jsonl and TensorBoard --------------------------------------------------------------


def test_values_are_on_disk_at_once_in_both_places(tmp_path):
    with Writers(tmp_path, 100, 0) as writers:
        writers.scalars(20, "joint", 512.5, {"reconstruction": 0.25, "total": 0.5}, rate=1e-3)
        writers.validation(20, {"psnr": np.float32(18.5)})
        assert metrics(tmp_path) == [
            {
                "step": 20,
                "phase": "joint",
                "images_per_second": 512.5,
                "reconstruction": 0.25,
                "total": 0.5,
                "rate": 1e-3,
            },
            {"step": 20, "phase": "validation", "psnr": 18.5},
        ]
    assert board_scalars(tmp_path) == [
        (20, "train/images_per_second", 512.5),
        (20, "train/reconstruction", 0.25),
        (20, "train/total", 0.5),
        (20, "train/rate", pytest.approx(1e-3)),
        (20, "validation/psnr", 18.5),
    ]


def test_values_that_are_not_finite_are_null(tmp_path, caplog):
    with Writers(tmp_path, 100, 0) as writers:
        writers.scalars(1, "joint", 1.0, {"a": float("nan"), "b": float("inf"), "c": 2.0})
    (line,) = metrics(tmp_path)
    assert (line["a"], line["b"], line["c"]) == (None, None, 2.0)
    assert [tag for _, tag, _ in board_scalars(tmp_path)] == ["train/images_per_second", "train/c"]
    assert caplog.records == []


def test_a_term_can_not_take_the_name_of_a_column(tmp_path):
    with Writers(tmp_path, 100, 0) as writers, pytest.raises(ValueError, match="phase"):
        writers.validation(1, {"phase": 1.0})
    assert metrics(tmp_path) == []


def test_resuming_drops_later_lines_and_a_torn_one(tmp_path):
    with Writers(tmp_path, 100, 0) as writers:
        for step in (10, 20, 30, 40):
            writers.scalars(step, "joint", 1.0, {"a": float(step)})
            writers.validation(step, {"psnr": float(step)})
    path = tmp_path / "metrics.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:30])
    with Writers(tmp_path, 100, 20) as writers:
        assert [line["step"] for line in metrics(tmp_path)] == [10, 10, 20, 20]
        writers.scalars(30, "joint", 1.0, {"a": 30.0})
        writers.validation(30, {"psnr": 30.0})
    assert path.read_bytes() == b"".join(whole.splitlines(keepends=True)[:6])
    assert {path.name for path in tmp_path.iterdir()} == {"metrics.jsonl", "tensorboard"}
    # TensorBoard is told to forget the same steps.
    starts = [e.step for e in events(tmp_path) if e.session_log.status == SessionLog.START]
    assert starts[-1] == 21


@pytest.mark.parametrize("size", range(1, 40, 6))
def test_a_line_torn_anywhere_is_dropped(tmp_path, size):
    line = b'{"step": 7, "phase": "joint", "a": 12}\n'
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(line + line[:size])
    with Writers(tmp_path, 100, 7):
        assert path.read_bytes() == (line + line if size == len(line) else line)


def test_a_torn_line_that_is_json_by_chance_is_dropped(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"step": 1}\n{"step": 2}')
    with Writers(tmp_path, 100, 7):
        assert path.read_bytes() == b'{"step": 1}\n'


def test_starting_anew_empties_the_metrics(tmp_path):
    with Writers(tmp_path, 100, 0) as writers:
        writers.scalars(10, "joint", 1.0, {"a": 1.0})
    with Writers(tmp_path, 100, 0):
        assert metrics(tmp_path) == []


def test_nothing_changes_in_a_file_that_is_whole(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"step": 7}\n')
    inode = path.stat().st_ino
    with Writers(tmp_path, 100, 7):
        pass
    assert path.stat().st_ino == inode
    assert path.read_bytes() == b'{"step": 7}\n'


def test_an_inactive_writer_does_nothing(tmp_path, capfd):
    with Writers(tmp_path, 100, 0, active=False) as writers:
        writers.scalars(1, "joint", 1.0, {"a": 1.0})
        writers.validation(1, {"psnr": 1.0})
        writers.grid(1, np.zeros((4, 4, 3), np.uint8))
        writers.progress(1, "joint", {"a": 1.0}, 1.0)
        writers.message("hello")
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("what", ["scalars", "grid"])
def test_a_full_disk_is_one_error_and_the_end_is_in_order(tmp_path, monkeypatch, what):
    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with Writers(tmp_path, 100, 0) as writers:
        monkeypatch.setattr(os, "fsync", full)
        values = {"scalars": (1, "joint", 1.0, {"a": 1.0}), "grid": (1, np.zeros((4, 4, 3), "u1"))}
        with pytest.raises(UserError, match="No space left on device"):
            getattr(writers, what)(*values[what])
    assert list((tmp_path / "samples").glob("*")) == []


# --- Sample grids -------------------------------------------------------------------------------


def test_the_grid_is_a_png_and_an_event(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    with Writers(tmp_path, 5000, 0) as writers:
        writers.grid(1000, image)
        writers.grid(1000, image)
    (path,) = (tmp_path / "samples").iterdir()
    assert path.name == "step_00001000.png"
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        np.testing.assert_array_equal(np.asarray(picture), image)
    images = [v.image for e in events(tmp_path) for v in e.summary.value if v.HasField("image")]
    with Image.open(io.BytesIO(images[0].encoded_image_string)) as picture:
        np.testing.assert_array_equal(np.asarray(picture), image)


# --- Terminal -----------------------------------------------------------------------------------


def test_plain_lines_come_every_ten_seconds_or_with_a_phase(tmp_path, plain):
    clock = Clock()
    with Writers(tmp_path, 100, 0, console=plain, clock=clock) as writers:
        for step in range(1, 101):
            clock.now += 1.0
            phase = "completion" if step <= 35 else "joint"
            writers.progress(step, phase, {"reconstruction": 0.123456, "adversarial": 2.0}, 640.4)
    lines = plain.file.getvalue().splitlines()
    shown = [int(line.split()[1].removesuffix("/100")) for line in lines]
    assert shown == [1, 11, 21, 31, 36, 46, 56, 66, 76, 86, 96, 100]
    # Longer than the console is wide, and not wrapped: a log is for grep.
    assert lines[1] == (
        "completion 11/100  reconstruction 0.1235  adversarial 2  640 images/s  1:29 left"
    )


def test_time_left_counts_neither_earlier_runs_nor_other_phases(tmp_path, plain):
    clock = Clock()
    with Writers(tmp_path, 10_000, 9_000, console=plain, clock=clock) as writers:
        for step, phase, seconds in (
            (9_001, "completion", 30),  # compiling
            (9_011, "completion", 20),  # 2 s a step
            (9_012, "joint", 60),
            (9_022, "joint", 100),  # 10 s a step
        ):
            clock.now += seconds
            writers.progress(step, phase, {}, 1.0)
    left = [line.split()[-2] for line in plain.file.getvalue().splitlines()]
    assert left == ["?", "32:58", "32:56", "2:43:00"]


def test_a_terminal_gets_one_bar_with_messages_above(tmp_path, terminal):
    clock = Clock()
    with Writers(tmp_path, 100, 40, console=terminal, clock=clock) as writers:
        for step in (41, 51):
            clock.now += 10.0
            writers.progress(step, "joint", {"reconstruction": 0.5}, 320.0)
            writers.message(f"[b]saved[/b] {step}")
    text = terminal.file.getvalue()
    assert "[b]saved[/b] 41\n" in text
    last = text[text.rindex("51/100") - 80 :]
    for part in ("joint", "51/100", "reconstruction 0.5", "320 images/s", "0:49 left"):
        assert part in last, part
    assert text.count("\n") <= 4, "the bar is drawn over itself, not below"
    assert "\x1b[?25h" in text, "the cursor is shown again"


def test_without_a_terminal_the_output_has_no_control_codes(tmp_path, run_python):
    program = (
        "import sys; from glcic_jax.training.writers import Writers\n"
        "with Writers(sys.argv[1], 9, 0) as w:\n"
        "    w.message('hello'); w.progress(1, 'joint', {'a': 1.0}, 2.0)\n"
    )
    done = run_python("-c", program, str(tmp_path))
    assert done.stdout == "hello\njoint 1/9  a 1  2 images/s  ? left\n"
    assert done.stderr == ""
