"""The directory of a run: whether it may be used, and its `config.json`."""

from __future__ import annotations

import contextlib
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import jax

from glcic_jax.config import saved
from glcic_jax.config.settings import Config, total_steps
from glcic_jax.errors import UserError
from glcic_jax.runtime import files, jobs, run_lock

CONFIG_NAME = "config.json"

Which = Literal["best", "latest"]
"""Which checkpoint of a run to use: the best by validation, or the newest."""


def check_workdir(workdir: Path, config: Config, *, extend: bool = False) -> None:
    """Whether a run of `config` may start or go on in `workdir`. Writes nothing.

    Args:
        workdir: the run's directory; it need not exist.
        config: of the run.
        extend: its phases may have other lengths than those of the run that is there.

    Raises:
        UserError: `workdir` is a file or an address, can't be written to, is used by a run that
            goes on, holds a run whose configuration differs, or checkpoints without a
            configuration.
    """
    workdir = Path(workdir)
    if re.match(r"[a-z0-9]{2,}:/", str(workdir)):  # Path makes one slash of two
        raise UserError(
            f"--workdir is {workdir}; it must be a directory of this machine. To use a bucket, "
            "mount it, see docs/tpu.md"
        )
    if workdir.exists() and not workdir.is_dir():
        raise UserError(f"{workdir} is a file; --workdir needs a directory")
    with _write_errors(workdir):
        if jobs.is_first():
            run_lock.require_no_other_run(workdir)
        if (workdir / CONFIG_NAME).exists():
            _require_resumable(workdir, load_config(workdir), config, extend=extend)
        else:
            _require_no_foreign_checkpoints(workdir)
        files.probe(workdir)


def check_shared(workdir: Path) -> None:
    """Whether all processes of a job see the same `workdir`. Leaves nothing behind.

    Raises:
        UserError: in all processes, if one doesn't see what the first one writes there.
    """
    if jax.process_count() == 1:
        return
    workdir = Path(workdir)
    with contextlib.ExitStack() as probe:

        def write() -> str:
            with _write_errors(workdir):
                directory = files.nearest_existing(workdir)
                file = probe.enter_context(tempfile.NamedTemporaryFile(dir=directory))
                return Path(file.name).name

        name = jobs.from_first(write)
        seen = jobs.gather(lambda: (files.nearest_existing(workdir) / name).exists())
    if not all(seen):
        raise UserError(
            f"process {seen.index(False)} does not see what process 0 writes to {workdir}; "
            "--workdir must be a directory that all machines share"
        )


def open_workdir(
    workdir: Path, config: Config, *, extend: bool = False
) -> contextlib.AbstractContextManager:
    """Make `workdir` and write `config.json`; call it after `check_workdir`, which see.

    No other run may open it until the `with` of the answer ends, or this process.

    The file is only replaced where settings changed that a resumed run may change. Of several
    processes only the first does anything.

    Raises:
        UserError: as `check_workdir`; nothing is written then.
    """
    if not jobs.is_first():
        return contextlib.nullcontext()
    workdir = Path(workdir)
    check_workdir(workdir, config, extend=extend)
    with _write_errors(workdir), contextlib.ExitStack() as on_error:
        workdir.mkdir(parents=True, exist_ok=True)
        lock = on_error.enter_context(run_lock.hold(workdir))
        path, text = workdir / CONFIG_NAME, saved.to_json(config)
        if not path.exists() or load_config(workdir) != config:
            files.replace_file(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
        on_error.pop_all()
    return lock


@contextlib.contextmanager
def _write_errors(workdir: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(
            f"can't write to {workdir}: {error.strerror or error}; choose another --workdir"
        ) from error


def load_config(workdir: Path) -> Config:
    """The configuration of the run in `workdir`.

    Raises:
        UserError: there is no run, or its configuration can't be read.
    """
    path = Path(workdir) / CONFIG_NAME
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(
            f"no training run in {workdir}: {path} is missing; give the --workdir of a train.py run"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"can't read {path}: {error}") from error
    try:
        return saved.from_json(text)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def _require_resumable(workdir: Path, old: Config, new: Config, *, extend: bool) -> None:
    fields = saved.differences(old, new)
    is_length = [field.startswith("phases.") for field in fields]
    if not fields or (extend and all(is_length)):
        return
    listed = "; ".join(fields[:4]) + (f"; {len(fields) - 4} more" if len(fields) > 4 else "")
    raise UserError(
        f"{workdir} holds a run with other settings ({listed}).\n"
        + _way_out(workdir, old, new, only_longer=all(is_length))
    )


def _way_out(workdir: Path, old: Config, new: Config, *, only_longer: bool) -> str:
    """What helps someone whose settings are not those of the run that is there."""
    from glcic_jax.networks.registry import generator_differences  # builds on Flax

    if only_longer and total_steps(new) > total_steps(old):
        return "Add --extend to go on with it for more steps, or give another --workdir."
    if generator_differences(old, new):
        return "Give another --workdir, or the old values to resume it."
    for name in ("initial", "initial_discriminators"):
        if getattr(new, name) != getattr(old, name):
            return (
                f"Only a new run starts from --{name.replace('_', '-')}: give another --workdir, "
                "or the old values to resume it."
            )
    return (
        f"Give the old values to resume it, or, to go on from its weights with the new ones, "
        f"another --workdir and --initial {workdir}."
    )


def _require_no_foreign_checkpoints(workdir: Path) -> None:
    if not workdir.is_dir():
        return
    for entry in sorted(workdir.iterdir()):
        name = entry.name.lower()
        if name.isdigit() or "checkpoint" in name or name.endswith((".ckpt", ".pt", ".msgpack")):
            raise UserError(
                f"{workdir} has no config.json but holds {entry.name}, which this program can't "
                "have written for a new run; choose another --workdir"
            )
