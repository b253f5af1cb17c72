"""Generators as single files: those that come with the package, and your own.

A file, .npz or .safetensors, holds the configuration, the generator's variables, float32 (kernels
may be float16), and notes such as the step they are from: no optimizer, no discriminators. It is
read without executing anything that it says.
"""

from __future__ import annotations

import contextlib
import json
import zipfile
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import IO, Any

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np

from glcic_jax.config.saved import from_json, to_json
from glcic_jax.config.settings import Config
from glcic_jax.errors import UserError
from glcic_jax.networks.interface import Generator
from glcic_jax.networks.registry import build_generator, check_run
from glcic_jax.runtime.files import UNREADABLE, load_arrays, save_arrays
from glcic_jax.runtime.safetensors_files import read_safetensors, save_safetensors

_CONFIG, _NOTES = "config.json", "notes.json"


def names() -> list[str]:
    """The generators that come with the package."""
    folder = resources.files("glcic_jax") / "weights"
    if not folder.is_dir():
        return []
    return sorted(f.name.removesuffix(".npz") for f in folder.iterdir() if f.name.endswith(".npz"))


def load_pretrained(name: str) -> tuple[Config, Generator, Any]:
    """One of `names()`: its configuration, the generator and its variables.

    Raises:
        UserError: there is none of that name.
    """
    if name not in names():
        raise UserError(
            f"there is no directory and no pretrained generator {name!r}; give the --workdir of a "
            f"train.py run, a file that glcic-jax export wrote, or one of: "
            f"{', '.join(names())}"
        )
    with (resources.files("glcic_jax") / "weights" / f"{name}.npz").open("rb") as file:
        return _read(file, name, is_ours=True)


def save_generator(
    path: Path,
    config: Config,
    variables: Any,
    notes: dict[str, Any],
    *,
    half: bool = False,
    compressed: bool = True,
) -> None:
    """Write a generator to one file.

    Args:
        path: ends in .npz.
        config: of the run.
        variables: of the generator, see `training.state.generator_variables`.
        notes: what else should be known of it, such as the step; plain values.
        half: keep kernels in float16, in half the space. They are read as float32 again.
        compressed: float32 weights lose less than a tenth of their size in most of the time.

    Raises:
        UserError: the file can't be written; what stood there is kept.
    """
    arrays = _by_name(variables)
    if half:
        arrays = {n: x.astype(np.float16) if x.ndim > 1 else x for n, x in arrays.items()}
    with written(path):
        save_arrays(path, arrays | _texts(config, notes), compressed=compressed)


def save_generator_as_safetensors(
    path: Path, config: Config, variables: Any, notes: dict[str, Any]
) -> None:
    """`save_generator` to a .safetensors file: configuration and notes are its metadata."""
    with written(path):
        save_safetensors(path, _by_name(variables), {"format": "flax"} | _texts(config, notes))


def _by_name(variables: Any) -> dict[str, Any]:
    flat = flax.traverse_util.flatten_dict(variables, sep="/")
    return {name: np.asarray(leaf) for name, leaf in flat.items()}


def _texts(config: Config, notes: dict[str, Any]) -> dict[str, str]:
    return {_CONFIG: to_json(config), _NOTES: json.dumps(notes)}


@contextlib.contextmanager
def written(path: Path) -> Iterator[None]:
    """Inside, what the operating system says against a file is a `UserError`."""
    try:
        yield
    except OSError as error:
        raise UserError(f"can't write {path}: {error.strerror or error}") from error


def load_file(path: Path) -> tuple[Config, Generator, Any]:
    """The inverse of `save_generator`, and of `save_generator_as_safetensors`.

    Raises:
        UserError: not such a file.
    """
    try:
        with path.open("rb") as file:
            return _read(file, str(path))
    except OSError as error:
        raise UserError(f"{path} can't be read: {error.strerror or error}") from error


def trained_steps(source: str | Path) -> int:
    """Steps that the generator of a file, or of that name, was trained for; 0 if it is not told.

    Of a mean of several, those of the longest training.

    Raises:
        UserError: not such a file, or its notes say something else.
    """
    path: Any = Path(source).expanduser()
    if not path.is_file():
        path = resources.files("glcic_jax") / "weights" / f"{source}.npz"
    try:
        with path.open("rb") as file:
            _, _, notes = _stored(file)
        steps = json.loads(notes).get("step", 0)
        return int(max(steps) if isinstance(steps, list) else steps)
    except UNREADABLE as error:
        raise UserError(f"the notes in {source} can't be read ({error})") from error


def _read(file: IO[bytes], name: str, *, is_ours: bool = False) -> tuple[Config, Generator, Any]:
    """`is_ours`: tests hold the package's own files to their networks, which takes 0.2 s."""
    refused = f"{name} is not a generator that glcic-jax export wrote"
    if not (zipfile.is_zipfile(file) or _begins_with_a_header(file)):
        raise UserError(
            f"{refused}: it is no .npz file, nor a .safetensors file, or it is damaged. Files of "
            "other programs are read by glcic-jax import"
        )
    try:
        arrays, saved, _ = _stored(file)
        variables = flax.traverse_util.unflatten_dict(
            {key: jnp.asarray(_as_float32(key, value)) for key, value in arrays.items()}, sep="/"
        )
    except UNREADABLE as error:
        other = "; files of other programs are read by glcic-jax import"
        raise UserError(f"{refused} ({error}){other}") from error
    try:
        config = from_json(saved)
        check_run(config)
    except UserError as error:
        raise UserError(f"{name}: {error}") from error
    generator = build_generator(config)
    if not is_ours:
        require_variables_of(generator, config, variables, name)
    return config, generator, variables


def _stored(file: IO[bytes]) -> tuple[dict[str, np.ndarray], str, str]:
    """What either kind of file holds: arrays by name, the configuration and the notes as JSON."""
    if zipfile.is_zipfile(file):
        arrays = load_arrays(file)
        return arrays, str(arrays.pop(_CONFIG)), str(arrays.pop(_NOTES))
    file.seek(0)
    arrays, texts = read_safetensors(file)
    return arrays, str(texts[_CONFIG]), str(texts[_NOTES])


def _as_float32(name: str, array: np.ndarray) -> np.ndarray:
    if array.dtype not in (np.float16, np.float32):
        raise ValueError(f"the array {name} is {array.dtype}, not float32 or float16")
    return array.astype(np.float32)


def _begins_with_a_header(file: IO[bytes]) -> bool:
    """Whether it may be a .safetensors file."""
    file.seek(0)
    return file.read(9)[8:] == b"{"


def require_variables_of(generator: Generator, config: Config, variables: Any, name: str) -> None:
    """Check names and shapes of variables against those that a generator has.

    Args:
        generator: the network.
        config: of its training; the images' size.
        variables: nested dictionaries of arrays.
        name: where they are from, for the message.

    Raises:
        UserError: an array is missing, of another shape, or not one of the network's.
    """
    size = config.image_size
    shape = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
    mask = jax.ShapeDtypeStruct((1, size, size, 1), jnp.float32)
    wanted = jax.eval_shape(
        lambda image, mask: generator.init(jax.random.key(0), image, mask, train=False),
        shape,
        mask,
    )
    shapes = [
        {jax.tree_util.keystr(path): leaf.shape for path, leaf in leaves}
        for leaves in map(jax.tree_util.tree_leaves_with_path, (wanted, variables))
    ]
    if shapes[0] != shapes[1]:
        raise UserError(f"the arrays in {name} are not those of the network that it describes")
