"""Blend a fill into its surroundings, so that no seam is left at the hole's rim.

The paper's last step is Poisson blending (Iizuka et al. 2017, section 3.5; Pérez, Gangnet & Blake
2003): the fill keeps its gradients and takes the known colours at the rim. That is the fill plus
the harmonic surface through the difference at the rim, a membrane.
"""

from __future__ import annotations

import cv2
import jax
import jax.numpy as jnp
import numpy as np

from glcic_jax.imaging.fills import Frame, harmonic_fill

_GRID = 128
"""Sizes are rounded up to a multiple of this many pixels, so that few programs are compiled."""
_SWEEPS = 192
"""On each level; with 48 a hole of 30 x 40 pixels in a corner was 3 levels off."""
_CROSS: np.ndarray = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))


def rim_of(wanted_HxW: np.ndarray, hole_HxW: np.ndarray) -> np.ndarray:
    """bool rim_HxW: the known pixels beside the holes that are wanted.

    Args:
        wanted_HxW: bool, the holes to blend.
        hole_HxW: bool, all holes.
    """
    return (cv2.dilate(wanted_HxW.astype(np.uint8), _CROSS) > 0) & ~hole_HxW


def add_membrane(
    image_HxWx3: np.ndarray, hole_HxW: np.ndarray, rim_HxW: np.ndarray, difference_Nx3: np.ndarray
) -> None:
    """Add the membrane to the fill, in place.

    Args:
        image_HxWx3: float32 in [0, 1], completed in the hole.
        hole_HxW: bool, True is the hole.
        rim_HxW: bool, N pixels that enclose the hole, see `rim_of`.
        difference_Nx3: float32, known colours less the network's, at the rim in the order of its
            rows.
    """
    if not len(difference_Nx3):
        return
    rows, columns = (np.flatnonzero((hole_HxW | rim_HxW).any(axis)) for axis in (1, 0))
    box = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    rim, hole = rim_HxW[box], hole_HxW[box]
    height, width = rim.shape
    # A fill has colours from 0 to 1; differences lie between -1 and 1.
    surface = np.full((height, width, 3), 0.5, np.float32)
    surface[rim] = 0.5 + difference_Nx3 / 2
    pad = ((0, -height % _GRID), (0, -width % _GRID))
    frame_3 = np.array([height, width, max(height, width)], np.int32)
    # What lies beyond the rim is left open: only the rim may decide.
    padded = np.pad(surface, (*pad, (0, 0)))
    solved = _solve(padded, np.pad(~rim, pad, constant_values=True)[..., None], frame_3)
    membrane = np.asarray(solved)[:height, :width][hole] * 2 - 1
    part = image_HxWx3[box]
    part[hole] = np.clip(part[hole] + membrane, 0.0, 1.0)


@jax.jit
def _solve(surface_HxWx3: jax.Array, open_HxWx1: jax.Array, frame_3: jax.Array) -> jax.Array:
    mask = open_HxWx1[None].astype(jnp.float32)
    gray = jnp.full(3, 0.5)
    return harmonic_fill(surface_HxWx3[None], mask, gray, _SWEEPS, Frame(*frame_3))[0]
