"""Write the generator of a run, or the mean of several, to one file that `load_generator` reads.

glcic-jax export --workdir runs/x --output generator.npz
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from glcic_jax.commands.command_line import parse
from glcic_jax.errors import UserError

if TYPE_CHECKING:
    from glcic_jax.inpainting.generators import Run


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Write the generator of a run, with its configuration, to one file."""

    workdir: tuple[Path, ...]
    """Directory that train.py wrote. The weights of several are averaged (Wortsman et al. 2022);
    only runs that started from one another, or from one generator, have a mean that works."""
    output: Path
    """File to write; its name ends in .npz."""
    checkpoint: Literal["best", "latest"] = "best"
    """The best checkpoint by validation, or the newest."""


def main() -> None:
    """Load, write, say how large it is."""
    arguments = parse(Arguments, description=Arguments.__doc__)
    if arguments.output.suffix != ".npz" or not arguments.output.absolute().parent.is_dir():
        raise UserError(f"--output {arguments.output}: give a .npz file in a directory that exists")
    if not arguments.workdir:
        raise UserError("--workdir names no run; give one or more")
    from glcic_jax.inpainting.generator_files import save_generator
    from glcic_jax.inpainting.generators import load_run

    runs = [load_run(workdir, arguments.checkpoint) for workdir in arguments.workdir]
    steps = [loaded.step for loaded in runs]
    notes = {"step": steps[0] if len(steps) == 1 else steps}
    save_generator(arguments.output, runs[-1].config, _mean_variables(runs, arguments), notes)
    size = arguments.output.stat().st_size / 1e6
    print(f"{arguments.output}: {size:.1f} MB, step {', '.join(map(str, steps))}")


def _mean_variables(runs: list[Run], arguments: Arguments) -> Any:
    """The variables of the only run, or the mean of all."""
    import jax
    import numpy as np

    from glcic_jax.networks.registry import generator_differences

    for workdir, loaded in zip(arguments.workdir, runs, strict=True):
        fields = generator_differences(runs[-1].config, loaded.config)
        if fields:
            raise UserError(
                f"{workdir} has another network than {arguments.workdir[-1]}, so they have no mean "
                f"({'; '.join(fields)}); export them one by one"
            )

    def mean(*leaves: Any) -> Any:
        return np.mean(leaves, axis=0, dtype=np.float64).astype(np.float32)

    return jax.tree.map(mean, *(loaded.variables for loaded in runs))
