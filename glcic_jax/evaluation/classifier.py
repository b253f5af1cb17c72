"""A small CIFAR-100 classifier: the network, what it sees, its file. `glcic-jax train-classifier`
trains it."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import flax.errors
import flax.linen as nn
import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np

from glcic_jax.errors import UserError
from glcic_jax.imaging.batches import in_fixed_batches
from glcic_jax.imaging.values import to_float
from glcic_jax.networks.layers import Conv, NormReLU
from glcic_jax.runtime import devices
from glcic_jax.runtime.files import UNREADABLE, load_arrays, save_arrays

CLASSES = 100
_ROWS = 64


class Classifier(nn.Module):
    """Five convolutions with batch normalisation and ReLU, the mean over the map, one dense layer.

    `axis_name` and the platform's operators are those of the other networks' layers.
    """

    width: int = 32

    @nn.compact
    def __call__(self, image_BxHxWx3: jax.Array, *, train: bool) -> tuple[jax.Array, jax.Array]:
        """Returns logits_Bx100 and the features_BxF under them, float32; F is 8 times `width`."""
        x = image_BxHxWx3 * 4 - 2
        for number, (factor, stride) in enumerate([(1, 2), (2, 1), (4, 2), (4, 1), (8, 2)]):
            features = self.width * factor
            size = 5 if number == 0 else 3
            x = Conv(features, size, stride, use_bias=False, name=f"conv{number + 1}")(x)
            x = NormReLU(0.9, name=f"conv{number + 1}_norm")(x, train=train)
        features_BxF = x.mean((1, 2))
        return nn.Dense(CLASSES, name="logits")(features_BxF), features_BxF


class Seen(NamedTuple):
    """What a classifier made of N images: int classes_N, float features_NxF."""

    classes: np.ndarray
    features: np.ndarray

    @classmethod
    def join(cls, parts: Sequence[Seen]) -> Seen:
        """Of all parts, in order."""
        return cls(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


class TrainedClassifier(NamedTuple):
    """A trained classifier, and how often it is right on the test images, in [0, 1]."""

    classifier: Classifier
    variables: Any
    accuracy: float

    def look(self, image_u8: np.ndarray) -> Seen:
        """Classes and features of uint8 image_Nx32x32x3; the batch does not change them."""
        apply = functools.partial(_apply, self.classifier, self.variables)
        logits, features = in_fixed_batches(apply, _ROWS, image_u8)
        return Seen(logits.argmax(1), features.astype(np.float64))


@functools.partial(devices.jit, static_argnums=0)
def _apply(classifier: Classifier, variables: Any, image_u8: jax.Array) -> Any:
    return classifier.apply(variables, to_float(image_u8), train=False)


def save(path: Path, trained: TrainedClassifier) -> None:
    """Write a classifier as one `.npz` file, whole or not at all.

    Raises:
        OSError: as the operating system says.
    """
    flat = flax.traverse_util.flatten_dict(trained.variables, sep="/")
    arrays: dict[str, Any] = {name: np.asarray(leaf) for name, leaf in flat.items()}
    arrays |= {"width": trained.classifier.width, "accuracy": trained.accuracy}
    save_arrays(path, arrays)


def load_classifier(path: Path) -> TrainedClassifier:
    """The inverse of `save`.

    Raises:
        UserError: no such file, or not one of a classifier.
    """
    try:
        with path.open("rb") as file:
            arrays = load_arrays(file)
        width, accuracy = int(arrays.pop("width")), float(arrays.pop("accuracy"))
        variables = flax.traverse_util.unflatten_dict(
            {name: jnp.asarray(value) for name, value in arrays.items()}, sep="/"
        )
        # A wrong shape or a missing array shows here, not in the middle of a comparison.
        image = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
        jax.eval_shape(functools.partial(Classifier(width).apply, train=False), variables, image)
    except (*UNREADABLE, flax.errors.FlaxError) as error:
        raise UserError(
            f"{path} is not a classifier that glcic-jax train-classifier wrote ({error})"
        ) from error
    return TrainedClassifier(Classifier(width), variables, accuracy)
