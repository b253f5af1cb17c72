"""The project's networks in PyTorch: the same layers, so that speed can be compared.

Written as a PyTorch user would: `nn.Module`s over NCHW tensors in channels-last memory.
Nothing here imports JAX, so that a process which only runs PyTorch holds PyTorch alone.

Tensors are float32, but for those inside a network under autocast. image_Bx3xHxW lies in [0, 1],
mask_Bx1xHxW is 0/1 and 1 is the hole.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.torch_fill import harmonic_fill
from glcic_jax.config.settings import Config, ModelConfig, window_size

Network = TypeVar("Network", bound=nn.Module)

_SMALLEST_SIDE = 4


class Block(nn.Module):
    """A convolution, batch normalisation and ReLU."""

    def __init__(
        self,
        conv: nn.Conv2d | nn.ConvTranspose2d,
        momentum: float,
        *,
        rectifies_first: bool = False,
    ):
        """`momentum`: share of the old running statistics that each step keeps."""
        super().__init__()
        self.conv = conv
        self.norm = nn.BatchNorm2d(conv.out_channels, eps=1e-5, momentum=1 - momentum)
        self.rectifies_first = rectifies_first

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        if self.rectifies_first:
            return self.norm(F.relu(x, inplace=True))
        return F.relu(self.norm(x), inplace=True)


def _convolution(
    channels: int,
    features: int,
    size: int = 3,
    stride: int = 1,
    dilation: int = 1,
    *,
    bias: bool = False,
) -> nn.Conv2d:
    padding = dilation * (size // 2)
    return nn.Conv2d(channels, features, size, stride, padding, dilation, bias=bias)


class CompletionNetwork(nn.Module):
    """`glcic_jax.models.completion.CompletionNetwork`, with its layers' names."""

    mean_pixel: Tensor

    def __init__(self, config: ModelConfig, mean_pixel: np.ndarray):
        """`mean_pixel`: float of shape (3,) in [0, 1]."""
        super().__init__()
        self.fill, self.residual = config.fill, config.dilated_residual
        self.register_buffer("mean_pixel", torch.tensor(np.float32(mean_pixel)).view(1, 3, 1, 1))
        self.encoder, self.dilated, self.decoder = (nn.ModuleDict() for _ in range(3))
        self._channels, self._momentum = 4, config.batch_norm_momentum
        self._bias = config.convolution_bias
        self._rectifies_first = config.normalisation == "after_relu"
        self._add(self.encoder, "entry", config.width, size=5)
        for level in range(1, config.downsamples + 1):
            self._add(self.encoder, f"down{level}", config.width * 2**level, stride=2)
            self._add(self.encoder, f"down{level}_conv", config.width * 2**level)
        features = config.width * 2**config.downsamples
        self._add(self.encoder, "middle", features)
        for place, rate in enumerate(config.dilations, start=1):
            self._add(self.dilated, f"dilated{place}", features, dilation=rate)
        for name in ("merge1", "merge2"):
            self._add(self.decoder, name, features)
        for level in range(config.downsamples, 0, -1):
            features = config.width * 2 ** (level - 1)
            up = nn.ConvTranspose2d(self._channels, features, 4, 2, 1, bias=self._bias)
            self.decoder[f"up{level}"] = self._block(up)
            self._channels = features
            self._add(self.decoder, f"up{level}_conv", features // 2 if level == 1 else features)
        self.output = nn.Conv2d(self._channels, 3, 3, padding=1)

    def _add(self, part: nn.ModuleDict, name: str, features: int, **conv: int) -> None:
        part[name] = self._block(_convolution(self._channels, features, **conv, bias=self._bias))
        self._channels = features

    def _block(self, conv: nn.Conv2d | nn.ConvTranspose2d) -> Block:
        return Block(conv, self._momentum, rectifies_first=self._rectifies_first)

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        """The raw output over the whole image, image_Bx3xHxW."""
        with torch.no_grad():
            filled = self._filled(image, mask)
        x = torch.cat([filled, mask], 1).contiguous(memory_format=torch.channels_last)
        for block in self.encoder.values():
            x = block(x)
        for block in self.dilated.values():
            x = x + block(x) if self.residual else block(x)
        for block in self.decoder.values():
            x = block(x)
        output = self.output(x).float()  # it may be bfloat16, under autocast
        if self.fill == "mean":
            return torch.sigmoid(output)
        completed = filled + output
        return completed if self.training else completed.clamp(0, 1)

    def _filled(self, image: Tensor, mask: Tensor) -> Tensor:
        filled = torch.where(mask > 0.5, self.mean_pixel, image)
        if self.fill == "mean":
            return filled
        return harmonic_fill(filled, mask, self.mean_pixel)


class ImageEncoder(nn.Module):
    """5x5 convolutions of stride 2 down to about 4x4, then one vector."""

    def __init__(self, config: ModelConfig, side: int):
        """`side`: of the square images, in pixels."""
        super().__init__()
        self.blocks = nn.ModuleDict()
        channels = 3
        while not self.blocks or -(-side // 2) >= _SMALLEST_SIDE:
            features = config.discriminator_width * min(2 ** len(self.blocks), 8)
            conv = _convolution(channels, features, size=5, stride=2)
            self.blocks[f"conv{len(self.blocks) + 1}"] = Block(conv, config.batch_norm_momentum)
            channels, side = features, -(-side // 2)
        self.dense = nn.Linear(side * side * channels, config.dense_features)

    def forward(self, x: Tensor) -> Tensor:
        """image_Bx3xHxW -> vector_BxF."""
        for block in self.blocks.values():
            x = block(x)
        # Channels last in memory, so this order of values is free.
        return F.relu(self.dense(x.permute(0, 2, 3, 1).flatten(1)), inplace=True)


class ContextDiscriminator(nn.Module):
    """`glcic_jax.models.discriminators.ContextDiscriminator`."""

    def __init__(self, config: Config):
        """Networks for the image and window sides of `config`."""
        super().__init__()
        self.encoders = nn.ModuleDict(
            {
                "global": ImageEncoder(config.model, config.image_size),
                "local": ImageEncoder(config.model, window_size(config)),
            }
        )
        self.joint = config.model.fusion == "joint"
        features = config.model.dense_features
        self.logits = nn.ModuleDict(
            {"joint": nn.Linear(2 * features, 1)}
            if self.joint
            else {name: nn.Linear(features, 1) for name in self.encoders}
        )

    def forward(self, image: Tensor, window: Tensor) -> dict[str, Tensor]:
        """image_Bx3xSxS and window_Bx3xPxP -> logits_B by name."""
        vectors = {
            "global": self.encoders["global"](image),
            "local": self.encoders["local"](window),
        }
        if self.joint:
            vectors = {"joint": torch.cat([vectors["global"], vectors["local"]], 1)}
        return {name: self.logits[name](vector)[:, 0] for name, vector in vectors.items()}


def channels_last(network: Network) -> Network:
    """The same network, its kernels in channels-last memory, which is the fastest."""
    # PyTorch's type annotations lack this argument.
    to: Any = network.to
    return to(memory_format=torch.channels_last)


@contextlib.contextmanager
def frozen_statistics(network: nn.Module) -> Iterator[None]:
    """Inside, batch normalisation uses the batch's statistics and leaves the running ones alone."""
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True


# --- Weights of the JAX networks ------------------------------------------------------------

Variables = Mapping[str, Any]
"""Flax variables of one network as nested dictionaries: `params` and `batch_stats`."""


def load_generator(network: CompletionNetwork, variables: Variables) -> None:
    """Copy the completion network's Flax variables into `network`."""
    for part in (network.encoder, network.dilated, network.decoder):
        _load_blocks(part, variables["params"], variables["batch_stats"])
    output = variables["params"]["output"]
    _load_convolution(network.output, output["kernel"])
    _copy(network.output.bias, output["bias"])


def load_discriminator(network: ContextDiscriminator, variables: Variables) -> None:
    """Copy the discriminators' Flax variables into `network`."""
    params, statistics = variables["params"], variables["batch_stats"]
    # PyTorch's types know the members of a ModuleDict as modules only.
    encoders: Any = network.encoders
    logits: Any = network.logits
    for name, encoder in encoders.items():
        _load_blocks(encoder.blocks, params[name], statistics[name])
        _load_dense(encoder.dense, params[name]["dense"])
    for name, dense in logits.items():
        _load_dense(dense, params[f"{name}_logit"])


def _load_blocks(blocks: Any, params: Variables, statistics: Variables) -> None:
    for name, block in blocks.items():
        _load_convolution(block.conv, params[name]["kernel"])
        if block.conv.bias is not None:
            _copy(block.conv.bias, params[name]["bias"])
        norm, statistic = params[f"{name}_norm"]["norm"], statistics[f"{name}_norm"]["norm"]
        _copy(block.norm.weight, norm["scale"])
        _copy(block.norm.bias, norm["bias"])
        _copy(block.norm.running_mean, statistic["mean"])
        _copy(block.norm.running_var, statistic["var"])


def _load_convolution(conv: nn.Module, kernel: Any) -> None:
    transposed = isinstance(conv, nn.ConvTranspose2d)
    axes = (2, 3, 0, 1) if transposed else (3, 2, 0, 1)
    _copy(conv.weight, np.transpose(np.asarray(kernel), axes))


def _load_dense(dense: nn.Linear, values: Variables) -> None:
    _copy(dense.weight, np.asarray(values["kernel"]).T)
    _copy(dense.bias, values["bias"])


def _copy(target: Any, values: Any) -> None:
    with torch.no_grad():
        target.copy_(torch.tensor(np.asarray(values)))
