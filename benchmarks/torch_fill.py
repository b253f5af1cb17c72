"""The harmonic fill in PyTorch: `glcic_jax.imaging.fills.harmonic_fill`, sweep for sweep."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def harmonic_fill(image: Tensor, mask: Tensor, mean_pixel: Tensor, sweeps: int = 16) -> Tensor:
    """The smooth solution of Laplace's equation in the hole.

    Args:
        image: image_Bx3xHxW in [0, 1].
        mask: mask_Bx1xHxW, 1 is the hole.
        mean_pixel: of shape (1, 3, 1, 1), in [0, 1]; fills an image with no known pixel.
        sweeps: on each level of the pyramid.

    Returns:
        image_Bx3xHxW in [0, 1].
    """
    # Short rows of three channels vectorise badly, so this part runs on planes.
    image, mask = image.contiguous(), mask.contiguous()
    surface = _solve(image, 1.0 - mask, mean_pixel, sweeps).clamp(0, 1)
    return surface.contiguous(memory_format=torch.channels_last)


def _solve(image: Tensor, known: Tensor, mean_pixel: Tensor, sweeps: int) -> Tensor:
    height, width = image.shape[2:]
    if height == 1 and width == 1:
        return torch.where(known > 0, image, mean_pixel)
    coarse = _solve(*_halve(image, known), mean_pixel, sweeps)
    start = F.interpolate(coarse, scale_factor=2, mode="bilinear", align_corners=False)
    is_known = known > 0
    start = torch.where(is_known, image, start[:, :, :height, :width])
    return _relax(start, is_known, sweeps)


def _relax(surface: Tensor, is_known: Tensor, sweeps: int) -> Tensor:
    """Chebyshev-accelerated Jacobi sweeps over the pixels not known."""
    # 32: see `glcic_jax.imaging.fills`.
    radius = math.cos(math.pi / (min(max(surface.shape[2:]), 32) / 2 + 1))
    weight = 1.0
    before = now = surface
    for sweep in range(sweeps):
        if sweep == 1:
            weight = 1 / (1 - radius**2 / 2)
        elif sweep > 1:
            weight = 1 / (1 - radius**2 * weight / 4)
        after = torch.lerp(before, _neighbour_mean(now), weight)
        before, now = now, torch.where(is_known, now, after)
    return now


def _halve(image: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """Mean of the known pixels of each 2x2 cell, and whether the cell has any."""
    pad = (0, image.shape[3] % 2, 0, image.shape[2] % 2)

    def cell_sum(values: Tensor) -> Tensor:
        return F.avg_pool2d(F.pad(values, pad), 2, divisor_override=1)

    count = cell_sum(known)
    return cell_sum(image * known) / count.clamp(min=1), count.clamp(max=1)


def _neighbour_mean(image: Tensor) -> Tensor:
    padded = F.pad(image, (1, 1, 1, 1), mode="replicate")
    rows = padded[:, :, :-2, 1:-1] + padded[:, :, 2:, 1:-1]
    columns = padded[:, :, 1:-1, :-2] + padded[:, :, 1:-1, 2:]
    return rows.add_(columns).mul_(0.25)
