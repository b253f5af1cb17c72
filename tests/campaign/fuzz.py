"""Files from outside, valid ones changed at random: they are read, or refused by a `UserError`."""

from __future__ import annotations

import io
import json
import random
import resource
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image

from glcic_jax import load_generator
from glcic_jax.config.presets import PRESETS
from glcic_jax.config.saved import to_json
from glcic_jax.config.settings import Config
from glcic_jax.errors import UserError
from glcic_jax.evaluation.curves import discriminator_losses, read_curves
from glcic_jax.files.mask_reading import read_mask
from glcic_jax.files.photograph_files import read_photograph
from glcic_jax.inpainting.generator_files import save_generator, save_generator_as_safetensors
from glcic_jax.networks.registry import build_generator, check_run
from glcic_jax.runtime.journal import health, last_step, read_history, training_time
from glcic_jax.runtime.run_lock import LOCK_NAME
from glcic_jax.runtime.workdir import CONFIG_NAME, load_config
from glcic_jax.training.writers import Writers
from tests.support import finish, start_python

from .changes import changed_archive, changed_image, changed_text
from .table import Row

LONGEST = 10
"""Seconds that reading one file may take."""
MOST_MEMORY = 2 << 30
"""Bytes of address space beyond what the process has at the start."""


class Hang(Exception):
    """Reading takes too long."""


def run(work: Path, minutes: float, kinds: list[str] | None = None) -> Iterator[Row]:
    """A row for each kind of file, each in a process of its own with limited memory."""
    for kind in kinds or KINDS:
        place = work / kind
        place.mkdir()
        arguments = [kind, str(minutes * 60), str(place)]
        process = start_python(work / "compiled", "-m", "tests.campaign.fuzz", *arguments)
        done = finish(process, minutes * 60 + 120)
        print(done.stderr[-3000:], file=sys.stderr)
        lines = done.stdout.splitlines()
        if done.returncode or not lines:
            yield Row(f"6 fuzz, {kind}", "changed files", 0, f"ended with {done.returncode}", 1)
            continue
        counts = json.loads(lines[-1])
        losses = sum(n for name, n in counts.items() if name not in ("read", "refused"))
        outcome = ", ".join(f"{n:,} {name}" for name, n in counts.items())
        what = f"valid {kind} files changed at random and read"
        yield Row(f"6 fuzz, {kind}", what, sum(counts.values()), outcome, losses)


def fuzz(kind: str, seconds: float, work: Path, seed: int = 0, most: int = 10**9) -> Counter[str]:
    """What came out how often, "read", "refused" or the name of what was raised instead."""
    make, read, change = KINDS[kind]
    valid = make(work)
    draw = random.Random(f"{kind} {seed}")
    counts: Counter[str] = Counter()
    until = time.monotonic() + seconds
    for raw in valid:
        read(work, raw)  # they are valid
    signal.signal(signal.SIGALRM, _hang)
    while time.monotonic() < until and counts.total() < most:
        raw = change(draw.choice(valid), draw)
        signal.alarm(LONGEST)
        try:
            read(work, raw)
            counts["read"] += 1
        except UserError:
            counts["refused"] += 1
        except BaseException as error:
            counts[type(error).__name__] += 1
            if counts[type(error).__name__] <= 3:
                traceback.print_exc()
                (work / f"loss-{kind}-{counts.total()}").write_bytes(raw)
        finally:
            signal.alarm(0)
    return counts


def _hang(*_: object) -> None:
    raise Hang


# --- Kinds of files: how valid ones are made, and how they are read ------------------------------


def _make_images(work: Path) -> list[bytes]:  # noqa: ARG001
    photo = Image.fromarray(skimage.data.chelsea()[:48, :64])
    files = []
    for kind, mode in (
        ("PNG", "RGB"),
        ("PNG", "P"),
        ("PNG", "I;16"),
        ("JPEG", "RGB"),
        ("JPEG", "CMYK"),
        ("WEBP", "RGBA"),
        ("TIFF", "RGB"),
        ("TIFF", "L"),
    ):
        file = io.BytesIO()
        image = photo.convert("L").convert("I;16") if mode == "I;16" else photo.convert(mode)
        image.save(file, kind)
        files.append(file.getvalue())
    return files


def _read_image(work: Path, raw: bytes) -> None:
    (work / "image").write_bytes(raw)
    read_photograph(work / "image", max_pixels=50_000_000)


def _make_masks(work: Path) -> list[bytes]:  # noqa: ARG001
    mask = np.zeros((40, 50), np.uint8)
    mask[10:20, 20:30] = 255
    files = []
    for kind, mode in (("PNG", "L"), ("PNG", "1"), ("PNG", "RGBA"), ("JPEG", "L"), ("TIFF", "1")):
        file = io.BytesIO()
        Image.fromarray(mask).convert(mode).save(file, kind)
        files.append(file.getvalue())
    return files


def _read_mask(work: Path, raw: bytes) -> None:
    (work / "mask").write_bytes(raw)
    read_mask(work / "mask", (40, 50), max_pixels=50_000_000)


def _make_configs(work: Path) -> list[bytes]:  # noqa: ARG001
    return [to_json(config).encode() for config in (Config(), *PRESETS.values())]


def _read_config(work: Path, raw: bytes) -> None:
    (work / CONFIG_NAME).write_bytes(raw)
    config = load_config(work)
    check_run(config)
    build_generator(config)


def _make_npz(work: Path) -> list[bytes]:
    config, variables = _small()
    save_generator(work / "valid.npz", config, variables, {"step": 3})
    save_generator(work / "half.npz", config, variables, {"step": 3}, half=True)
    stored = io.BytesIO()
    with np.load(work / "valid.npz") as arrays:
        np.savez(stored, **arrays)  # not compressed: changes reach the headers of the arrays
    return [(work / "valid.npz").read_bytes(), (work / "half.npz").read_bytes(), stored.getvalue()]


def _make_safetensors(work: Path) -> list[bytes]:
    config, variables = _small()
    save_generator_as_safetensors(work / "valid.safetensors", config, variables, {"step": 3})
    return [(work / "valid.safetensors").read_bytes()]


def _small() -> tuple[Config, object]:
    import dataclasses

    import jax
    import jax.numpy as jnp

    config = Config()
    model = dataclasses.replace(config.model, width=4, dilations=(2,))
    config = dataclasses.replace(config, model=model)
    generator = build_generator(config)
    shapes = jax.eval_shape(
        lambda image, mask: generator.init(jax.random.key(0), image, mask, train=False),
        jnp.zeros((1, 32, 32, 3)),
        jnp.zeros((1, 32, 32, 1)),
    )
    draw = np.random.default_rng(0)
    return config, jax.tree.map(lambda x: draw.random(x.shape, np.float32), shapes)


def _read_generator(work: Path, raw: bytes) -> None:
    (work / "generator.bin").write_bytes(raw)
    load_generator(work / "generator.bin")


def _make_journals(work: Path) -> list[bytes]:
    with Writers(work, 100, 0) as writers:
        for step in range(1, 12):
            names = ("reconstruction", "joint_accuracy_real", "joint_accuracy_completed")
            terms = dict.fromkeys((*names, "adversarial_gradient_ratio", "joint_real"), 0.5)
            writers.scalars(step, "joint" if step > 5 else "completion", 10.0, terms)
            writers.validation(step, {"hole_psnr": 20.0})
    (work / LOCK_NAME).touch()
    return [(work / "metrics.jsonl").read_bytes()]


def _read_journal(work: Path, raw: bytes) -> None:
    (work / "metrics.jsonl").write_bytes(raw)
    history = read_history(work / "metrics.jsonl")
    health(history)
    last_step(history)
    training_time(history, 8)
    read_curves(history)
    discriminator_losses(history)


Reader = Callable[[Path, bytes], None]
Change = Callable[[bytes, random.Random], bytes]
KINDS: dict[str, tuple[Callable[[Path], list[bytes]], Reader, Change]] = {
    "image": (_make_images, _read_image, changed_image),
    "mask": (_make_masks, _read_mask, changed_image),
    "config.json": (_make_configs, _read_config, changed_text),
    "npz": (_make_npz, _read_generator, changed_archive),
    "safetensors": (_make_safetensors, _read_generator, changed_text),
    "metrics.jsonl": (_make_journals, _read_journal, changed_text),
}


def main() -> None:
    """Fuzz one kind; the last line is the counts as JSON."""
    kind, seconds, work = sys.argv[1:]
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + MOST_MEMORY, size + MOST_MEMORY))
    print(json.dumps(fuzz(kind, float(seconds), Path(work))))


if __name__ == "__main__":
    main()
