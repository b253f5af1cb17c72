"""Networks as two other programs have them, in PyTorch, from their description.

Only the names of arrays, the order of the layers and what they read are theirs.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

MEAN = (0.506, 0.426, 0.383)
"""Red, green, blue: near that of portraits."""


def convolutions(width: int) -> list[nn.Module]:
    """The 17 convolutions of the paper's table 1, all with biases."""
    found: list[nn.Module] = []
    channels = 4

    def add(features: int, size: int = 3, stride: int = 1, rate: int = 1) -> None:
        nonlocal channels
        padding = rate * (size // 2)
        found.append(nn.Conv2d(channels, features, size, stride, padding, rate))
        channels = features

    def double(features: int) -> None:
        nonlocal channels
        found.append(nn.ConvTranspose2d(channels, features, 4, 2, 1))
        channels = features

    add(width, size=5)
    add(2 * width, stride=2)
    add(2 * width)
    add(4 * width, stride=2)
    add(4 * width)
    add(4 * width)
    for rate in (2, 4, 8, 16):
        add(4 * width, rate=rate)
    add(4 * width)
    add(4 * width)
    double(2 * width)
    add(2 * width)
    double(width)
    add(width // 2)
    add(3)
    return found


class NormalisedLast(nn.Module):
    """`conv1`, `bn1` and so on; each convolution, ReLU, then normalisation. `model_cn`."""

    def __init__(self, width: int):
        super().__init__()
        self.order = []
        for number, layer in enumerate(convolutions(width), start=1):
            name = f"{'deconv' if isinstance(layer, nn.ConvTranspose2d) else 'conv'}{number}"
            self.add_module(name, layer)
            if number < 17:
                self.add_module(f"bn{number}", nn.BatchNorm2d(layer.out_channels))
            self.order.append(name)

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        mean = torch.tensor(MEAN).view(1, 3, 1, 1)
        x = torch.cat([image * (1 - mask) + mean * mask, mask], 1)
        for number, name in enumerate(self.order[:-1], start=1):
            x = getattr(self, f"bn{number}")(torch.relu(getattr(self, name)(x)))
        return torch.sigmoid(self.conv17(x))


class Centred(nn.Sequential):
    """`0.0`, `0.1` and so on; each convolution, normalisation, then ReLU; reads centred images."""

    def __init__(self, width: int):
        *inner, last = convolutions(width)
        super().__init__(
            *(nn.Sequential(layer, nn.BatchNorm2d(layer.out_channels)) for layer in inner), last
        )

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        mean = torch.tensor(MEAN).view(1, 3, 1, 1)
        x = torch.cat([(image - mean) * (1 - mask), mask], 1)
        for layer in list(self)[:-1]:
            x = torch.relu(layer(x))
        return torch.sigmoid(self[-1](x))


class View(nn.Module):
    """`conv1`, `bn1` and so on, then `linear6` or `linear7`: one vector of an image."""

    def __init__(self, width: int, side: int, halvings: int, features: int):
        super().__init__()
        channels = 3
        for number in range(1, halvings + 1):
            wider = width * min(2 ** (number - 1), 8)
            self.add_module(f"conv{number}", nn.Conv2d(channels, wider, 5, 2, 2))
            self.add_module(f"bn{number}", nn.BatchNorm2d(wider))
            channels = wider
        self.halvings = halvings
        left = side // 2**halvings
        self.add_module(f"linear{halvings + 1}", nn.Linear(channels * left**2, features))

    def forward(self, x: Tensor) -> Tensor:
        for number in range(1, self.halvings + 1):
            x = getattr(self, f"bn{number}")(torch.relu(getattr(self, f"conv{number}")(x)))
        return torch.relu(getattr(self, f"linear{self.halvings + 1}")(x.flatten(1)))


class Judges(nn.Module):
    """A local and a global discriminator with one logit, here without its sigmoid. `model_cd`."""

    def __init__(self, width: int, window: int, side: int, halvings: int, features: int):
        super().__init__()
        self.model_ld = View(width, window, 5, features)
        self.model_gd = View(width, side, halvings, features)
        self.linear1 = nn.Linear(2 * features, 1)

    def forward(self, image: Tensor, window: Tensor) -> Tensor:
        return self.linear1(torch.cat([self.model_ld(window), self.model_gd(image)], -1))[:, 0]


def as_trained(network: nn.Module, seed: int = 0) -> nn.Module:
    """Numbers in which every array counts, running statistics too."""
    draw = torch.Generator().manual_seed(seed)

    def uniform(like: Tensor, low: float, high: float) -> Tensor:
        return torch.rand(like.shape, generator=draw) * (high - low) + low

    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.weight.copy_(uniform(layer.weight, 0.7, 1.5))
                layer.bias.copy_(uniform(layer.bias, -0.4, 0.6))
                layer.running_mean.copy_(uniform(layer.bias, -0.3, 0.3))
                layer.running_var.copy_(uniform(layer.bias, 0.3, 1.5))
            elif isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
                taps = layer.weight[0, 0].numel() / (4 if layer.stride[0] > layer.padding[0] else 1)
                spread = (6 / (layer.in_channels * taps)) ** 0.5
                layer.weight.copy_(uniform(layer.weight, -spread, spread))
                layer.bias.copy_(uniform(layer.bias, -0.3, 0.3))
            elif isinstance(layer, nn.Linear):
                spread = (6 / layer.in_features) ** 0.5
                layer.weight.copy_(uniform(layer.weight, -spread, spread))
                layer.bias.copy_(uniform(layer.bias, -0.3, 0.3))
    return network.eval()
