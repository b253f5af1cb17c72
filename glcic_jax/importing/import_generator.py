"""Generators that other programs trained, as this package's own.

generator, variables = import_generator("model_cn")
completed = inpaint_fn(generator, variables, image, mask)
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.tree_util import tree_map

from glcic_jax.config.settings import Config
from glcic_jax.errors import UserError
from glcic_jax.importing.known_files import (
    IIZUKA,
    OTENIM,
    Kind,
    config_of,
    recognise,
    variables_of,
)
from glcic_jax.importing.state_dicts import read_state_dict
from glcic_jax.importing.torch7_networks import read_torch7_network, require_steps_of
from glcic_jax.networks.interface import Generator, Layer
from glcic_jax.networks.registry import build_generator, check_run
from glcic_jax.runtime import devices

_TORCH7 = (b"\x03\0\0\0", b"\x04\0\0\0")
"""How a file of Torch 7 begins: with a table or an object."""


class Imported(NamedTuple):
    """A generator from elsewhere, with a configuration as of a run of this package."""

    config: Config
    generator: Generator
    variables: Any
    title: str
    """What the file is."""
    notes: tuple[str, ...]
    """What was assumed, a line each."""


def import_generator(path: str | Path, config: str | Path | None = None) -> tuple[Generator, Any]:
    """A generator that another program trained, ready for `inpaint_fn`.

    Nothing that the file says is run. `glcic-jax import` writes what this returns to a file, which
    `load_generator` reads and training starts from.

    Args:
        path: the state dict of a completion network of otenim/GLCIC-PyTorch (`model_cn`) or of
            yangwangx/inpainting_glcic_pytorch, for both of which PyTorch must be installed, or a
            Torch 7 file (`.t7`) of Iizuka, Simo-Serra & Ishikawa. Which it is, its arrays say.
        config: a JSON file whose `mpv` is the mean pixel of the training set: red, green, blue in
            [0, 1]. None: `config.json` beside a `model_cn`; of the other kinds what they hold, or
            what the program has in itself.

    Returns:
        As `load_generator`: the generator and its variables, float32.

    Raises:
        UserError: the file can't be read, has code in it, is damaged or of another network; says
            which arrays are missing or have another shape. Or no mean pixel is known.
    """
    devices.refuse_after_fork()
    devices.keep_compiled_programs()
    settings = None if config is None else Path(config).expanduser()
    imported = read_generator(Path(path).expanduser(), settings)
    return imported.generator, imported.variables


def read_generator(path: Path, settings: Path | None = None) -> Imported:
    """As `import_generator`, with all that is to be known beside it."""
    try:
        with path.open("rb") as file:
            start = file.read(4)
    except OSError as error:
        raise UserError(f"{path} can't be read: {error.strerror or error}") from error
    where, steps, mean = str(path), None, None
    if start in _TORCH7 or path.suffix == ".t7":
        network = read_torch7_network(where, path.read_bytes())
        arrays, steps, mean = network.arrays, network.steps, network.mean
        kind = recognise(where, arrays)
        model = dataclasses.replace(kind.model, normalisation=network.normalisation)
        kind = dataclasses.replace(
            kind, title="Iizuka's network, of Torch 7", model=model, mean=None
        )
    else:
        arrays = read_state_dict(path)
        kind = recognise(where, arrays)
    config = config_of(where, arrays, kind)
    mean_pixel, size, notes = _mean_and_size(path, settings, kind, mean)
    config = dataclasses.replace(config, image_size=size)
    try:
        check_run(config)
    except UserError as error:
        raise UserError(f"{where}: {error}") from error
    generator = build_generator(config)
    layers = generator.layers()
    assert layers is not None, "the completion network is a chain"
    if steps is not None:
        require_steps_of(where, steps, (*layers, Layer("output", 3)))
    variables = variables_of(where, arrays, kind, layers, mean_pixel)
    return Imported(config, generator, tree_map(jnp.asarray, variables), kind.title, notes)


def _mean_and_size(
    path: Path, settings: Path | None, kind: Kind, stored: np.ndarray | None
) -> tuple[np.ndarray, int, tuple[str, ...]]:
    """The mean pixel, the images' side, and what was assumed of them."""
    beside = path.parent / "config.json"
    if settings is None and kind is OTENIM and beside.is_file():
        settings = beside
    if settings is not None:
        mean, size = _read_settings(settings, kind.image_size)
        return mean, size, (f"mean pixel from {settings}",)
    if stored is not None:
        if not np.all((stored >= 0) & (stored <= 1)):
            raise UserError(f"{path} has the mean pixel {stored.tolist()}; expected 0 to 1")
        return stored, kind.image_size, ()
    if kind is IIZUKA:
        known = f"the file says no mean pixel: took that of Places2, {kind.mean}"
        return np.array(kind.mean, np.float32), kind.image_size, (known,)
    raise UserError(
        f"{path} does not say the mean pixel of its training set; give --config with a JSON file "
        'such as {"mpv": [0.5, 0.4, 0.4]}: red, green, blue in [0, 1]'
    )


def _read_settings(path: Path, otherwise: int) -> tuple[np.ndarray, int]:
    """The entries `mpv` and, if it is a side that can be trained with, `cn_input_size`."""
    try:
        found = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UserError(f"{path} can't be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not valid JSON: {error}") from error
    mean = found.get("mpv") if isinstance(found, dict) else None
    if not isinstance(mean, list) or len(mean) != 3 or not all(map(_is_share, mean)):
        raise UserError(
            f"{path} has mpv = {mean!r}; expected three numbers from 0 to 1: the mean red, green "
            "and blue of the training set"
        )
    size = found.get("cn_input_size")
    usable = isinstance(size, int) and 32 <= size <= 4096 and size % 4 == 0
    return np.array(mean, np.float32), size if usable else otherwise


def _is_share(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value <= 1
