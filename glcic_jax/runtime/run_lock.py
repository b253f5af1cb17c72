"""The lock that keeps two runs out of one working directory.

It lies on the file `run.lock`, whose text says who holds it, and the kernel releases it with the
process, however that ends. Who only reads a run, such as an evaluation, does not ask for it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from pathlib import Path
from typing import IO

from glcic_jax.errors import UserError

try:
    import fcntl
except ImportError:  # no such locks on Windows; a run there goes on without
    fcntl = None  # type: ignore[assignment]

LOCK_NAME = "run.lock"
_HELD = {errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES}


def require_no_other_run(workdir: Path) -> None:
    """Look whether a run holds the lock of `workdir`. Writes nothing.

    Raises:
        UserError: one does.
        OSError: the file can't be read.
    """
    try:
        with (Path(workdir) / LOCK_NAME).open("rb") as file:
            _take(workdir, file, shared=True)  # two that look don't see each other
    except FileNotFoundError:
        return


def hold(workdir: Path) -> contextlib.AbstractContextManager:
    """Take the lock of an existing directory; it is released where the answer's `with` ends.

    Where the file system has no locks, there is none.

    Raises:
        UserError: another run holds it.
        OSError: the file can't be written.
    """
    with contextlib.ExitStack() as on_error:
        file = on_error.enter_context((Path(workdir) / LOCK_NAME).open("ab+"))
        _take(workdir, file, shared=False)
        with contextlib.suppress(OSError):  # a full disk; the text is only for the message
            file.truncate(0)
            os.write(file.fileno(), f"process {os.getpid()} on {socket.gethostname()}\n".encode())
        on_error.pop_all()
    return file


def _take(workdir: Path, file: IO[bytes], *, shared: bool) -> None:
    if fcntl is None:
        return
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in _HELD:
            return
        file.seek(0)
        holder = file.read(200).decode(errors="replace").strip() or "another process"
        raise UserError(
            f"a run is going on in {workdir} ({holder}); wait for its end or stop it, or give "
            "another --workdir"
        ) from error
