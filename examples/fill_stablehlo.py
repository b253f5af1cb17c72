"""Fills the hole of a photograph with a file that `glcic-jax export --to stablehlo` wrote.

pip install jax flatbuffers pillow        (or jax[cuda13], jax[tpu])
python fill_stablehlo.py generator.stablehlo photo.png mask.png repaired.png

The mask is white where the hole is. JAX is needed, this package is not.
"""

import sys
from pathlib import Path

import jax.export
import numpy as np
from PIL import Image

program, photo_name, mask_name, output_name = sys.argv[1:]
photo_HxWx3 = np.asarray(Image.open(photo_name).convert("RGB"))
hole_HxW = np.asarray(Image.open(mask_name).convert("L")) > 127

complete = jax.export.deserialize(bytearray(Path(program).read_bytes())).call
image_1xHxWx3 = photo_HxWx3[None].astype(np.float32) / 255
mask_1xHxWx1 = hole_HxW[None, :, :, None].astype(np.float32)
completed = np.asarray(complete(image_1xHxWx3, mask_1xHxWx1))  # compiles once for each size

repaired_HxWx3 = np.round(completed[0] * 255).astype(np.uint8)
Image.fromarray(repaired_HxWx3).save(output_name)
