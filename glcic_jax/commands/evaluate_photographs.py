"""`glcic-jax evaluate photographs --images DIR`: score generators on whole photographs."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

from glcic_jax.commands.command_line import parse
from glcic_jax.config.fields import Range, check_fields
from glcic_jax.config.rules import LIMIT
from glcic_jax.errors import UserError


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Score generators and classical fills on whole photographs, with holes in pixels.

    Prints the mean hole PSNR over the photographs with its 95 % interval, the mean difference to
    the harmonic fill, the detail in the hole as a share of the original's, and the median seconds a
    photograph; with --perceptual also how near a network finds them to the originals. With --report
    also writes them as a page and as results.json, with the first photographs completed by each
    method.
    """

    images: Path
    """Directory of photographs; those below it count too."""
    generators: tuple[str, ...] = ("photographs",)
    """Runs' directories, files that glcic-jax export wrote, or names."""
    holes: tuple[str, ...] = ("16", "32", "64", "strokes", "specks", "text", "pixels")
    """Sides of squares in pixels, strokes (3 to 9 px), specks (1 to 6 px), text, pixels (half)."""
    fills: tuple[Literal["telea", "navier_stokes", "biharmonic", "patchmatch"], ...] = ("telea",)
    """Fills besides harmonic; biharmonic takes minutes for wide holes, patchmatch needs the package
    patchmatch-cython."""
    texture: bool = False
    """Score each generator's fill with the texture of the surroundings too."""
    perceptual: bool = False
    """Also the distance in features of EfficientNet-lite0, and the Fréchet distance of patches;
    needs the extra perceptual."""
    limit: Annotated[int | None, LIMIT] = None
    """Only so many photographs, from the first."""
    seed: Annotated[int, Range(0, 2**31 - 1)] = 0
    """Start of the random holes."""
    report: Path | None = None
    """Directory for a page, results.json and a sheet of pictures of each kind of hole."""
    pictures: Annotated[int, Range(1, 100)] = 6
    """Photographs on each sheet, from the first."""


def main() -> None:
    """Read the command line, score, print."""
    arguments = parse(Arguments, description=Arguments.__doc__)
    check_fields(arguments)
    if arguments.report is not None and arguments.report.exists() and not arguments.report.is_dir():
        raise UserError(f"--report {arguments.report} is a file; give a directory")
    from glcic_jax.evaluation import photographs
    from glcic_jax.evaluation.features import FeatureDistance
    from glcic_jax.evaluation.photograph_holes import check_kind
    from glcic_jax.evaluation.photograph_reports import print_rows, write_report, write_sheet
    from glcic_jax.runtime.devices import keep_compiled_programs

    for kind in arguments.holes:
        check_kind(kind)
    keep_compiled_programs()
    features = FeatureDistance() if arguments.perceptual else None
    photos = photographs.Photographs(arguments.images, arguments.limit)
    methods = photographs.open_methods(
        arguments.generators, arguments.fills, texture=arguments.texture
    )
    if arguments.report is not None:
        arguments.report.mkdir(parents=True, exist_ok=True)
    scores = {}
    for kind in dict.fromkeys(arguments.holes):
        scores[kind] = photographs.score(photos, methods, kind, arguments.seed, features)
        print_rows(scores[kind], kind)
        if arguments.report is not None:
            write_sheet(arguments.report, photos, methods, kind, arguments.seed, arguments.pictures)
            about = f"{len(photos.paths)} photographs of {arguments.images}, seed {arguments.seed}"
            print(write_report(arguments.report, scores, about))
