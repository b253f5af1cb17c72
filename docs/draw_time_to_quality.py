"""Draw what `benchmarks.time_to_quality --json scores.json` found: scores by minutes of training.

python docs/draw_time_to_quality.py scores.json picture.png

Needs matplotlib.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

_SCORES = {
    "hole_psnr": "hole PSNR, dB",
    "hole_ssim": "hole SSIM",
    "frechet_distance": "Fréchet distance (lower is nearer)",
}


def main() -> None:
    if len(sys.argv) != 3:
        sys.exit("usage: python docs/draw_time_to_quality.py SCORES PICTURE")
    records = json.loads(Path(sys.argv[1]).read_text())["records"]
    scores = {name: text for name, text in _SCORES.items() if records[0][name] is not None}
    figure, axes = plt.subplots(
        1, len(scores), figsize=(3.6 * len(scores), 3), layout="constrained"
    )
    for axis, (score, text) in zip(axes, scores.items(), strict=True):
        for method in dict.fromkeys(record["method"] for record in records):
            own = [record for record in records if record["method"] == method]
            if "minutes" not in own[0]:
                axis.axhline(own[0][score], color="gray", linestyle=":", label=method)
                continue
            axis.plot([r["minutes"] for r in own], [r[score] for r in own], "o-", label=method)
        axis.set(xlabel="minutes of training", title=text)
    axes[0].legend()
    figure.savefig(sys.argv[2], dpi=110)


if __name__ == "__main__":
    main()
