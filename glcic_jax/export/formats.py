"""The formats that a generator can be written in, one function each."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from glcic_jax.config.saved import to_json
from glcic_jax.config.settings import Config
from glcic_jax.errors import UserError
from glcic_jax.inpainting.generator_files import (
    save_generator,
    save_generator_as_safetensors,
    written,
)
from glcic_jax.networks.interface import Generator
from glcic_jax.runtime.files import replace_file

ONNX_LEVELS = 8
"""The graph holds one size and repeats it: more cost nothing until an image needs them. Eight
halvings leave 16 pixels of 4,096."""
STABLEHLO_LEVELS = 5
"""The program holds every size, and is compiled for each image size anew: five halvings leave 16
pixels of 512."""


class Source(NamedTuple):
    """A generator and what is known of it."""

    config: Config
    generator: Generator
    variables: Any
    notes: dict[str, Any]
    """Such as the step; plain values."""


class Format(NamedTuple):
    """How a generator is written, and what that needs."""

    write: Callable[[Path, Source, int], None]
    """To a path, with so many levels at most; raises `OSError` or `UserError`."""
    levels: int | None = None
    """Halvings of an image that the file allows unless it is said; None: it holds no program."""
    needs: tuple[str, ...] = ()
    """Packages of the extra `export`."""


def write_generator(name: str, path: Path, source: Source, levels: int | None = None) -> None:
    """Write a generator to a file, whole or not at all.

    Args:
        name: one of `FORMATS`.
        path: in a directory that exists.
        source: the generator.
        levels: how often an image may be halved for deep holes; None: as the format says.

    Raises:
        UserError: a package is missing, the format can't hold this generator, its weights are not
            numbers, or the file can't be written; what stood there is kept.
    """
    form = FORMATS[name]
    require_packages(name)
    if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(source.variables)):
        raise UserError("the generator's weights are not all finite numbers; export another one")
    if form.levels is not None and source.generator.image_size is not None:
        raise UserError(
            f"a {name} file completes images of any size, and this generator only those of "
            f"{source.generator.image_size} pixels; write it as npz or safetensors"
        )
    if form.levels is not None and source.generator.layers() is None:
        raise UserError(
            f"a generator that is no chain of convolutions can't be written as {name}; write it "
            "as npz or safetensors"
        )
    most = form.levels if levels is None else levels
    with written(path):
        form.write(path, source, most or 0)


def require_packages(name: str) -> None:
    """Raise a `UserError` that names the command if a format needs what is not installed."""
    for package in FORMATS[name].needs:
        if importlib.util.find_spec(package) is None:
            raise UserError(
                f"writing {name} needs the package {package}; run: pip install 'glcic-jax[export]'"
            )


def _npz(path: Path, source: Source, _: int) -> None:
    save_generator(path, source.config, source.variables, source.notes)


def _safetensors(path: Path, source: Source, _: int) -> None:
    save_generator_as_safetensors(path, source.config, source.variables, source.notes)


def _onnx(path: Path, source: Source, levels: int) -> None:
    import onnx

    from glcic_jax.export.onnx_model import onnx_model

    model = onnx_model(source.generator, source.variables, levels)
    texts = {"config.json": to_json(source.config), "notes.json": json.dumps(source.notes)}
    onnx.helper.set_model_props(model, texts)
    onnx.checker.check_model(model, full_check=True)
    content = model.SerializeToString()
    replace_file(path, lambda temporary: temporary.write_bytes(content))


def _stablehlo(path: Path, source: Source, levels: int) -> None:
    from glcic_jax.export.stablehlo import stablehlo_program

    content = stablehlo_program(source.generator, source.variables, levels).serialize()
    replace_file(path, lambda temporary: temporary.write_bytes(content))


FORMATS: dict[str, Format] = {
    "npz": Format(_npz),
    "safetensors": Format(_safetensors),
    "onnx": Format(_onnx, ONNX_LEVELS, ("onnx",)),
    "stablehlo": Format(_stablehlo, STABLEHLO_LEVELS, ("flatbuffers",)),
}
"""By name, which is also the ending of the file."""
