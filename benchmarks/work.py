"""What a step costs by arithmetic alone, and how fast this machine can do arithmetic.

Counted are the multiplications and additions of convolutions and dense layers in their direct
form, as 2 for each pair, and only where a tap reads a pixel: products with padding are no work, so
the dilated layers of a small image cost little, and a pixel that is read twice for one output,
because it was repeated before, is multiplied once. Each layer is counted once forward, once for the
gradient of its kernel, and once for that of its input unless that is the image, which needs none.
Normalisation, activations, masks, fill, losses and optimizers are left out. So the count is a lower
bound, and a rate computed from it an upper one.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from glcic_jax.config.settings import Config, Phase, window_size
from glcic_jax.networks.interface import Generator
from glcic_jax.networks.layers import Conv, ConvTranspose, InterpolatedConv
from glcic_jax.networks.registry import build_discriminator, build_generator

_FIRST = ("entry", "conv1")
"""Names of the layers that read an image."""
_SIDE = 3072
_REPEATS = 8


@dataclasses.dataclass(frozen=True)
class LayerWork:
    """One layer's floating-point operations forward, for one image.

    Attributes:
        layer: a `Conv`, `ConvTranspose`, `InterpolatedConv` or `Dense`, without parameters.
        input_shape: of the array it reads, without the batch.
    """

    name: str
    flops: float
    reads_image: bool
    layer: nn.Module
    input_shape: tuple[int, ...]


def network_work(network: nn.Module | Generator, *inputs: jax.ShapeDtypeStruct) -> list[LayerWork]:
    """The layers of a network in the order in which it calls them.

    Args:
        network: a generator or discriminator of the project.
        inputs: its arrays, with a batch of 1.
    """
    layers: list[LayerWork] = []

    def record(call, arguments, keywords, context):
        module = context.module
        if context.method_name == "__call__":
            flops = _layer_flops(module, arguments)
            if flops is not None:
                name, shape = "/".join(module.path), arguments[0].shape[1:]
                layer = module.clone(parent=None)
                layers.append(LayerWork(name, flops, module.name in _FIRST, layer, shape))
        return call(*arguments, **keywords)

    with nn.intercept_methods(record):
        jax.eval_shape(
            lambda *arrays: network.init(jax.random.key(0), *arrays, train=False), *inputs
        )
    return layers


def generator_work(config: Config) -> list[LayerWork]:
    """The layers of a configuration's generator, at its image size."""
    side = config.image_size
    return network_work(build_generator(config), _image(side, 3), _image(side, 1))


def discriminator_work(config: Config) -> list[LayerWork]:
    """The layers of a configuration's discriminators."""
    views = _image(config.image_size, 3), _image(window_size(config), 3)
    return network_work(build_discriminator(config), *views)


def step_flops(config: Config, phase: Phase) -> float:
    """Floating-point operations of one phase's step for one image."""
    generator, discriminator = generator_work(config), discriminator_work(config)
    match phase:
        case "completion":
            return _update(generator)
        case "discriminator":
            # The generator completes; the discriminators learn from real and completed images.
            return _forward(generator) + 2 * _update(discriminator)
        case "joint":
            # On top of both updates: the gradient of the adversarial terms by completed images.
            return _update(generator) + 2 * _update(discriminator) + _forward(discriminator)
    raise ValueError(f"unknown phase {phase!r}")


def inference_flops(config: Config, side: int) -> float:
    """Floating-point operations of completing one square image of `side` pixels."""
    return _forward(generator_work(dataclasses.replace(config, image_size=side)))


def peak_flops() -> dict[str, float]:
    """Float32 operations a second of a large matrix product on all cores, by library.

    The best of several products: a limit, so disturbances should not lower it. PyTorch is among
    them where it is installed.
    """
    rng = np.random.default_rng(0)
    one, other = (rng.standard_normal((_SIDE, _SIDE)).astype(np.float32) for _ in range(2))
    on_device = jnp.asarray(one), jnp.asarray(other)
    product = jax.jit(jnp.matmul)
    products: dict[str, Callable[[], Any]] = {
        "numpy": lambda: one @ other,
        "jax": lambda: product(*on_device).block_until_ready(),
    }
    try:
        import torch
    except ImportError:
        pass
    else:
        tensors = torch.from_numpy(one), torch.from_numpy(other)
        products["torch"] = lambda: tensors[0] @ tensors[1]
    return {name: 2.0 * _SIDE**3 / _best_seconds(run) for name, run in products.items()}


def write_bandwidth(megabytes: int = 256) -> float:
    """Bytes a second that one thread of NumPy writes to memory."""
    target = np.empty(megabytes * 10**6, np.uint8)
    return target.nbytes / _best_seconds(lambda: target.fill(1))


def _best_seconds(run: Callable[[], Any]) -> float:
    best = float("inf")
    for _ in range(_REPEATS):
        started = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - started)
    return best


def _image(side: int, channels: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct((1, side, side, channels), jnp.float32)


def _forward(layers: list[LayerWork]) -> float:
    return sum(layer.flops for layer in layers)


def _update(layers: list[LayerWork]) -> float:
    """Forward, gradients of the kernels, and of all inputs but the image."""
    return sum(layer.flops * (2 if layer.reads_image else 3) for layer in layers)


def _layer_flops(module: nn.Module, arguments: tuple[Any, ...]) -> float | None:
    """None for modules that are not layers with a kernel."""
    if isinstance(module, Conv):
        _, height, width, channels = arguments[0].shape
        reads = [
            _reads(side, module.size, module.stride, module.dilation) for side in (height, width)
        ]
        return 2.0 * reads[0] * reads[1] * channels * module.features
    if isinstance(module, (ConvTranspose, InterpolatedConv)):
        _, height, width, channels = arguments[0].shape
        # Along each axis an output reads two different pixels, the first and last output one.
        return 2.0 * (4 * height - 2) * (4 * width - 2) * channels * module.features
    if isinstance(module, nn.Dense):
        return 2.0 * arguments[0].shape[-1] * module.features
    return None


def _reads(side: int, kernel: int, stride: int, dilation: int) -> int:
    """Pairs of an output and a tap along one axis whose pixel lies inside the image."""
    outputs = stride * np.arange(-(-side // stride))
    taps = dilation * (np.arange(kernel) - kernel // 2)
    places = outputs[:, None] + taps
    return int(np.count_nonzero((places >= 0) & (places < side)))
