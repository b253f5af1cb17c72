"""Write the generator of a run to one file that `load_generator` reads.

python examples/export_generator.py --workdir runs/x --output generator.npz
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal

from glcic_jax.command_line import parse, run
from glcic_jax.errors import UserError


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Write the generator of a run, with its configuration, to one file."""

    workdir: Path
    """Directory that train.py wrote."""
    output: Path
    """File to write; its name ends in .npz."""
    checkpoint: Literal["best", "latest"] = "best"
    """The best checkpoint by validation, or the newest."""


def main() -> None:
    """Load, write, say how large it is."""
    arguments = parse(Arguments, description=Arguments.__doc__)
    if arguments.output.suffix != ".npz" or not arguments.output.absolute().parent.is_dir():
        raise UserError(f"--output {arguments.output}: give a .npz file in a directory that exists")
    from glcic_jax.inpaint import load_run
    from glcic_jax.pretrained import save_generator

    loaded = load_run(arguments.workdir, arguments.checkpoint)
    save_generator(arguments.output, loaded.config, loaded.variables, {"step": loaded.step})
    size = arguments.output.stat().st_size / 1e6
    print(f"{arguments.output}: {size:.1f} MB, step {loaded.step}")


if __name__ == "__main__":
    run(main)
