"""One photograph completed: ONNX Runtime with an exported file, and `inpaint_fn`, in turn.

Both use all cores of the CPU. The file computes the whole photograph, `inpaint_fn` what the hole
can see, so a small hole and a wide one are measured.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks import report
from benchmarks.extras import require_onnxruntime
from benchmarks.timing import Run, alternate
from glcic_jax.commands.command_line import parse, run


@dataclasses.dataclass(frozen=True)
class Arguments:
    """One photograph completed by ONNX Runtime and by this package, in one process, alternating."""

    generator: str = "photographs"
    """A run, a file, or a name that comes with the package."""
    size: int = 512
    """Side of the photograph in pixels."""
    holes: tuple[int, ...] = (32, 192)
    """Sides of the square hole in pixels."""
    rounds: int = 7
    """Turns of each."""
    seconds: float = 1.0
    """The least that a turn lasts."""
    json: Path | None = None
    """Also write the figures to this file."""


def main() -> None:
    """Export, time in turns, print."""
    arguments = parse(Arguments, description=Arguments.__doc__)
    report.check_counts(arguments, "size", "rounds")
    report.check_output(arguments.json)
    require_onnxruntime()
    import jax

    from glcic_jax.export.formats import Source, write_generator
    from glcic_jax.inpainting.generators import find_generator

    jax.config.update("jax_platforms", "cpu")
    source = Source(*find_generator(arguments.generator), {})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "generator.onnx")
        write_generator("onnx", path, source)
        exported = _exported(path)
    rows, record = [], {}
    for hole in arguments.holes:
        image, mask = _photograph(arguments.size, hole)
        contenders, difference = _contenders(exported, source, image, mask)
        samples = alternate(contenders, rounds=arguments.rounds, seconds=arguments.seconds)
        record[str(hole)] = {name: found.record() for name, found in samples.items()}
        times = [report.spread(found.seconds(), 1e3) for found in samples.values()]
        rows.append((f"{hole} x {hole}", *times, f"{difference:.1e}"))
    title = f"{arguments.generator}, {arguments.size} x {arguments.size}: milliseconds a photograph"
    columns = ("hole", "ONNX Runtime", "inpaint_fn", "largest difference")
    report.publish(title, columns, rows)
    report.write_json(arguments.json, {"generator": arguments.generator, "holes": record})


def _photograph(size: int, hole: int) -> tuple[np.ndarray, np.ndarray]:
    """float32 image_1xSxSx3 in [0, 1] and mask_1xSxSx1, 1 is the hole."""
    import skimage.data
    import skimage.transform

    photo = skimage.transform.resize(skimage.data.astronaut(), (size, size), anti_aliasing=True)
    mask = np.zeros((1, size, size, 1), np.float32)
    first = (size - hole) // 2
    mask[:, first : first + hole, first : first + hole] = 1
    return photo[None].astype(np.float32), mask


def _exported(path: Path) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """NHWC images and masks to completed images, by ONNX Runtime."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def complete(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
        feed = {"image": image, "mask": mask}
        planes = {name: np.ascontiguousarray(x.transpose(0, 3, 1, 2)) for name, x in feed.items()}
        return session.run(["completed"], planes)[0].transpose(0, 2, 3, 1)

    return complete


def _contenders(
    exported, source, image: np.ndarray, mask: np.ndarray
) -> tuple[dict[str, Run], float]:
    """What is timed, and the largest difference between the two."""
    from glcic_jax import inpaint_fn

    def ours() -> np.ndarray:
        return inpaint_fn(source.generator, source.variables, image, mask)

    def theirs() -> np.ndarray:
        return exported(image, mask)

    def often(once: Callable[[], np.ndarray]) -> Run:
        def turn(count: int) -> None:
            for _ in range(count):
                once()

        return turn

    difference = float(np.abs(ours() - theirs()).max())
    return {"ONNX Runtime": often(theirs), "inpaint_fn": often(ours)}, difference


if __name__ == "__main__":
    run(main)
