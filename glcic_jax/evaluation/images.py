"""The images that a run is scored on, wherever they are now."""

from __future__ import annotations

from glcic_jax.config.scoring import Scoring
from glcic_jax.config.settings import Config
from glcic_jax.data.sources import ImageSet, open_evaluation
from glcic_jax.errors import UserError


def open_images(config: Config, scoring: Scoring) -> ImageSet:
    """The split's images.

    Args:
        config: the run's, after `scoring.relocated`.
        scoring: which split.

    Raises:
        UserError: as `open_evaluation`; tells of --data.sources where that may help.
    """
    try:
        return open_evaluation(config, scoring.split)
    except UserError as error:
        if scoring.sources or not any(name.startswith("folder:") for name in config.data.sources):
            raise
        sources = " ".join(
            "folder:NEW_PLACE" if name.startswith("folder:") else name
            for name in config.data.sources
        )
        raise UserError(
            f"{error}\nIf the images have moved, say where they are: --data.sources {sources}"
        ) from error
