"""Train every variant of the study and write the report that compares them.

python examples/reproduce_study.py --workdir runs/study

What is finished is not trained again and what was interrupted goes on, so the same command can be
started as often as it takes.
"""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

from glcic_jax.command_line import parse, run
from glcic_jax.errors import UserError
from glcic_jax.presets import STUDY

ROOT = Path(__file__).resolve().parent.parent


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Train the study's variants on CIFAR-100, and compare them on the test images."""

    workdir: Path
    """Directory of all runs, of the classifier and of the report."""
    variants: tuple[str, ...] = tuple(STUDY)
    """Presets to train, in this order."""
    seeds: int = 3
    """Runs of each variant in `repeated`, with the seeds 0, 1, 2, ...; one of the others."""
    repeated: tuple[str, ...] = ("glcic", "residual_patchgan")
    """The variants that the study compares."""
    protocol: str = "rectangle"
    """Shape of the holes."""


def main() -> None:
    """Run train.py, examples/train_classifier.py and evaluate.py."""
    arguments = parse(Arguments, description=Arguments.__doc__)
    for name in (*arguments.variants, *arguments.repeated):
        if name not in STUDY:
            raise UserError(f"there is no variant {name!r}; known are {', '.join(STUDY)}")
    if arguments.seeds < 1:
        raise UserError(f"--seeds is {arguments.seeds}; it must be at least 1")
    arguments.workdir.mkdir(parents=True, exist_ok=True)
    runs = [(name, 0) for name in arguments.variants]
    runs += [
        (name, seed)
        for seed in range(1, arguments.seeds)
        for name in arguments.repeated
        if name in arguments.variants
    ]
    workdirs = [arguments.workdir / f"{name}-{seed}" for name, seed in runs]
    for (name, seed), workdir in zip(runs, workdirs, strict=True):
        _call("train.py", "--workdir", str(workdir), "--preset", name, "--seed", str(seed))
    classifier = arguments.workdir / "classifier.npz"
    if not classifier.exists():
        _call("examples/train_classifier.py", "--output", str(classifier))
    report = ["--report", str(arguments.workdir / "report"), "--classifier", str(classifier)]
    # The newest checkpoints: the best by validation would mostly be from before the joint phase.
    scored = ["--checkpoint", "latest", "--protocol", arguments.protocol]
    _call("evaluate.py", "--workdir", *map(str, workdirs), *report, *scored)


def _call(script: str, *arguments: str) -> None:
    """Run a script of this project; its errors are its own to tell."""
    print(f"$ python {script} {' '.join(arguments)}", flush=True)
    status = subprocess.run([sys.executable, str(ROOT / script), *arguments], check=False)
    if status.returncode:
        raise UserError(f"{script} ended with status {status.returncode}")


if __name__ == "__main__":
    run(main)
