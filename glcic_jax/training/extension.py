"""Whether a run can go on for more steps than it was started with, and what that changes."""

from __future__ import annotations

from pathlib import Path

from glcic_jax.config.settings import Config, PhaseConfig, phase_of, total_steps
from glcic_jax.errors import UserError
from glcic_jax.runtime.checkpoint_files import newest_step
from glcic_jax.runtime.workdir import CONFIG_NAME, load_config
from glcic_jax.training.optimizers import learning_rate, warmup_steps


def check_extension(workdir: Path, config: Config) -> str:
    """What going on under `config` means for the run in `workdir`, in a line; "" if nothing.

    Args:
        workdir: holds a run whose settings are those of `config` but for `phases`, see
            `workdir.check_workdir`.
        config: of the longer run.

    Raises:
        UserError: there is no run, the phases of steps that are done would change, or there are
            fewer steps than before.
    """
    workdir = Path(workdir)
    if not (workdir / CONFIG_NAME).exists():
        raise UserError(f"{workdir} holds no run to extend; leave --extend out to start one")
    old = load_config(workdir)
    if old.phases == config.phases:
        return ""
    done = newest_step(workdir)
    _require_same_past(old.phases, config.phases, done)
    if total_steps(config) < total_steps(old):
        raise UserError(
            f"--extend goes on for more steps than the {total_steps(old)} of the run in {workdir}, "
            f"and these phases have {total_steps(config)}; give more"
        )
    return _described(old, config, done)


def _require_same_past(old: PhaseConfig, new: PhaseConfig, done: int) -> None:
    # Phases are runs of steps, so two plans agree up to a step if they do at every end of a phase.
    ends = (plan.completion_steps + rest for plan in (old, new) for rest in _ends(plan))
    places = {0, done - 1, *(place for end in ends for place in (end - 1, end))}
    for place in sorted(place for place in places if 0 <= place < done):
        before, after = phase_of(place, old), phase_of(place, new)
        if before != after:
            current = phase_of(done - 1, old)
            raise UserError(
                f"step {place + 1} of {done} that are done was of the {before} phase, and would be "
                f"of the {after} phase; --extend can only lengthen the phase that the run is in: "
                f"give more --phases.{current}-steps"
            )


def _ends(plan: PhaseConfig) -> tuple[int, int]:
    return 0, plan.discriminator_steps


def _described(old: Config, new: Config, done: int) -> str:
    """What the longer plan does to the learning rate of the completion network."""
    total = total_steps(new)
    went = f"extended from {total_steps(old)} to {total} steps"
    if new.optimizer.schedule == "constant":
        warm, warmer = warmup_steps(old), warmup_steps(new)
        if warm == warmer:
            return f"{went}; the result is that of one run of {total} steps, bit for bit"
        if not warm:
            raise UserError(
                f"a run of {total_steps(old)} steps has no warm-up, and one of {total} has; start "
                "a new one in another --workdir, with --initial if it shall go on from the weights"
            )
        return (
            f"{went}; not the same as one run of {total} steps, whose warm-up would have taken "
            f"{warmer} steps instead of {warm}"
        )
    updates = _updates(old.phases, done)
    before, after = (learning_rate(config, updates) for config in (old, new))
    return (
        f"{went}; the cosine is stretched over all of them, so the learning rate goes from "
        f"{before:.3g} to {after:.3g} at step {done}: not the same as one run of {total} steps"
    )


def _updates(phases: PhaseConfig, done: int) -> int:
    """How often the completion network was updated in the first `done` steps."""
    first = min(done, phases.completion_steps)
    return first + max(0, done - phases.completion_steps - phases.discriminator_steps)
