"""Write a generator to one file: this package's own, or one that other programs run.

glcic-jax export runs/x --output generator.npz
glcic-jax export photographs --to onnx --output photographs.onnx
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import tyro

from glcic_jax.commands.command_line import parse
from glcic_jax.config.fields import Rule, check_fields
from glcic_jax.errors import UserError

if TYPE_CHECKING:
    from glcic_jax.export.formats import Source

To = Literal["auto", "npz", "safetensors", "onnx", "stablehlo"]
_FORMATS = get_args(To)[1:]


def _wrong_levels(value: int | None) -> str | None:
    if value is None or 0 <= value <= 10:
        return None
    return f" is {value}; it must lie between 0 and 10"


_LEVELS = Rule(_wrong_levels)


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Write a generator, with its configuration, to one file.

    npz and safetensors hold the weights; this package reads both, other tools the second. onnx and
    stablehlo hold the whole completion, from a photograph and its mask to the repaired photograph,
    of any size: programs that know nothing of this package run them.
    """

    generators: tyro.conf.Positional[tuple[str, ...]] = ()
    """A name that comes with the package, a file that glcic-jax export wrote, or a run's directory.
    The weights of several are averaged (Wortsman et al. 2022); only runs that started from one
    another, or from one generator, have a mean that works."""
    output: Path = dataclasses.field(kw_only=True)
    """File to write."""
    workdir: tuple[Path, ...] = ()
    """Directories that train.py wrote: the same as to name them first."""
    to: To = "auto"
    """What to write; auto: the ending of the file's name says it."""
    checkpoint: Literal["best", "latest"] = "best"
    """Of a run: the best checkpoint by validation, or the newest."""
    levels: Annotated[int | None, _LEVELS] = None
    """For onnx and stablehlo: how often a photograph may be halved until the network completes its
    deepest holes; otherwise 8 times in onnx, 5 times in stablehlo."""
    overwrite: bool = False
    """Replace what is there."""


def main() -> None:
    """Load, write, say how large it is."""
    arguments = parse(Arguments, description=Arguments.__doc__)
    check_fields(arguments)
    form = _format(arguments)
    names = (*arguments.generators, *map(str, arguments.workdir))
    if not names:
        raise UserError("name a generator: a run's directory, a file, or one such as photographs")
    from glcic_jax.export.formats import FORMATS, require_packages, write_generator

    if arguments.levels is not None and FORMATS[form].levels is None:
        raise UserError(f"--levels is about onnx and stablehlo; leave it out for {form}")
    require_packages(form)
    sources = [_load(name, arguments.checkpoint) for name in arguments.generators]
    sources += [_load_run(workdir, arguments.checkpoint) for workdir in arguments.workdir]
    source = mean_of(sources, names)
    write_generator(form, arguments.output, source, arguments.levels)
    size = arguments.output.stat().st_size / 1e6
    steps = source.notes.get("step")
    listed = [one for one in (steps if isinstance(steps, list) else [steps]) if one is not None]
    step = f", step {', '.join(map(str, listed))}" if listed else ""
    print(f"{arguments.output}: {size:.1f} MB{step}")


def _format(arguments: Arguments) -> str:
    """The format to write, by --to or by the ending; and whether the output may be written."""
    path, ending = arguments.output, arguments.output.suffix.removeprefix(".")
    form = ending if arguments.to == "auto" else arguments.to
    if form not in _FORMATS or not path.absolute().parent.is_dir() or path.is_dir():
        endings = ", ".join(f".{name}" for name in _FORMATS)
        raise UserError(
            f"--output {path}: give a file that ends in one of {endings}, or --to, in a directory "
            "that exists"
        )
    if ending in _FORMATS and ending != form:
        raise UserError(
            f"--output {path} ends in .{ending}, and --to is {form}; change one of them"
        )
    if path.exists() and not arguments.overwrite:
        raise UserError(f"{path} is there already; --overwrite replaces it")
    return form


def _load(name: str, checkpoint: Literal["best", "latest"]) -> Source:
    from glcic_jax.export.formats import Source
    from glcic_jax.inpainting.generators import find_generator

    path = Path(name).expanduser()
    if path.is_dir():
        return _load_run(path, checkpoint)
    return Source(*find_generator(name, checkpoint), {})


def _load_run(workdir: Path, checkpoint: Literal["best", "latest"]) -> Source:
    from glcic_jax.export.formats import Source
    from glcic_jax.inpainting.generators import load_run

    run = load_run(workdir, checkpoint)
    return Source(run.config, run.generator, run.variables, {"step": run.step})


def mean_of(sources: list[Source], names: tuple[str, ...]) -> Source:
    """The only generator, or one with the mean of all variables.

    Args:
        sources: at least one.
        names: of them, for the message.

    Raises:
        UserError: they are not all of one network.
    """
    import jax
    import numpy as np

    from glcic_jax.networks.registry import generator_differences

    *others, last = sources
    for name, other in zip(names, others, strict=False):
        fields = generator_differences(last.config, other.config)
        if fields:
            raise UserError(
                f"{name} has another network than {names[-1]}, so they have no mean "
                f"({'; '.join(fields)}); export them one by one"
            )
    if not others:
        return last

    def mean(*leaves: Any) -> Any:
        return np.mean(leaves, axis=0, dtype=np.float64).astype(np.float32)

    variables = jax.tree.map(mean, *(source.variables for source in sources))
    return last._replace(
        variables=variables, notes={"step": [s.notes.get("step") for s in sources]}
    )
