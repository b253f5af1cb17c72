"""From a configuration to the optax update rules; each network has one of its own."""

from __future__ import annotations

import jax
import optax

from glcic_jax.config.settings import Config


def build_generator_optimizer(config: Config) -> optax.GradientTransformation:
    """The completion network's rule; its schedule spans both phases that update the network."""
    return _build(config, _schedule(config), config.optimizer.weight_decay)


def build_discriminator_optimizer(config: Config) -> optax.GradientTransformation:
    """The discriminators' rule, at a constant learning rate."""
    return _build(config, config.optimizer.discriminator_learning_rate, 0.0)


def warmup_steps(config: Config) -> int:
    """Updates of the completion network in which its learning rate still rises."""
    return min(config.optimizer.warmup_steps, _updates(config) // 4)


def learning_rate(config: Config, updates: int) -> float:
    """The completion network's learning rate after so many updates of it."""
    schedule = _schedule(config)
    return float(schedule(updates)) if callable(schedule) else float(schedule)


def _updates(config: Config) -> int:
    return config.phases.completion_steps + config.phases.joint_steps


def _schedule(config: Config) -> optax.ScalarOrSchedule:
    peak, warmup = config.optimizer.learning_rate, warmup_steps(config)
    if config.optimizer.schedule == "cosine":
        return optax.warmup_cosine_decay_schedule(0.0, peak, warmup, max(_updates(config), 1))
    return optax.warmup_constant_schedule(0.0, peak, warmup) if warmup else peak


def _build(
    config: Config, learning_rate: optax.ScalarOrSchedule, weight_decay: float
) -> optax.GradientTransformation:
    match config.optimizer.name:
        case "adam":
            return optax.adam(learning_rate)
        case "adamw":
            return optax.adamw(learning_rate, weight_decay=weight_decay, mask=_kernels)
        case "adadelta":
            # The defaults of Zeiler 2012 and of the Torch optimizer that GLCIC was trained with.
            return optax.adadelta(learning_rate, rho=0.9, eps=1e-6)
    raise ValueError(f"unknown optimizer {config.optimizer.name!r}")


def _kernels(params: optax.Params) -> optax.Params:
    """True for kernels: biases and batch normalisation are not decayed."""
    return jax.tree.map(lambda leaf: leaf.ndim > 1, params)
