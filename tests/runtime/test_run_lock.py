"""The lock of a working directory: one run at a time, released with its process."""

from __future__ import annotations

import errno
import fcntl

import pytest

from glcic_jax.config.settings import Config
from glcic_jax.errors import UserError
from glcic_jax.runtime import run_lock
from glcic_jax.runtime.workdir import check_workdir, load_config, open_workdir

HOLD = """
import sys, time
from pathlib import Path
from glcic_jax.runtime import run_lock
lock = run_lock.hold(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(60)
"""


def test_a_second_run_is_refused_until_the_first_is_killed(tmp_path, start_program):
    open_workdir(tmp_path, Config())
    process = start_program("-c", HOLD, str(tmp_path))
    assert process.stdout.readline() == "held\n"
    for refused in (check_workdir, open_workdir):
        with pytest.raises(UserError, match=rf"a run is going on in .*process {process.pid} on"):
            refused(tmp_path, Config())
    assert load_config(tmp_path) == Config(), "who only reads is not refused"
    process.kill()
    process.communicate()
    with open_workdir(tmp_path, Config()), pytest.raises(UserError, match="a run is going on"):
        check_workdir(tmp_path, Config())
    check_workdir(tmp_path, Config())


def test_a_file_system_without_locks_is_no_obstacle(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with run_lock.hold(tmp_path), run_lock.hold(tmp_path):
        run_lock.require_no_other_run(tmp_path)
