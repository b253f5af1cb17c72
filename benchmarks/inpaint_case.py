"""Complete one image with one method, in a process of its own: first call, later calls, memory.

`benchmarks.inpaint` starts it, so that no method's imports, threads or peak memory reach another.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import re
import resource
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, get_args

import numpy as np

from benchmarks.accelerators import Device, Dtype, use_tensor_float_32
from glcic_jax.config.saved import from_json
from glcic_jax.config.settings import Config

OURS, OURS_BFLOAT16 = "glcic_jax", "glcic_jax bfloat16"
PYTORCH, PYTORCH_COMPILED, TELEA = "PyTorch", "PyTorch bfloat16 compiled", "Telea"
METHODS: Mapping[Device, tuple[str, ...]] = {
    "cpu": (OURS, PYTORCH, TELEA),
    "cuda": (OURS, OURS_BFLOAT16, PYTORCH, PYTORCH_COMPILED, TELEA),
}
"""What a device has; Telea, of OpenCV, computes on the CPU in any case."""

Complete = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""uint8 image_HxWx3, bool mask_HxW (True is the hole) -> uint8 image_HxWx3."""


@dataclasses.dataclass(frozen=True)
class Case:
    """One measurement: how, where, and the generator's settings and variables."""

    method: str
    device: Device
    threads: int
    config: Config
    variables: dict[str, Any]


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
    parser.add_argument("--method", choices=METHODS["cuda"], required=True)
    parser.add_argument("--device", choices=get_args(Device), required=True)
    parser.add_argument("--inputs", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--calls", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    arguments = parser.parse_args()
    with np.load(arguments.inputs) as stored:
        inputs = dict(stored)
    image, mask = inputs["image"], inputs["mask"]
    config = from_json(str(inputs["config"]))
    dtype: Dtype = "bfloat16" if "bfloat16" in arguments.method else "float32"
    model = dataclasses.replace(config.model, compute_dtype=dtype)
    config = dataclasses.replace(config, model=model)
    variables = _nested(inputs, "variables")
    case = Case(arguments.method, arguments.device, arguments.threads, config, variables)
    complete = _prepare(case)
    before = _memory("VmRSS")
    completed, first = _timed(complete, image, mask)
    later = [_timed(complete, image, mask)[1] for _ in range(arguments.calls)]
    np.save(arguments.output, completed)
    record = {
        "first_seconds": first,
        "later_seconds": later,
        "peak_bytes": _memory("VmHWM"),
        "bytes_before": before,
        "gpu_peak_bytes": _gpu_peak(case),
    }
    json.dump(record, sys.stdout)


def _timed(complete: Complete, image: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, float]:
    started = time.perf_counter()
    completed = complete(image, mask)
    return completed, time.perf_counter() - started


def _prepare(case: Case) -> Complete:
    if case.method == TELEA:
        return _telea(case)
    return _pytorch(case) if case.method in (PYTORCH, PYTORCH_COMPILED) else _ours(case)


def _ours(case: Case) -> Complete:
    import jax

    from glcic_jax import inpaint_fn
    from glcic_jax.networks.registry import build_generator

    if case.device == "cpu":
        jax.config.update("jax_platforms", "cpu")
    generator = build_generator(case.config)
    variables = jax.device_put(case.variables, jax.devices(case.device)[0])
    return lambda image, mask: inpaint_fn(generator, variables, image, mask)


def _pytorch(case: Case) -> Complete:
    import torch

    from benchmarks.torch_glcic import CompletionNetwork, channels_last, load_generator

    torch.set_num_threads(case.threads)
    if case.device == "cuda":
        use_tensor_float_32()
    generator = CompletionNetwork(case.config.model, case.variables["constants"]["mean_pixel"])
    load_generator(generator, case.variables)
    generator = channels_last(generator).eval().to(case.device)
    is_bfloat16 = case.config.model.compute_dtype == "bfloat16"
    if case.method == PYTORCH_COMPILED:
        generator.compile(dynamic=False)

    @torch.inference_mode()
    def complete(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
        pixels = torch.tensor(image, device=case.device)
        hole = torch.tensor(mask, device=case.device)
        plane = pixels.permute(2, 0, 1)[None].float().div_(255)
        with torch.autocast(case.device, torch.bfloat16, enabled=is_bfloat16):
            output = generator(plane, hole[None, None].float())
        filled = output.clamp(0, 1).mul_(255).round_().to(torch.uint8)[0].permute(1, 2, 0)
        return torch.where(hole[..., None], filled, pixels).cpu().numpy()

    return complete


def _telea(case: Case) -> Complete:
    import cv2

    cv2.setNumThreads(case.threads)

    def complete(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
        return cv2.inpaint(image, mask.astype(np.uint8), 3.0, cv2.INPAINT_TELEA)

    return complete


def _gpu_peak(case: Case) -> int | None:
    """Bytes of the GPU's memory that its arrays took at most; None where there is no telling."""
    if case.device == "cpu" or case.method == TELEA:
        return None
    if case.method in (PYTORCH, PYTORCH_COMPILED):
        import torch

        return torch.cuda.max_memory_allocated()
    import jax

    return (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use")


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
