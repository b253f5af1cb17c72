"""`glcic-jax fill`: repair photographs from the command line.

glcic-jax fill photo.jpg --mask mask.png --output repaired.png
glcic-jax fill scans/ --masks masks/ --output repaired/
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import functools
import io
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from glcic_jax.commands.command_line import parse
from glcic_jax.commands.fill_jobs import (
    STREAM,
    Job,
    Plan,
    comparison_of,
    plan_folder,
    plan_one,
)
from glcic_jax.config.fields import Range, Rule, check_fields
from glcic_jax.errors import UserError
from glcic_jax.runtime.memory import give_back_large_blocks

if TYPE_CHECKING:
    from glcic_jax.inpainting.repair import MaskOptions, Opened, Repaired


def _wrong_pixels(value: int | None) -> str | None:
    return f" is {value}; it must be at least 1" if value is not None and value < 1 else None


_PIXELS = Rule(_wrong_pixels)


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Repair photographs: fill what a mask marks.

    JPEG, PNG, WebP and TIFF files; what they are stays as it is but for the hole: mode, 16 bits,
    EXIF, colour profile, JPEG quality. A mask is a picture of the photograph's size, white where
    the hole is; most other forms are understood, and a line says how.
    """

    photographs: tyro.conf.Positional[tuple[str, ...]]
    """A photograph, several, or a directory of them; - reads standard input."""
    output: str
    """File to write, or for several photographs a directory; - writes to standard output. What is
    there already is skipped in a directory, and an error otherwise."""
    mask: str | None = None
    """Mask of the photograph, or one for all. alpha: the hole is where they are transparent."""
    masks: Path | None = None
    """Directory of masks, each with the name of its photograph but for the suffix."""
    mask_colour: str | None = None
    """The hole is painted over the photograph in this colour, such as '#ff00ff'."""
    tolerance: Annotated[int, Range(0, 255)] = 0
    """Largest difference in a channel at which a pixel has --mask-colour."""
    invert_mask: bool = False
    """What the mask shows is known, the rest is the hole."""
    grow: Annotated[int, Range(0, 1000)] = 0
    """Pixels by which the hole is widened, as for the halos that JPEG leaves around text."""
    generator: str = "photographs"
    """What fills: a name that comes with the package, a file that glcic-jax export wrote, or the
    directory of a run."""
    checkpoint: Literal["best", "latest"] = "best"
    """Which checkpoint of a run's directory."""
    views: Literal[1, 2, 4] | None = None
    """Mirrored views that are averaged: a little better, in as many times the time."""
    blend: Literal["auto", "membrane", "none"] = "auto"
    """membrane: leave no seam at the hole's rim; auto: where the generator does not meet it."""
    texture: Literal["auto", "on", "off"] = "auto"
    """on: give the fill the texture of its surroundings; auto: where holes are wider than 24
    pixels."""
    source_mask: Path | None = None
    """Picture, white where texture may be copied from, of the size of every photograph."""
    overwrite: bool = False
    """Replace what is there."""
    compare: bool = False
    """Also write photograph, hole and result side by side, as OUTPUT.compare.jpg."""
    max_pixels: Annotated[int | None, _PIXELS] = None
    """Largest photograph and mask in pixels, against files that are made to fill the memory."""


def main() -> None:
    """Read the command line, repair, say what was done; status 1 if anything failed."""
    arguments = parse(Arguments, description=Arguments.__doc__)
    check_fields(arguments)
    plan, is_folder = _plan(arguments)
    said = sys.stderr if arguments.output == STREAM else sys.stdout
    for note in plan.notes:
        print(note, file=said)
    if not plan.jobs:
        print(f"nothing to do: {plan.skipped} already there (--overwrite repairs them again)")
        return
    repairs = _Repairs(arguments, said)
    if not is_folder:
        repairs.one(plan.jobs[0])
        return
    give_back_large_blocks()
    failed = repairs.all(plan.jobs)
    counts = f"{len(plan.jobs) - failed} repaired"
    counts += f", {plan.skipped} already there" if plan.skipped else ""
    print(f"{counts}, {failed} failed" if failed else counts, file=said)
    if failed:
        sys.exit(1)


def _plan(arguments: Arguments) -> tuple[Plan, bool]:
    """What to do, and whether it is about several photographs."""
    given = [arguments.mask, arguments.masks, arguments.mask_colour]
    if sum(value is not None for value in given) != 1:
        raise UserError(
            "say where the hole is, in one way: --mask FILE, --mask alpha, --masks DIRECTORY or "
            "--mask-colour '#ff00ff'"
        )
    if arguments.tolerance and arguments.mask_colour is None:
        raise UserError("--tolerance is about --mask-colour; leave it out, or give a colour")
    if arguments.source_mask is not None:
        if arguments.texture == "off":
            raise UserError(
                "--source-mask says where texture may be copied from, --texture off wants none; "
                "leave one of them out"
            )
        if not arguments.source_mask.exists():
            raise UserError(f"--source-mask {arguments.source_mask} does not exist")
    names = arguments.photographs
    if not names:
        raise UserError("name a photograph, several, or a directory of them")
    for name in (*names, *([arguments.mask] if arguments.mask not in (None, "alpha") else [])):
        if name != STREAM and not Path(name).exists():
            raise UserError(f"{name} does not exist")
    if len(names) > 1 or Path(names[0]).is_dir():
        if arguments.output == STREAM:
            raise UserError("--output - takes one photograph; give a directory")
        return plan_folder(
            names,
            arguments.mask,
            arguments.masks,
            Path(arguments.output),
            overwrite=arguments.overwrite,
        ), True
    if arguments.masks is not None:
        raise UserError("--masks is for several photographs; give --mask for one")
    if arguments.compare and arguments.output == STREAM:
        raise UserError("--compare writes a file beside the output; name one")
    plan = plan_one(
        names[0],
        arguments.mask,
        arguments.output,
        overwrite=arguments.overwrite,
        compare=arguments.compare,
    )
    return plan, False


class _Repairs:
    """Reading, filling and writing: while one photograph is filled, the next is read and the last
    one written."""

    def __init__(self, arguments: Arguments, said: Any):
        self._arguments = arguments
        self._said = said
        self._filler: Callable | None = None
        self._said_often: collections.Counter[str] = collections.Counter()

    def one(self, job: Job) -> None:
        started = time.monotonic()
        opened = self._open(job)
        repaired = self._fill(opened)
        notes = self._write(job, repaired)
        for note in (*repaired.notes, *notes):
            print(note, file=self._said)
        where = job.output or "standard output"
        print(f"{where}: repaired in {time.monotonic() - started:.1f} s", file=self._said)

    def all(self, jobs: tuple[Job, ...]) -> int:
        """How many failed."""
        from glcic_jax.files.mask_reading import DOUBT

        failed = 0
        with (
            _progress(len(jobs)) as advance,
            ThreadPoolExecutor(1) as reader,
            ThreadPoolExecutor(1) as writer,
        ):
            coming: Future[Opened] = reader.submit(self._open, jobs[0])
            written: tuple[Job, Future] | None = None
            for number, job in enumerate(jobs):
                opening = coming
                if number + 1 < len(jobs):
                    coming = reader.submit(self._open, jobs[number + 1])
                repaired = self._attempt(job, functools.partial(self._fill_opened, opening))
                failed += repaired is None
                if written is not None:  # at most one waits, so that memory stays what it is
                    failed += self._finish(*written)
                    written = None
                if repaired is not None:
                    for note in repaired.notes:
                        if DOUBT in note:
                            print(f"{job.photograph}: {note}", file=self._said)
                    written = job, writer.submit(self._write, job, repaired)
                advance()
            if written is not None:
                failed += self._finish(*written)
        for note, count in self._said_often.items():
            print(f"{count} of them: {note}", file=self._said)
        return failed

    def _finish(self, job: Job, writing: Future[tuple[str, ...]]) -> bool:
        """Whether writing failed; what is to be said of many files is said once."""
        notes = self._attempt(job, writing.result)
        self._said_often.update(notes or ())
        return notes is None

    def _attempt(self, job: Job, work: Callable[[], Any]) -> Any:
        """The result, or None after a line that says what was wrong with this photograph."""
        try:
            return work()
        except UserError as error:
            reason = str(error)
        except MemoryError:
            reason = "there is not enough memory for it"
        except Exception as error:  # one strange file must not keep the others from being repaired
            reason = f"{type(error).__name__}: {error}"
        where = str(job.photograph)
        print(f"error: {reason if where in reason else f'{where}: {reason}'}", file=sys.stderr)
        return None

    def _open(self, job: Job) -> Opened:
        from glcic_jax.inpainting.repair import open_for_repair

        source: Any = job.photograph
        if source is None:
            source = io.BytesIO(sys.stdin.buffer.read())
        options = _mask_options(self._arguments)
        return open_for_repair(source, job.mask, options, max_pixels=self._arguments.max_pixels)

    def _fill(self, opened: Opened) -> Repaired:
        from glcic_jax.inpainting.repair import copying_from, open_fill, repair

        arguments = self._arguments
        if self._filler is None:  # only now: what can't be read is told before JAX starts
            self._filler = open_fill(
                arguments.generator,
                arguments.checkpoint,
                arguments.views,
                arguments.blend,
                arguments.texture,
            )
        fill = self._filler
        if arguments.source_mask is not None:
            limit = arguments.max_pixels
            fill = copying_from(arguments.source_mask, opened, fill, max_pixels=limit)
        return repair(opened, fill)

    def _fill_opened(self, opening: Future[Opened]) -> Repaired:
        return self._fill(opening.result())

    def _write(self, job: Job, repaired: Repaired) -> tuple[str, ...]:
        """Write one result; notes on its format."""
        from glcic_jax.commands.fill_comparison import side_by_side
        from glcic_jax.files.photograph_files import output_format
        from glcic_jax.inpainting.repair import write_file

        if job.output is None:
            data, notes = repaired.encode()
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
            return notes
        sheet = comparison_of(job.output)
        if self._arguments.compare and sheet.exists() and not self._arguments.overwrite:
            raise UserError(f"{sheet} exists already; give --overwrite, or another --output")
        data, notes = repaired.encode(output_format(job.output))
        write_file(job.output, data)
        if self._arguments.compare:
            write_file(sheet, side_by_side(repaired))
        return notes


def _mask_options(arguments: Arguments) -> MaskOptions:
    from glcic_jax.inpainting.repair import MaskOptions

    return MaskOptions(
        arguments.mask_colour, arguments.tolerance, arguments.invert_mask, arguments.grow
    )


@contextlib.contextmanager
def _progress(count: int) -> Iterator[Callable[[], None]]:
    """A bar on a terminal; nothing elsewhere."""
    if not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("repairing", total=count)
        yield lambda: progress.advance(task)
