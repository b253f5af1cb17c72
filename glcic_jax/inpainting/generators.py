"""Trained generators: from a run's directory, a single file, or by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from glcic_jax.config.saved import from_json
from glcic_jax.config.settings import Config
from glcic_jax.errors import UserError
from glcic_jax.inpainting.generator_files import (
    load_file,
    load_pretrained,
    require_variables_of,
    trained_steps,
)
from glcic_jax.networks.interface import Generator
from glcic_jax.networks.registry import build_generator, generator_differences
from glcic_jax.runtime import devices
from glcic_jax.runtime.workdir import CONFIG_NAME, Which, load_config


class Run(NamedTuple):
    """A trained run: its configuration, generator, variables and the step they are from."""

    config: Config
    generator: Generator
    variables: Any
    step: int


def load_run(workdir: str | Path, which: Which = "best") -> Run:
    """The best checkpoint of a run by validation, or the newest where none was validated.

    Args:
        workdir: the directory given to `train.py --workdir`.
        which: "latest" takes the newest checkpoint whatever its score.

    Raises:
        UserError: no run or no readable checkpoint in `workdir`.
    """
    from glcic_jax.runtime.checkpoints import Checkpoints  # Orbax takes seconds to import

    workdir = Path(workdir)
    config = load_config(workdir)
    with Checkpoints(workdir, keep=config.loop.keep_checkpoints) as checkpoints:
        step, variables, saved = checkpoints.restore_generator(which)
    _require_same_network(workdir, config, saved)
    generator = build_generator(config)
    require_variables_of(
        generator, config, variables, f"the checkpoint of step {step} in {workdir}"
    )
    return Run(config, generator, variables, step)


def _require_same_network(workdir: Path, config: Config, saved: str | None) -> None:
    """The run's config.json may be edited, such as where its images are; not its network."""
    fields = generator_differences(from_json(saved), config) if saved else []
    if fields:
        raise UserError(
            f"{workdir / CONFIG_NAME} names another network than the checkpoint holds "
            f"({'; '.join(fields)}); give it the old values again"
        )


def load_generator(source: str | Path, checkpoint: Which = "best") -> tuple[Generator, Any]:
    """A generator and its variables, ready for `inpaint_fn`.

    Compiled programs are kept on disk from here on, see `devices.keep_compiled_programs`.

    Args:
        source: the directory given to `train.py --workdir`, a file that
            `glcic-jax export` wrote, or the name of a generator that comes with the
            package, such as "cifar100". A directory of that name goes before. `~` is the home.
        checkpoint: of a directory: the best by validation PSNR, which is often from before the
            joint phase, where the discriminators have changed nothing yet; or the "latest".

    Raises:
        UserError: no run or no readable checkpoint in the directory, another kind of file, or
            neither a path nor a known name.
    """
    devices.refuse_after_fork()
    devices.keep_compiled_programs()
    return find_generator(source, checkpoint)[1:]


def find_run(source: str | Path, checkpoint: Which = "best") -> Run:
    """As `load_generator`, with the configuration and the steps of the training.

    The step is that of the file, or the last one's of several that were averaged.
    """
    path = Path(source).expanduser()
    if path.is_dir():
        return load_run(path, checkpoint)
    return Run(*find_generator(source, checkpoint), trained_steps(source))


def find_generator(source: str | Path, checkpoint: Which = "best") -> tuple[Config, Generator, Any]:
    """As `load_generator`, with the configuration that the generator was trained with first."""
    path = Path(source).expanduser()
    if path.is_dir():
        run = load_run(path, checkpoint)
        return run.config, run.generator, run.variables
    if path.is_file():
        return load_file(path)
    if path.suffix in (".npz", ".safetensors"):
        raise UserError(f"{source} does not exist")
    if path.name != str(source):  # a path, not a name
        load_config(path)  # raises
    return load_pretrained(str(source))
