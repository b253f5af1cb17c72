"""A disk that is full or can't be written to, and two runs in one directory."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.support import finish, start_python

from .kills import TINY
from .table import Row

LENGTHS = "--phases.completion-steps 60 --phases.discriminator-steps 0 --phases.joint-steps 0"


def run(work: Path) -> Iterator[Row]:
    """A row for full disks, one for a disk that becomes read-only, one for two runs at once."""
    disk = work / "disk"
    disk.mkdir()
    if _mount(disk, "size=64m"):
        try:
            yield _full(work, disk)
            yield _read_only(work, disk)
        finally:
            subprocess.run(["umount", str(disk)], check=False)
    else:
        why = "not run: this machine may not mount a disk of its own"
        yield Row("3 disk, full", why, 0, why, 0)
        yield Row("3 disk, read-only", why, 0, why, 0)
    yield _two_runs(work)


def _full(work: Path, disk: Path) -> Row:
    """Fill the disk but for some room, train, make room, train on."""
    losses, said = 0, set()
    rooms = [8, 40, 120, 300, 600, 1000, 1500, 2200]
    for room in rooms:
        for path in disk.iterdir():
            shutil.rmtree(path)
        workdir = disk / "x"
        ballast = disk / "ballast"
        ballast.mkdir()
        _fill(ballast / "filled", room)
        ended = finish(_train(work, workdir))
        message = ended.stderr.strip()
        good = ended.returncode == 1 and _is_brief(message)
        said.add(_reason(message))
        shutil.rmtree(ballast)
        again = finish(_train(work, workdir))
        losses += not good or again.returncode != 0
        if not good or again.returncode:
            print(room, ended.returncode, message[-3000:], again.stderr[-1000:])
    what = f"train with {rooms[0]} to {rooms[-1]} KiB of room, then again with enough"
    outcome = "each said so in one message and went on afterwards" if not losses else "see losses"
    return Row("3 disk, full", what, len(rooms), f"{outcome}: {'; '.join(sorted(said))}", losses)


def _read_only(work: Path, disk: Path) -> Row:
    for path in disk.iterdir():
        shutil.rmtree(path)
    workdir = disk / "x"
    losses = 0
    short = LENGTHS.replace("60", "20")
    losses += finish(_train(work, workdir, short)).returncode != 0
    before = {path: path.read_bytes() for path in workdir.rglob("*") if path.is_file()}
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    ended = finish(_train(work, workdir, LENGTHS, "--extend"))
    losses += ended.returncode != 1 or not _is_brief(ended.stderr.strip())
    losses += any(path.read_bytes() != raw for path, raw in before.items())
    subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
    losses += finish(_train(work, workdir, LENGTHS, "--extend")).returncode != 0
    if losses:
        print(ended.stderr[-3000:])
    what = "a run's disk mounted read-only, training refused, mounted again, trained on"
    return Row("3 disk, read-only", what, 1, _reason(ended.stderr.strip()), losses)


def _two_runs(work: Path, rounds: int = 5) -> Row:
    refused = 0
    for number in range(rounds):
        workdir = work / f"two{number}"
        pair = [_train(work, workdir), _train(work, workdir)]
        ended = [finish(process) for process in pair]
        loser = [one for one in ended if one.returncode == 1]
        winner = [one for one in ended if one.returncode == 0]
        named = len(loser) == 1 and "a run is going on in" in loser[0].stderr
        # One may have ended before the other looked; then both are right, one after the other.
        refused += bool(winner) and named
    outcome = f"{refused} times one was refused and the other one ended in order"
    what = "two runs started at once in one directory"
    return Row("3 two runs", what, rounds, outcome, rounds - refused)


def _train(work: Path, workdir: Path, lengths: str = LENGTHS, *options: str) -> subprocess.Popen:
    cache = work / "compiled"
    every = "--loop.log-every 1 --loop.save-every 5 --loop.validate-every 10"
    arguments = [*TINY, *lengths.split(), *every.split(), *options]
    return start_python(cache, "train.py", "--workdir", str(workdir), *arguments)


def _fill(path: Path, room: int) -> None:
    """Leave `room` KiB."""
    free = shutil.disk_usage(path.parent).free - room * 1024
    with path.open("wb") as file:
        file.write(b"\0" * free)


def _is_brief(message: str) -> bool:
    return message.startswith("error: ") and len(message.splitlines()) <= 2


def _reason(message: str) -> str:
    """What could not be written, without the path of the machine."""
    for part, name in (
        ("metrics.jsonl", "metrics"),
        ("tensorboard", "TensorBoard"),
        ("samples", "picture"),
        ("checkpoint", "checkpoint"),
    ):
        if part in message:
            return name
    return "directory" if message.startswith("error: can't write to") else message[:60]


def _mount(disk: Path, options: str) -> bool:
    with contextlib.suppress(OSError):
        command = ["mount", "-t", "tmpfs", "-o", options, "none", str(disk)]
        return subprocess.run(command, capture_output=True).returncode == 0
    return False
