"""The generator that most tests of files take out."""

from __future__ import annotations

import pytest
from export_cases import make_source

from glcic_jax.export.formats import Source


@pytest.fixture(scope="session")
def source() -> Source:
    return make_source(
        generator="skip",
        downsamples=2,
        dilations=(2, 0),
        fill="harmonic",
        contrast="local",
        deepest=3.0,
        views=2,
        mirror_margin=6,
    )
