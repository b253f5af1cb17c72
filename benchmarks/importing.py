"""Seconds of `glcic-jax import` of a file as otenim/GLCIC-PyTorch writes it: a whole process."""

from __future__ import annotations

import dataclasses
import json as json_library
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

from benchmarks import report
from glcic_jax.commands.command_line import parse, run
from glcic_jax.config.fields import Range
from glcic_jax.config.settings import Config


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Seconds of importing the completion network of another program, from start to end."""

    width: Annotated[int, Range(4, 1024)] = 64
    """Channels of its first layer; 64 makes 24 MB."""
    rounds: int = 5
    """How often the command runs."""
    json: Path | None = None
    """File to write all samples to."""


def main() -> None:
    """Measure, print, write JSON."""
    arguments = parse(Arguments, description=Arguments.__doc__)
    report.check_output(arguments.json)
    report.check_counts(arguments, "rounds")
    seconds = []
    with tempfile.TemporaryDirectory() as place:
        path, output = Path(place, "model_cn"), Path(place, "generator.npz")
        _write(path, arguments.width)
        print(f"{path.stat().st_size / 1e6:.1f} MB")
        command = [sys.executable, "-m", "glcic_jax", "import", str(path), "--output", str(output)]
        for _ in range(arguments.rounds):
            started = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            seconds.append(time.perf_counter() - started)
            output.unlink()
    median = sorted(seconds)[len(seconds) // 2]
    print(f"{median:.2f} s ({min(seconds):.2f}..{max(seconds):.2f})")
    report.write_json(arguments.json, {"seconds": seconds})


def _write(path: Path, width: int) -> None:
    """A state dict of random numbers, and the mean pixel beside it."""
    import torch

    from glcic_jax.importing.known_files import NORM, OTENIM
    from glcic_jax.networks.interface import Layer
    from glcic_jax.networks.registry import build_generator

    model = dataclasses.replace(OTENIM.model, width=width)
    layers = build_generator(Config(image_size=OTENIM.image_size, model=model)).layers()
    assert layers is not None, "the completion network is a chain"
    arrays, channels = {}, 4
    for layer, (conv, norm) in zip((*layers, Layer("output", 3)), OTENIM.names, strict=True):
        side = 4 if layer.doubles else layer.size
        pair = (channels, layer.features) if layer.doubles else (layer.features, channels)
        arrays[f"{conv}.weight"] = torch.randn(*pair, side, side)
        arrays[f"{conv}.bias"] = torch.randn(layer.features)
        if norm:
            arrays |= {f"{norm}.{name}": torch.rand(layer.features) for name in NORM}
        channels = layer.features
    torch.save(arrays, path)
    path.with_name("config.json").write_text(json_library.dumps({"mpv": [0.5, 0.4, 0.4]}))


if __name__ == "__main__":
    run(main)
