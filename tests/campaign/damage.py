"""Every file of the newest checkpoint deleted, emptied, cut, or with one bit flipped."""

from __future__ import annotations

import contextlib
import logging
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from glcic_jax.errors import UserError
from glcic_jax.runtime.checkpoints import Checkpoints

from .table import Row

HOWS = ("deleted", "emptied", "cut", "flipped")


def run(work: Path, rounds: int) -> Iterator[Row]:
    """One row: each round does each of four things to each file, at places of its own."""
    with _quiet():
        yield _damage_each(work, rounds)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the warnings of damaged checkpoints, of which there are many."""
    log = logging.getLogger("glcic_jax")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(before)


def _damage_each(work: Path, rounds: int) -> Row:
    _save(work / "saved")
    newest = work / "saved" / "checkpoints" / "2"
    files = [path for path in sorted(newest.rglob("*")) if path.is_file()]
    random_places = random.Random(0)
    counts = {"unharmed": 0, "fell back": 0, "refused": 0, "silently another": 0}
    for _ in range(rounds):
        for path in files:
            for how in HOWS:
                workdir = work / "damaged"
                shutil.copytree(work / "saved", workdir)
                harm(workdir / path.relative_to(work / "saved"), how, random_places)
                counts[resume(workdir)] += 1
                shutil.rmtree(workdir)
    outcome = ", ".join(f"{count} {name}" for name, count in counts.items())
    what = f"each of the {len(files)} files of the newest checkpoint {', '.join(HOWS)}; resumed"
    return Row("2 damage", what, sum(counts.values()), outcome, counts["silently another"])


def state(step: int) -> dict:
    """Arrays of several kinds."""
    key = jax.random.key(step)
    return {
        "step": jnp.int32(step),
        "kernel": jax.random.normal(key, (60, 70)),
        "zeros": jnp.zeros(300),
    }


def harm(path: Path, how: str, places: random.Random) -> None:
    """Do one of `HOWS` to a file."""
    raw = bytearray(path.read_bytes())
    if how == "deleted":
        path.unlink()
    elif how == "emptied":
        path.write_bytes(b"")
    elif how == "cut":
        path.write_bytes(raw[: places.randrange(max(1, len(raw)))])
    elif raw:
        raw[places.randrange(len(raw))] ^= 1 << places.randrange(8)
        path.write_bytes(raw)


def resume(workdir: Path) -> str:
    """What resuming does, with the newest checkpoint, or the one before it."""
    with Checkpoints(workdir, keep=2) as checkpoints:
        abstract = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), state(0))
        try:
            step, found = checkpoints.restore_latest(abstract)
        except UserError:
            return "refused"
    equal = all(
        np.asarray(found[name]).tobytes() == np.asarray(array).tobytes()
        for name, array in state(step).items()
    )
    if not equal or step not in (1, 2):
        return "silently another"
    return "unharmed" if step == 2 else "fell back"


def _save(workdir: Path) -> None:
    with Checkpoints(workdir, keep=2) as checkpoints:
        for step in (1, 2):
            generator = {"params": {"kernel": jnp.ones((3, 4))}}
            checkpoints.save(step, state(step), score=float(step), generator=generator, config="{}")
