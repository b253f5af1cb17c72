"""A classifier that has seen nothing yet."""

import jax
import numpy as np
import pytest
from support import initialise

from glcic_jax.evaluation.classifier import Classifier, TrainedClassifier


@pytest.fixture(scope="session")
def trained() -> TrainedClassifier:
    """Random weights; it calls itself right half of the time."""
    classifier = Classifier(width=4)
    image = np.zeros((1, 32, 32, 3), np.float32)
    variables = initialise(classifier, jax.random.key(0), image)
    return TrainedClassifier(classifier, variables, accuracy=0.5)
