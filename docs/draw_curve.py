"""Draw the curves of a run: `python docs/draw_curve.py runs/x curve.png`. Needs matplotlib.

Several runs side by side are what `evaluate.py --report` draws.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt


def main() -> None:
    if len(sys.argv) != 3:
        sys.exit("usage: python docs/draw_curve.py RUN PICTURE")
    workdir, picture = Path(sys.argv[1]), Path(sys.argv[2])
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")

    known = dict.fromkeys(name for line in lines for name in line)
    judged = [name for name in known if name.endswith(("_real", "_completed"))]
    for name in ("reconstruction", *(name for name in judged if "accuracy" not in name)):
        points = [(line["step"], line[name]) for line in lines if name in line]
        axis = left if name == "reconstruction" else right
        if points:
            axis.plot(*zip(*points, strict=True), label=name.replace("_", ", "), linewidth=0.8)
    left.set(xlabel="step", ylabel="mean over the batch", title="Reconstruction and validation")
    right.set(xlabel="step", ylabel="mean over the batch", title="Discriminators")
    scores = left.twinx()
    points = [(line["step"], line["hole_psnr"]) for line in lines if "hole_psnr" in line]
    scores.plot(*zip(*points, strict=True), "o-", color="black", label="validation hole PSNR")
    scores.set_ylabel("hole PSNR, dB")
    scores.legend(loc="center right")
    left.legend(loc="lower left")
    right.legend()
    figure.savefig(picture, dpi=110)


if __name__ == "__main__":
    main()
