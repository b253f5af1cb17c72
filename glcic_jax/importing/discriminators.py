"""Discriminators that another program trained, for a run to start from: `model_cd` of
otenim/GLCIC-PyTorch."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import flax.traverse_util
import numpy as np

from glcic_jax.config.settings import Config, window_size
from glcic_jax.errors import UserError
from glcic_jax.importing.known_files import NORM, checked, faults_of, normalisation_of
from glcic_jax.importing.state_dicts import read_state_dict
from glcic_jax.networks.discriminators import strided_layers

_TITLE = "model_cd of otenim/GLCIC-PyTorch"
_PREFIXES = {"local": "model_ld", "global": "model_gd"}
"""In the order in which the program concatenates their vectors; ours is the other way round."""


class _View(NamedTuple):
    """The form of one of both discriminators, as its arrays say it."""

    prefix: str
    halvings: int
    width: int
    dense_features: int
    left: int
    """Side in pixels of what the last convolution leaves of an image."""

    @property
    def image_size(self) -> int:
        """Side in pixels of the images that it was made for."""
        return self.left * 2**self.halvings


def read_discriminators(path: str | Path, config: Config) -> dict[str, Any]:
    """The variables of a run's discriminators out of a file.

    Args:
        path: the state dict of a `ContextDiscriminator` of otenim/GLCIC-PyTorch (`model_cd`), for
            which PyTorch must be installed. Nothing that it says is run.
        config: of the run; its discriminators must be of the same form.

    Returns:
        `{"params", "batch_stats"}` of `networks.discriminators.ContextDiscriminator`, float32.

    Raises:
        UserError: the file can't be read, has code in it, is damaged or holds something else, or
            discriminators of another form, and which options that form needs.
    """
    path = Path(path).expanduser()
    where = str(path)
    arrays = read_state_dict(path)
    local, whole = _recognise(where, arrays)
    _require_form(where, local, whole, config)
    variables: dict[str, Any] = {}
    for name, view in (("local", local), ("global", whole)):
        variables |= _variables_of(where, arrays, name, view)
    kernel = checked(where, arrays, "linear1.weight", (1, local.dense_features * 2))
    halves = np.split(kernel.T, 2)
    variables["params/joint_logit/kernel"] = np.concatenate([halves[1], halves[0]])
    variables["params/joint_logit/bias"] = checked(where, arrays, "linear1.bias", (1,))
    return flax.traverse_util.unflatten_dict(variables, sep="/")


def _recognise(where: str, arrays: Mapping[str, np.ndarray]) -> tuple[_View, _View]:
    """The forms of the local and the global discriminator."""
    names = {"linear1.weight", "linear1.bias"}
    counts = {}
    for prefix in _PREFIXES.values():
        found = re.compile(rf"{prefix}\.conv(\d)\.weight")
        numbers = {int(hit[1]) for hit in map(found.fullmatch, arrays) if hit}
        count = 5  # of both, at least; six where the images have 256 pixels
        while count + 1 in numbers:
            count += 1
        counts[prefix] = count
        for number in range(1, count + 1):
            names |= {f"{prefix}.conv{number}.{name}" for name in ("weight", "bias")}
            names |= {f"{prefix}.bn{number}.{name}" for name in NORM}
        names |= {f"{prefix}.linear{count + 1}.{name}" for name in ("weight", "bias")}
    faults = faults_of(arrays, names)
    if faults:
        raise UserError(
            f"{where} holds no discriminators that can be imported; {_TITLE} is known, but the "
            f"file {faults}. See docs/exchange.md"
        )
    local, whole = (_view(where, arrays, prefix, count) for prefix, count in counts.items())
    return local, whole


def _view(where: str, arrays: Mapping[str, np.ndarray], prefix: str, halvings: int) -> _View:
    first, last = (arrays[f"{prefix}.conv{n}.weight"].shape for n in (1, halvings))
    dense = f"{prefix}.linear{halvings + 1}.weight"
    shape = arrays[dense].shape
    if len(first) != 4 or len(last) != 4 or len(shape) != 2 or 0 in (*first, *last, *shape):
        raise UserError(
            f"{where}: {prefix}.conv1.weight has shape {first}, {dense} {shape}; expected such as "
            "(64, 3, 5, 5) and (1024, 8192)"
        )
    left = math.isqrt(shape[1] // max(last[0], 1))
    if left < 1 or left**2 * last[0] != shape[1]:
        raise UserError(
            f"{where}: {dense} has shape {shape}; expected {last[0]} times a square number of "
            f"columns, for square images"
        )
    return _View(prefix, halvings, first[0], shape[0], left)


def _require_form(where: str, local: _View, whole: _View, config: Config) -> None:
    """Raise a `UserError` with the options to set unless the run's discriminators are such."""
    model, window = config.model, window_size(config)
    if (local.width, local.dense_features) != (whole.width, whole.dense_features):
        raise UserError(
            f"{where} has discriminators of {local.width} and {whole.width} channels, and vectors "
            f"of {local.dense_features} and {whole.dense_features}; here both are alike"
        )
    halvings = whole.halvings if local.halvings == whole.halvings else 0
    wanted: dict[str, tuple[Any, Any]] = {
        "model.discriminator": (model.discriminator, "context"),
        "model.fusion": (model.fusion, "joint"),
        "model.local-head": (model.local_head, "vector"),
        "model.discriminator-normalisation": (model.discriminator_normalisation, "after_relu"),
        "model.discriminator-width": (model.discriminator_width, whole.width),
        "model.dense-features": (model.dense_features, whole.dense_features),
    }
    sides = ((config.image_size, whole), (window, local))
    if any(
        (model.discriminator_halvings or strided_layers(n)) != view.halvings for n, view in sides
    ):
        wanted["model.discriminator-halvings"] = (model.discriminator_halvings, halvings)
    options = [f"--{name} {value}" for name, (now, value) in wanted.items() if now != value]
    if model.spectral_norm:
        options.append("--model.no-spectral-norm")
    if -(-config.image_size // 2**whole.halvings) != whole.left:
        options.append(f"--image-size {whole.image_size}")
    share = local.image_size / whole.image_size
    if -(-window // 2**local.halvings) != local.left:
        options.append(f"--masks.local-window {share:g}")
    if options:
        raise UserError(
            f"{where} holds discriminators of another form than this run's; set {' '.join(options)}"
        )


def _variables_of(
    where: str, arrays: Mapping[str, np.ndarray], name: str, view: _View
) -> dict[str, np.ndarray]:
    """The variables of one discriminator by their paths."""
    variables = {}
    channels = 3
    for number in range(1, view.halvings + 1):
        features = view.width * min(2 ** (number - 1), 8)
        conv = f"{view.prefix}.conv{number}"
        kernel = checked(where, arrays, f"{conv}.weight", (features, channels, 5, 5))
        place = f"{name}/conv{number}"
        variables[f"params/{place}/kernel"] = np.ascontiguousarray(kernel.transpose(2, 3, 1, 0))
        variables[f"params/{place}/bias"] = checked(where, arrays, f"{conv}.bias", (features,))
        variables |= normalisation_of(
            where, arrays, f"{view.prefix}.bn{number}", f"{place}_norm/norm", features
        )
        channels = features
    dense = f"{view.prefix}.linear{view.halvings + 1}"
    shape = (view.dense_features, channels * view.left**2)
    # Of maps as channels, rows, columns; here channels come last.
    weight = checked(where, arrays, f"{dense}.weight", shape)
    weight = weight.reshape(view.dense_features, channels, view.left, view.left)
    kernel = weight.transpose(2, 3, 1, 0).reshape(-1, view.dense_features)
    variables[f"params/{name}/dense/kernel"] = np.ascontiguousarray(kernel)
    variables[f"params/{name}/dense/bias"] = checked(
        where, arrays, f"{dense}.bias", (view.dense_features,)
    )
    return variables
