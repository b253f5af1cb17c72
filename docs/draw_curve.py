"""Draw the curves of a run: `python docs/draw_curve.py runs/x curve.png`. Needs matplotlib.

Several runs side by side are what `evaluate.py --report` draws, from the same curves.
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib

from glcic_jax.evaluation.curves import discriminator_losses, read_curves
from glcic_jax.runtime.journal import HISTORY, read_history

matplotlib.use("Agg")
import matplotlib.pyplot as plt


def main() -> None:
    if len(sys.argv) != 3:
        sys.exit("usage: python docs/draw_curve.py RUN PICTURE")
    workdir, picture = Path(sys.argv[1]), Path(sys.argv[2])
    history = read_history(workdir / HISTORY)
    if not history:
        sys.exit(f"error: {workdir} holds no {HISTORY} of a run")
    curves = read_curves(history)
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
    left.plot(*_columns(curves.reconstruction), label="reconstruction", linewidth=0.8)
    for name, points in discriminator_losses(history).items():
        right.plot(*_columns(points), label=name.replace("_", ", "), linewidth=0.8)
    left.set(xlabel="step", ylabel="mean over the batch", title="Reconstruction and validation")
    right.set(xlabel="step", ylabel="mean over the batch", title="Discriminators")
    scores = left.twinx()
    columns = _columns(curves.validation)
    scores.plot(*columns, "o-", color="black", label="validation hole PSNR")
    scores.set_ylabel("hole PSNR, dB")
    scores.legend(loc="center right")
    left.legend(loc="lower left")
    if right.lines:
        right.legend()
    figure.savefig(picture, dpi=110)


def _columns(points):
    """Steps and values of points."""
    return [point.step for point in points], [point.value for point in points]


if __name__ == "__main__":
    main()
