"""Training and evaluation images: sources, the pipeline over them, augmentation."""

from glcic_jax.data.augment import augment
from glcic_jax.data.pipeline import TrainingData, open_training, require_same
from glcic_jax.data.sources import (
    ConcatImages,
    ImageSet,
    Split,
    mean_pixel,
    open_evaluation,
    open_split,
)

__all__ = [
    "ConcatImages",
    "ImageSet",
    "Split",
    "TrainingData",
    "augment",
    "mean_pixel",
    "open_evaluation",
    "open_split",
    "open_training",
    "require_same",
]
