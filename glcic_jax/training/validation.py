"""Scores of a run on validation images, by the one evaluation loop, `evaluation/loop.py`."""

from __future__ import annotations

import numpy as np

from glcic_jax.config.scoring import HoleProtocol
from glcic_jax.config.settings import MaskConfig, mask_folder
from glcic_jax.data.sources import ImageSet
from glcic_jax.evaluation.loop import MODEL, evaluate
from glcic_jax.imaging.classical import Completer
from glcic_jax.imaging.training_masks import FOLDER, drawn_kinds

VALIDATION_SEED = 0
_BATCH = 256


def validate(
    completer: Completer, images: ImageSet, masks: MaskConfig, limit: int
) -> dict[str, float]:
    """Mean scores over the protocols that the training's holes ask for.

    Args:
        completer: of the model as it is.
        images: the validation split.
        masks: the holes of training.
        limit: how many of the images are scored, from the first.

    Returns:
        `hole_psnr` in dB, `hole_l1`, `whole_psnr` in dB and `whole_ssim`; of several protocols
        also `hole_psnr_{protocol}` of each.
    """
    protocols = validation_protocols(masks)
    found = [_scores(completer, images, protocol, limit) for protocol in protocols]
    scores = {name: float(np.mean([part[name] for part in found])) for name in found[0]}
    if len(protocols) > 1:
        names = ["folder" if name.startswith("folder:") else name for name in protocols]
        named = zip(names, found, strict=True)
        scores |= {f"hole_psnr_{protocol}": part["hole_psnr"] for protocol, part in named}
    return scores


def validation_protocols(config: MaskConfig) -> tuple[HoleProtocol, ...]:
    """The evaluation protocols that come nearest to the holes of training; mixed: of all kinds."""
    nearest: dict[str, HoleProtocol] = {
        "rectangle": "rectangle",
        "rectangles": "rectangle",
        "blobs": "rectangle",
        "freeform": "freeform",
        "specks": "freeform",
        "text": "freeform",
        "pixels": "pixels",
    }
    kinds = drawn_kinds(config)
    nearest[FOLDER] = f"folder:{mask_folder(config)}"
    return tuple(dict.fromkeys(nearest[kind] for kind in kinds))


def _scores(
    completer: Completer, images: ImageSet, protocol: HoleProtocol, limit: int
) -> dict[str, float]:
    results = evaluate(
        {MODEL: completer},
        images,
        protocol=protocol,
        seed=VALIDATION_SEED,
        batch_size=_BATCH,
        limit=limit,
    )
    hole, whole = (results.summary(MODEL, region) for region in ("hole", "whole"))
    return {
        "hole_psnr": hole["psnr"],
        "hole_l1": hole["l1"],
        "whole_psnr": whole["psnr"],
        "whole_ssim": whole["ssim"],
    }
