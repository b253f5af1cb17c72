"""The scalars that a step reports, by what they are."""

from __future__ import annotations

import flax.struct
import jax

Scalars = dict[str, jax.Array]
"""float32 scalars by name."""


@flax.struct.dataclass
class Terms:
    """What a step reports, all of it by name; no name stands twice.

    Attributes:
        losses: terms of what is minimised, weighted as they are added up.
        accuracies: how often each discriminator is right, in [0, 1].
        measures: norms and ratios of gradients, which are watched and not minimised.
    """

    losses: Scalars
    accuracies: Scalars = flax.struct.field(default_factory=dict)
    measures: Scalars = flax.struct.field(default_factory=dict)

    def flat(self) -> Scalars:
        """All of them, as `metrics.jsonl` holds them."""
        return self.losses | self.accuracies | self.measures
