"""Sheets of pictures: what methods make of the same images and holes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from glcic_jax.config.scoring import HoleProtocol
from glcic_jax.evaluation.loop import Images, examples
from glcic_jax.evaluation.metrics import METRICS
from glcic_jax.evaluation.results import Results
from glcic_jax.imaging.classical import Completer
from glcic_jax.imaging.sheets import draw_sheet
from glcic_jax.imaging.values import SHOWN_HOLE, blank

_SHOWN = 8


def picture_grid(
    completers: Mapping[str, Completer],
    image_set: Images,
    *,
    protocol: HoleProtocol,
    seed: int,
    count: int = _SHOWN,
) -> np.ndarray:
    """The first images as a labelled sheet: input with its hole in grey, each method, original.

    The masks are `evaluate`'s. Returns uint8 image_HxWx3, see `draw_sheet`.
    """
    indices_B = np.arange(min(count, len(image_set)))
    return _sheet(completers, image_set, indices_B, protocol, seed)


def comparison_pictures(
    completers: Mapping[str, Completer], image_set: Images, results: Results
) -> dict[str, np.ndarray]:
    """uint8 image_HxWx3 by title: the first images, then each method's worst and best.

    The first shows all methods; the others only their own, or a page of many runs would be too
    large to open.
    """

    def sheet(indices_B: np.ndarray, names: Sequence[str]) -> np.ndarray:
        chosen = {name: completers[name] for name in names}
        return _sheet(chosen, image_set, indices_B, results.protocol, results.seed)

    first_B = np.arange(min(_SHOWN, len(results)))
    sheets = {"The first images": sheet(first_B, list(completers))}
    for name in completers:
        order_N = _worst_first(results.scores[name]["hole"]["psnr"], "psnr")
        half = min(_SHOWN // 2, len(order_N))
        extremes_B = np.concatenate([order_N[:half], order_N[::-1][:half]])
        sheets[f"Worst (left) and best of {name}"] = sheet(extremes_B, [name])
    return sheets


def _worst_first(score_N: np.ndarray, metric: str) -> np.ndarray:
    """Indices of the images, by a metric of theirs."""
    return np.argsort(score_N if METRICS[metric].higher_is_better else -score_N, kind="stable")


def _sheet(
    completers: Mapping[str, Completer],
    image_set: Images,
    indices_B: np.ndarray,
    protocol: HoleProtocol,
    seed: int,
) -> np.ndarray:
    truth, mask = examples(image_set, indices_B, protocol, seed)
    blanked = blank(truth, mask)
    completed = {name: completer(blanked, mask) for name, completer in completers.items()}
    return draw_sheet({"input": blank(truth, mask, SHOWN_HOLE), **completed, "original": truth})
