"""Each convolution of a training step by itself, forward and both gradients, against PyTorch.

Where a step loses to PyTorch, this says in which operator, and how far each is from what this
machine's arithmetic allows. Both sides take turns on the same shapes; normalisation, activations
and whatever XLA fuses with a convolution are left out.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from benchmarks import report
from benchmarks.extras import require_torch
from benchmarks.train_step import CASES, Case
from glcic_jax.commands.command_line import parse, run
from glcic_jax.config.settings import Config

if TYPE_CHECKING:
    from benchmarks.timing import Run
    from benchmarks.work import LayerWork

Kind = Literal["plain", "transposed", "interpolated"]
Pass = Literal["forward", "input gradient", "kernel gradient"]
_PASSES: tuple[Pass, ...] = get_args(Pass)
_OURS, _THEIRS = "glcic_jax", "PyTorch"


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Milliseconds of each convolution of a training step, side by side with PyTorch."""

    case: Case = "32px"
    """Networks, image size and batch, as in benchmarks.train_step."""
    generator: Literal["glcic", "residual"] = "glcic"
    """The case's completion network, or the residual one of the same width."""
    rounds: int = 5
    """Turns of each side."""
    calls: int = 5
    """Calls in each turn."""
    json: Path | None = None
    """File to write everything to."""


@dataclasses.dataclass(frozen=True)
class _Operator:
    """A convolution as both libraries need to know it.

    The transposed kind (4x4, stride 2) and the interpolated (every pixel twice, then 3x3) double
    the map.
    """

    name: str
    side: int
    channels: int
    features: int
    size: int
    stride: int
    dilation: int
    kind: Kind

    @property
    def kernel_shape(self) -> tuple[int, ...]:
        return self.size, self.size, self.channels, self.features

    def shape(self) -> str:
        rate = f" rate {self.dilation}" if self.dilation > 1 else ""
        stride = f" stride {self.stride}" if self.stride > 1 else ""
        how = {"plain": stride, "transposed": " up 2", "interpolated": " of doubled pixels"}
        kernel = f"{self.size}x{self.size}{how[self.kind]}{rate}"
        return f"{kernel}, {self.side}x{self.side}x{self.channels} to {self.features}"


def main() -> None:
    """Measure, print a table, write JSON."""
    arguments = parse(Arguments, description=Arguments.__doc__)
    report.check_output(arguments.json)
    report.check_counts(arguments, "rounds", "calls")
    require_torch()
    import jax

    jax.config.update("jax_platforms", "cpu")
    import torch

    from benchmarks.work import peak_flops

    torch.set_num_threads(report.cores())
    peak = max(peak_flops().values())
    case = CASES[arguments.case]
    model = dataclasses.replace(case.model, generator=arguments.generator)
    config = dataclasses.replace(case, model=model)
    results = [
        _measure(operator, which, flops, count, config, arguments) | {"peak_flops": peak}
        for (operator, flops, reads_image), count in _operators(config).items()
        for which in _PASSES
        if not (reads_image and which == "input gradient")
    ]
    _publish(results, arguments)
    settings = {"case": arguments.case, "generator": arguments.generator}
    report.write_json(arguments.json, settings | {"results": results})


def _operators(config: Config) -> Counter:
    """(operator, its operations forward for one image, does it read the image) -> how many.

    Layers of the same shape are one operator, called by the first one's name.
    """
    from benchmarks.work import discriminator_work, generator_work

    counts: Counter = Counter()
    names: dict[Any, str] = {}
    for layer in generator_work(config) + discriminator_work(config):
        operator = _operator(layer)
        if operator is not None:
            shape = dataclasses.replace(operator, name="")
            name = names.setdefault(shape, operator.name)
            operator = dataclasses.replace(operator, name=name)
            counts[operator, layer.flops, layer.reads_image] += 1
    return counts


def _operator(work: LayerWork) -> _Operator | None:
    """None for a dense layer."""
    from glcic_jax.networks.layers import Conv, ConvTranspose, InterpolatedConv

    layer = work.layer
    if not isinstance(layer, (Conv, ConvTranspose, InterpolatedConv)):
        return None
    side, _, channels = work.input_shape
    if isinstance(layer, ConvTranspose):
        return _Operator(work.name, side, channels, layer.features, 4, 2, 1, "transposed")
    if isinstance(layer, InterpolatedConv):
        return _Operator(work.name, side, channels, layer.features, 3, 1, 1, "interpolated")
    shape = (layer.features, layer.size, layer.stride, layer.dilation)
    return _Operator(work.name, side, channels, *shape, "plain")


def _measure(
    operator: _Operator, which: Pass, flops: float, count: int, config: Config, arguments: Arguments
) -> dict[str, Any]:
    from benchmarks.timing import alternate

    batch = config.data.batch_size
    rng = np.random.default_rng(0)
    x = rng.standard_normal((batch, operator.side, operator.side, operator.channels))
    kernel = rng.standard_normal(operator.kernel_shape)
    arrays = x.astype(np.float32), kernel.astype(np.float32)
    contenders = {
        _OURS: _our_run(operator, which, *arrays),
        _THEIRS: _their_run(operator, which, *arrays),
    }
    samples = alternate(contenders, rounds=arguments.rounds, calls=arguments.calls)
    return {
        "operator": dataclasses.asdict(operator),
        "title": f"{operator.name}: {operator.shape()}",
        "pass": which,
        "count": count,
        "flops": flops * batch,
        **{side: dataclasses.asdict(sample.seconds()) for side, sample in samples.items()},
    }


def _our_run(operator: _Operator, which: Pass, x: np.ndarray, kernel: np.ndarray) -> Run:
    import jax

    from glcic_jax.networks import operators
    from glcic_jax.runtime import devices

    def forward(x: jax.Array, kernel: jax.Array) -> jax.Array:
        if operator.kind == "transposed":
            return operators.convolve_transpose(x, kernel)
        if operator.kind == "interpolated":
            return operators.convolve_doubled(x, kernel)
        return operators.convolve(x, kernel, stride=operator.stride, dilation=operator.dilation)

    def gradient(argument: int) -> Callable:
        def pull(x: jax.Array, kernel: jax.Array, by_output: jax.Array) -> jax.Array:
            pulled = jax.vjp(forward, x, kernel)[1](by_output)
            return pulled[argument]

        return pull

    inputs = [jax.device_put(x), jax.device_put(kernel)]
    function: Callable = forward
    if which != "forward":
        inputs.append(jax.jit(forward)(*inputs))
        function = gradient(0 if which == "input gradient" else 1)
    program = devices.jit(function)

    def calls(count: int) -> Any:
        result = None
        for _ in range(count):
            result = jax.block_until_ready(program(*inputs))
        return result

    return calls


def _their_run(operator: _Operator, which: Pass, x: np.ndarray, kernel: np.ndarray) -> Run:
    import torch

    packed, transposed = torch.channels_last, operator.kind == "transposed"
    interpolated = operator.kind == "interpolated"
    image = torch.from_numpy(x).permute(0, 3, 1, 2).contiguous(memory_format=packed)
    # Output features first; a transposed convolution's kernel has its input channels first.
    order = (2, 3, 0, 1) if transposed else (3, 2, 0, 1)
    weight = torch.from_numpy(kernel).permute(order).contiguous(memory_format=packed)
    stride, rate = [operator.stride] * 2, [operator.dilation] * 2
    padding = [1, 1] if transposed else [operator.dilation * (operator.size // 2)] * 2
    settings = (stride, padding, rate, transposed, [0, 0], 1)

    def read() -> torch.Tensor:
        return torch.nn.functional.interpolate(image, scale_factor=2) if interpolated else image

    def forward() -> torch.Tensor:
        return torch.ops.aten.convolution(read(), weight, None, *settings)

    by_output, kept = forward(), read()
    wanted = [which == "input gradient", which == "kernel gradient", False]

    def backward() -> torch.Tensor:
        gradients = torch.ops.aten.convolution_backward(
            by_output, kept, weight, None, *settings, wanted
        )
        gradient = gradients[wanted.index(True)]
        if interpolated and which == "input gradient":
            # Each pixel was read at four places.
            return torch.nn.functional.avg_pool2d(gradient, 2, divisor_override=1)
        return gradient

    function: Callable = forward if which == "forward" else backward

    @torch.no_grad()
    def calls(count: int) -> Any:
        result = None
        for _ in range(count):
            result = function()
        return result

    return calls


def _publish(results: list[dict[str, Any]], arguments: Arguments) -> None:
    rows, sums = [], dict.fromkeys((_OURS, _THEIRS, "limit"), 0.0)
    for result in results:
        ours, theirs = (result[side]["median"] for side in (_OURS, _THEIRS))
        limit = result["flops"] / result["peak_flops"]
        for side, seconds in zip(sums, (ours, theirs, limit), strict=True):
            sums[side] += result["count"] * seconds
        times = f" (x {result['count']})" if result["count"] > 1 else ""
        numbers = (ours * 1e3, theirs * 1e3, theirs / ours, limit * 1e3)
        rows.append((result["title"] + times, result["pass"], *map(report.number, numbers)))
    total = (sums[_OURS] * 1e3, sums[_THEIRS] * 1e3, sums[_THEIRS] / sums[_OURS])
    rows.append(("all", "", *map(report.number, (*total, sums["limit"] * 1e3))))
    batch = CASES[arguments.case].data.batch_size
    report.publish(
        f"Convolutions of {arguments.case}, {arguments.generator}, batch {batch}, on "
        f"{report.cores()} cores: median",
        ("operator", "pass", f"{_OURS} ms", f"{_THEIRS} ms", "speed ratio", "limit ms"),
        rows,
        notes=(
            f"limit: {results[0]['peak_flops'] / 1e9:.0f} GFLOP/s, the best large float32 matrix "
            "product; taps that read padding don't count as work",
        ),
    )


if __name__ == "__main__":
    run(main)
