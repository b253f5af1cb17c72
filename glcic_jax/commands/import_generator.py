"""Write a generator that another program trained to one file that `load_generator` reads.

glcic-jax import model_cn --config config.json --output generator.npz
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import tyro

from glcic_jax.commands.command_line import parse
from glcic_jax.config.settings import ModelConfig
from glcic_jax.errors import UserError


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Write a generator that another program trained to one file; docs/exchange.md says which."""

    file: tyro.conf.Positional[Path]
    """A state dict of PyTorch, or a file of Torch 7. Nothing in it is run."""
    output: Path
    """File to write; its name ends in .npz. One that is there is left alone."""
    config: Path | None = None
    """JSON file whose mpv is the mean pixel of the training set. Left out: config.json beside a
    model_cn; of other files what they say."""


def main() -> None:
    """Read, write, say what it is and how training starts from it."""
    arguments = parse(Arguments, description=Arguments.__doc__)
    output = arguments.output
    if output.suffix != ".npz" or not output.absolute().parent.is_dir():
        raise UserError(f"--output {output}: give a .npz file in a directory that exists")
    if output.exists():
        raise UserError(f"--output {output} exists already; name another file, or remove it")
    from glcic_jax.importing.import_generator import read_generator
    from glcic_jax.inpainting.generator_files import save_generator

    imported = read_generator(arguments.file.expanduser(), arguments.config)
    notes = {"imported_from": imported.title}
    save_generator(output, imported.config, imported.variables, notes, compressed=False)
    for note in imported.notes:
        print(note)
    print(f"{output}: {output.stat().st_size / 1e6:.1f} MB, {imported.title}")
    options = training_options(imported.config.model)
    print(f"to train from it: glcic-jax train --initial {output} {options}")


def training_options(model: ModelConfig) -> str:
    """What makes a run's generator like an imported one, whatever the preset."""
    rates = " ".join(map(str, model.dilations))
    return (
        f"--model.generator {model.generator} --model.width {model.width} "
        f"--model.downsamples {model.downsamples} --model.dilations {rates} "
        f"--model.no-dilated-residual --model.fill {model.fill} --model.contrast {model.contrast} "
        f"--model.normalisation {model.normalisation} --model.convolution-bias --model.deepest 0"
    )
