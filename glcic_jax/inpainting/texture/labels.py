"""One candidate for each block of a grid, such that neighbours fit: pure functions, to be jitted.

Min-sum loopy belief propagation on a grid of four neighbours (Felzenszwalb & Huttenlocher 2006), as
Komodakis & Tziritas (2007) complete images by it.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

_SWEEPS = 10
_KEPT = 0.3
"""Share of a message that stays from one sweep to the next; without it grids may oscillate."""


def choose(cost_RxCxK: jax.Array, beside_RxCxKxK: jax.Array, below_RxCxKxK: jax.Array) -> jax.Array:
    """The label of each block, as belief propagation finds it.

    Args:
        cost_RxCxK: float32, of each label by itself.
        beside_RxCxKxK: cost of a label beside each label of the block to the right; the last
            column is not read.
        below_RxCxKxK: the same of the block below; the last row is not read.

    Returns:
        int32 label_RxC.
    """
    none = jnp.zeros_like(cost_RxCxK)

    def sweep(carry, _):
        left, right, above, under = carry  # messages from each side
        total = cost_RxCxK + left + right + above + under
        sent = (
            _pass_on(total - right, beside_RxCxKxK, 1, forward=True),
            _pass_on(total - left, beside_RxCxKxK, 1, forward=False),
            _pass_on(total - under, below_RxCxKxK, 0, forward=True),
            _pass_on(total - above, below_RxCxKxK, 0, forward=False),
        )
        new = tuple(_KEPT * a + (1 - _KEPT) * b for a, b in zip(carry, sent, strict=True))
        return new, None

    messages, _ = jax.lax.scan(sweep, (none,) * 4, None, length=_SWEEPS)
    return jnp.argmin(cost_RxCxK + sum(messages), -1).astype(jnp.int32)


def _pass_on(
    belief_RxCxK: jax.Array, pair_RxCxKxK: jax.Array, axis: int, *, forward: bool
) -> jax.Array:
    """What arrives from the block before along an axis, or from the one behind: message_RxCxK."""
    length = belief_RxCxK.shape[axis]
    first = jax.lax.slice_in_dim(pair_RxCxKxK, 0, length - 1, axis=axis)
    pad = [(0, 0)] * 3
    if forward:
        sender = jax.lax.slice_in_dim(belief_RxCxK, 0, length - 1, axis=axis)
        message = jnp.min(sender[..., :, None] + first, -2)
        pad[axis] = (1, 0)
    else:
        sender = jax.lax.slice_in_dim(belief_RxCxK, 1, length, axis=axis)
        message = jnp.min(sender[..., None, :] + first, -1)
        pad[axis] = (0, 1)
    return jnp.pad(message - message.min(-1, keepdims=True), pad)
