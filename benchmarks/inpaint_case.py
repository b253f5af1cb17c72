"""Complete one image with one method, in a process of its own: first call, later calls, memory.

`benchmarks.inpaint` starts it, so that no method's imports, threads or peak memory reach another.
"""

from __future__ import annotations

import argparse
import json
import re
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from glcic_jax.config.saved import from_json
from glcic_jax.config.settings import Config

METHODS = ("glcic_jax", "PyTorch", "Telea")

Complete = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""uint8 image_HxWx3, bool mask_HxW (True is the hole) -> uint8 image_HxWx3."""


def save_inputs(
    path: Path, config: Config, variables: Any, image: np.ndarray, mask: np.ndarray
) -> None:
    """Write what a case reads.

    Args:
        path: .npz file.
        config: of the generator.
        variables: nested dictionaries of the generator's arrays.
        image: uint8 image_HxWx3.
        mask: bool mask_HxW, True is the hole.
    """
    from glcic_jax.config.saved import to_json

    arrays: dict[str, Any] = _flatten(variables, "variables")
    np.savez(path, config=np.array(to_json(config)), image=image, mask=mask, **arrays)


def main() -> None:
    """Run one case; print one line of JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--method", choices=METHODS, required=True)
    parser.add_argument("--inputs", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--calls", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    arguments = parser.parse_args()
    with np.load(arguments.inputs) as stored:
        inputs = dict(stored)
    image, mask = inputs["image"], inputs["mask"]
    prepare = {"glcic_jax": _ours, "PyTorch": _pytorch, "Telea": _telea}
    complete = prepare[arguments.method](inputs, arguments.threads)
    before = _memory("VmRSS")
    completed, first = _timed(complete, image, mask)
    later = [_timed(complete, image, mask)[1] for _ in range(arguments.calls)]
    np.save(arguments.output, completed)
    record = {
        "first_seconds": first,
        "later_seconds": later,
        "peak_bytes": _memory("VmHWM"),
        "bytes_before": before,
    }
    json.dump(record, sys.stdout)


def _timed(complete: Complete, image: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, float]:
    started = time.perf_counter()
    completed = complete(image, mask)
    return completed, time.perf_counter() - started


def _ours(inputs: dict[str, np.ndarray], _threads: int) -> Complete:
    import jax

    from glcic_jax import inpaint_fn
    from glcic_jax.networks.registry import build_generator

    jax.config.update("jax_platforms", "cpu")
    config = from_json(str(inputs["config"]))
    generator = build_generator(config)
    variables = jax.device_put(_nested(inputs, "variables"))
    return lambda image, mask: inpaint_fn(generator, variables, image, mask)


def _pytorch(inputs: dict[str, np.ndarray], threads: int) -> Complete:
    import torch

    from benchmarks.torch_glcic import CompletionNetwork, channels_last, load_generator

    torch.set_num_threads(threads)
    config, variables = from_json(str(inputs["config"])), _nested(inputs, "variables")
    generator = CompletionNetwork(config.model, variables["constants"]["mean_pixel"])
    load_generator(generator, variables)
    generator = channels_last(generator).eval()

    @torch.inference_mode()
    def complete(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
        pixels, hole = torch.tensor(image), torch.tensor(mask)
        plane = pixels.permute(2, 0, 1)[None].float().div_(255)
        output = generator(plane, hole[None, None].float())
        filled = output.clamp(0, 1).mul_(255).round_().to(torch.uint8)[0].permute(1, 2, 0)
        return torch.where(hole[..., None], filled, pixels).numpy()

    return complete


def _telea(_inputs: dict[str, np.ndarray], threads: int) -> Complete:
    import cv2

    cv2.setNumThreads(threads)

    def complete(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
        return cv2.inpaint(image, mask.astype(np.uint8), 3.0, cv2.INPAINT_TELEA)

    return complete


def _memory(field: str) -> int:
    """VmRSS, the resident bytes now, or VmHWM, the most they have been, of this process."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else 1024 * peak
    # Unlike ru_maxrss these start anew with the program, whatever the parent process held.
    match = re.search(rf"{field}:\s+(\d+) kB", status)
    return 1024 * int(match.group(1)) if match else 0


def _flatten(tree: Any, prefix: str) -> dict[str, np.ndarray]:
    if not isinstance(tree, dict):
        return {prefix: np.asarray(tree)}
    flat: dict[str, np.ndarray] = {}
    for name, value in tree.items():
        flat |= _flatten(value, f"{prefix}/{name}")
    return flat


def _nested(inputs: dict[str, np.ndarray], prefix: str) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for path, array in inputs.items():
        root, *parents = path.split("/")
        if root != prefix:
            continue
        branch = tree
        for parent in parents[:-1]:
            branch = branch.setdefault(parent, {})
        branch[parents[-1]] = array
    return tree


if __name__ == "__main__":
    main()
