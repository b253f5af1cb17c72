"""The three update steps in PyTorch: the mathematics of `glcic_jax.steps`, on a CPU or a CUDA GPU.

No straw man: channels-last memory, fused or foreach optimizers, gradients set to None, the
generator run forward once in the joint step, and both gradients of the discriminators taken from
one forward pass, as in `glcic_jax.steps.joint_step`. All that a step draws is drawn on the device,
and nothing in it waits for a GPU. Learning rates are constant.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
import torch._functorch.config
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from benchmarks.torch_glcic import (
    CompletionNetwork,
    ContextDiscriminator,
    channels_last,
    frozen_statistics,
)
from glcic_jax.config.settings import Config, Phase, pixels, window_size
from glcic_jax.errors import UserError

Terms = dict[str, Tensor]


@dataclasses.dataclass(frozen=True)
class Batch:
    """image_Bx3xSxS and mask_Bx1xSxS float32; corners_Bx2 int64 of the local windows."""

    image: Tensor
    mask: Tensor
    corner: Tensor
    real_corner: Tensor


class Trainer:
    """Both networks with their optimizers; each phase's step is a method."""

    def __init__(
        self,
        config: Config,
        mean_pixel: np.ndarray,
        *,
        device: str = "cpu",
        compiled: bool = False,
    ):
        """Fresh networks.

        Args:
            config: of the run. With `model.compute_dtype` bfloat16 the networks run under autocast.
            mean_pixel: float of shape (3,) in [0, 1].
            device: cpu or cuda, where the images must be too.
            compiled: whether `torch.compile` compiles both networks, each as a whole.

        Raises:
            UserError: `config` has a feature that is not mirrored here.
        """
        _check(config)
        self.config = config
        self.device = torch.device(device)
        self._window = window_size(config)
        self.generator = channels_last(CompletionNetwork(config.model, mean_pixel)).to(self.device)
        self.discriminator = channels_last(ContextDiscriminator(config)).to(self.device)
        if compiled:
            # The joint step goes back through one pass of the discriminators twice, so the first
            # time must leave what was kept for it alone.
            torch._functorch.config.donated_buffer = False
            self.generator.compile(dynamic=False)
            self.discriminator.compile(dynamic=False)
        rates = config.optimizer.learning_rate, config.optimizer.discriminator_learning_rate
        self._generator_optimizer = _optimizer(
            config, self.generator, rates[0], config.optimizer.weight_decay
        )
        self._discriminator_optimizer = _optimizer(config, self.discriminator, rates[1], 0.0)
        self._steps = 0
        self.average: list[Tensor] = []
        self.restart_average()

    def restart_average(self) -> None:
        """Let the moving average start from the generator as it is now."""
        if self.config.optimizer.ema_decay > 0:
            self.average = [tensor.detach().clone() for tensor in self._averaged()]

    def step(self, phase: Phase, images: Tensor) -> Terms:
        """One update from uint8 image_BxSxSx3; returns scalars by name, as ours."""
        batch = self.draw(images)
        if phase == "completion":
            return self.completion(batch)
        return self.discriminate(batch) if phase == "discriminator" else self.joint(batch)

    def draw(self, images: Tensor) -> Batch:
        """Flips, holes and windows for uint8 image_BxSxSx3; each image draws its own."""
        count, size = images.shape[:2]
        image = images.permute(0, 3, 1, 2).float().div_(255)
        flipped = torch.rand(count, 1, 1, 1, device=images.device) < self.config.augment.flip
        image = torch.where(flipped, image.flip(3), image)
        masks = self.config.masks
        sides = pixels(masks.min_side, size), pixels(masks.max_side, size)
        corner, side = _random_rectangles(count, size, sides, images.device)
        other_corner, other_side = _random_rectangles(count, size, sides, images.device)
        return Batch(
            image,
            _filled_rectangles(corner, side, size),
            _random_windows(corner, side, size, self._window),
            _random_windows(other_corner, other_side, size, self._window),
        )

    def completion(self, batch: Batch) -> Terms:
        """Phase 1: the completion network by its reconstruction loss alone."""
        output = self._generate(batch)
        loss = self._reconstruction(output, batch)
        self._generator_optimizer.zero_grad(set_to_none=True)
        loss.backward()
        return {
            "reconstruction": loss.detach(),
            "generator_gradient_norm": self._update_generator(),
        }

    def discriminate(self, batch: Batch) -> Terms:
        """Phase 2: the discriminators alone."""
        with torch.no_grad(), frozen_statistics(self.generator):
            output = self._generate(batch)
        completed = torch.where(batch.mask > 0.5, output, batch.image)
        real = self._judge(batch.image, batch.real_corner)
        logits = self._judge(completed, batch.corner)
        terms = _discriminator_terms(real, logits)
        self._discriminator_optimizer.zero_grad(set_to_none=True)
        _total(terms).backward()
        terms = _detached(terms) | _accuracy(real, logits)
        terms["discriminator_gradient_norm"] = self._update_discriminator()
        self._steps += 1
        return terms

    def joint(self, batch: Batch) -> Terms:
        """Phase 3: both, each from the state before the step."""
        output = self._generate(batch)
        # A leaf: the generator's gradient is gathered here, the discriminators' ends here.
        completed = torch.where(batch.mask > 0.5, output.detach(), batch.image).requires_grad_()
        real = self._judge(batch.image, batch.real_corner)
        logits = self._judge(completed, batch.corner)
        adversarial = self._adversarial_terms(logits)
        (by_completed,) = torch.autograd.grad(_total(adversarial), completed, retain_graph=True)
        terms = _discriminator_terms(real, logits)
        self._discriminator_optimizer.zero_grad(set_to_none=True)
        _total(terms).backward(inputs=list(self.discriminator.parameters()))

        reconstruction = self._reconstruction(output, batch)
        self._generator_optimizer.zero_grad(set_to_none=True)
        output.retain_grad()
        by_completed = batch.mask * by_completed
        torch.autograd.backward([reconstruction, output], [None, by_completed])
        assert output.grad is not None  # it was to be retained
        by_output = output.grad - by_completed
        terms = _detached({"reconstruction": reconstruction} | adversarial | terms)
        terms |= _accuracy(real, logits)
        terms["adversarial_gradient_ratio"] = by_completed.norm() / by_output.norm()
        # None of the measured cases sets losses.adversarial_ratio.
        terms["adversarial_scale"] = torch.ones((), device=self.device)
        terms["discriminator_gradient_norm"] = self._update_discriminator()
        terms["generator_gradient_norm"] = self._update_generator()
        return terms

    def _autocast(self) -> torch.autocast:
        is_bfloat16 = self.config.model.compute_dtype == "bfloat16"
        return torch.autocast(self.device.type, torch.bfloat16, enabled=is_bfloat16)

    def _generate(self, batch: Batch) -> Tensor:
        with self._autocast():
            output = self.generator(batch.image, batch.mask)
        return output.float()

    def _judge(self, image: Tensor, corner: Tensor) -> dict[str, Tensor]:
        window = crop(image, corner, self._window)
        with self._autocast():
            logits = self.discriminator(image, window)
        return {name: logit.float() for name, logit in logits.items()}

    def _reconstruction(self, output: Tensor, batch: Batch) -> Tensor:
        difference = batch.mask * (output - batch.image)
        absolute = self.config.losses.reconstruction == "absolute"
        return difference.abs().mean() if absolute else difference.square().mean()

    def _adversarial_terms(self, logits: dict[str, Tensor]) -> Terms:
        losses = self.config.losses
        weights = {
            "joint": losses.joint_weight,
            "global": losses.global_weight,
            "local": losses.local_weight,
        }
        return {
            f"adversarial_{name}": weights[name] * F.softplus(-logit).mean()
            for name, logit in logits.items()
        }

    def _update_generator(self) -> Tensor:
        norm = _gradient_norm(self.generator)
        self._generator_optimizer.step()
        if self.average:
            decay = min(self.config.optimizer.ema_decay, (1 + self._steps) / (10 + self._steps))
            with torch.no_grad():
                get_ema_multi_avg_fn(decay)(self.average, self._averaged(), 0)
        self._steps += 1
        return norm

    def _update_discriminator(self) -> Tensor:
        norm = _gradient_norm(self.discriminator)
        self._discriminator_optimizer.step()
        return norm

    def _averaged(self) -> list[Tensor]:
        """Parameters and running statistics, which the moving average follows."""
        statistics = [
            tensor
            for module in self.generator.modules()
            if isinstance(module, nn.BatchNorm2d)
            for tensor in (module.running_mean, module.running_var)
            if tensor is not None
        ]
        return [*self.generator.parameters(), *statistics]


def crop(image: Tensor, corner: Tensor, window: int) -> Tensor:
    """Cut image_Bx3xPxP out of each image, P = `window`, at corner_Bx2 (top, left)."""
    batch, channels, height, width = image.shape
    place = torch.arange(window, device=image.device)
    rows, columns = corner[:, :1] + place, corner[:, 1:] + place
    index = (rows[:, :, None] * width + columns[:, None, :]).view(batch, -1, 1)
    # One gather for the whole batch, and one scatter in the gradient; a loop of slices would
    # write a whole image of zeros for each of them.
    flat = image.permute(0, 2, 3, 1).reshape(batch, height * width, channels)
    values = flat.gather(1, index.expand(-1, -1, channels))
    return values.view(batch, window, window, channels).permute(0, 3, 1, 2)


# --- Holes, for one image each, drawn for the whole batch at once ---------------------------


def _random_integers(low: Tensor, high: Tensor) -> Tensor:
    """int64 in [low, high], both inclusive."""
    return low + (torch.rand(low.shape, device=low.device) * (high - low + 1)).long()


def _random_rectangles(
    count: int, size: int, sides: tuple[int, int], device: torch.device
) -> tuple[Tensor, Tensor]:
    """Corners_Bx2 (top, left) and sides_Bx2 in pixels."""
    side = torch.randint(sides[0], sides[1] + 1, (count, 2), device=device)
    return _random_integers(torch.zeros_like(side), size - side), side


def _filled_rectangles(corner: Tensor, side: Tensor, size: int) -> Tensor:
    place = torch.arange(size, device=corner.device)
    inside = (place >= corner[..., None]) & (place < (corner + side)[..., None])
    return (inside[:, 0, :, None] & inside[:, 1, None, :])[:, None].float()


def _random_windows(corner: Tensor, side: Tensor, size: int, window: int) -> Tensor:
    """Corners_Bx2 of windows inside the image that contain the rectangles."""
    low = torch.clamp(corner + side - window, min=0)
    return _random_integers(low, torch.clamp(corner, max=size - window))


# --- Losses and updates -----------------------------------------------------------------------


def _discriminator_terms(real: dict[str, Tensor], completed: dict[str, Tensor]) -> Terms:
    terms = {}
    for name in real:
        terms[f"{name}_real"] = F.softplus(-real[name]).mean()
        terms[f"{name}_completed"] = F.softplus(completed[name]).mean()
    return terms


def _accuracy(real: dict[str, Tensor], completed: dict[str, Tensor]) -> Terms:
    with torch.no_grad():
        right = {f"{name}_accuracy_real": logit > 0 for name, logit in real.items()}
        right |= {f"{name}_accuracy_completed": logit <= 0 for name, logit in completed.items()}
        return {name: share.float().mean() for name, share in right.items()}


def _total(terms: Terms) -> Tensor:
    return torch.stack(list(terms.values())).sum()


def _detached(terms: Terms) -> Terms:
    return {name: term.detach() for name, term in terms.items()}


def _gradient_norm(network: nn.Module) -> Tensor:
    gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
    return nn.utils.get_total_norm(gradients)


def _optimizer(
    config: Config, network: nn.Module, learning_rate: float, weight_decay: float
) -> torch.optim.Optimizer:
    parameters = list(network.parameters())
    match config.optimizer.name:
        case "adam":
            return torch.optim.Adam(parameters, learning_rate, fused=True)
        case "adamw":
            groups = [
                {
                    "params": [p for p in parameters if p.ndim > 1],
                    "weight_decay": weight_decay,
                },
                {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
            ]
            return torch.optim.AdamW(groups, learning_rate, fused=True)
        case "adadelta":
            return torch.optim.Adadelta(parameters, learning_rate, rho=0.9, eps=1e-6, foreach=True)
    raise ValueError(f"unknown optimizer {config.optimizer.name!r}")


def _check(config: Config) -> None:
    augment = config.augment
    if config.masks.kind != "rectangle" or max(augment.rotate, augment.zoom, augment.blur) > 0:
        raise UserError("the PyTorch step draws single rectangles and flips only")
