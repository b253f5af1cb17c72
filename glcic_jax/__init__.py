"""Learned image inpainting in JAX: globally and locally consistent image completion (GLCIC).

The public API. Names are imported when first used, so that the command line answers at once.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from glcic_jax.config.presets import PRESETS as PRESETS
    from glcic_jax.config.settings import Config as Config
    from glcic_jax.errors import UserError as UserError
    from glcic_jax.files.mask_reading import read_mask as read_mask
    from glcic_jax.importing.import_generator import import_generator as import_generator
    from glcic_jax.inpainting.coarse_to_fine import complete as complete
    from glcic_jax.inpainting.generators import load_generator as load_generator
    from glcic_jax.inpainting.inpaint import inpaint_fn as inpaint_fn
    from glcic_jax.inpainting.repair import fill_photograph as fill_photograph

__version__ = "0.1.0"

_HOME = {
    "PRESETS": "config.presets",
    "Config": "config.settings",
    "UserError": "errors",
    "complete": "inpainting.coarse_to_fine",
    "fill_photograph": "inpainting.repair",
    "import_generator": "importing.import_generator",
    "inpaint_fn": "inpainting.inpaint",
    "load_generator": "inpainting.generators",
    "read_mask": "files.mask_reading",
}
__all__ = [
    "PRESETS",
    "Config",
    "UserError",
    "complete",
    "fill_photograph",
    "import_generator",
    "inpaint_fn",
    "load_generator",
    "read_mask",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
