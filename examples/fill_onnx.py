"""Fills the hole of a photograph with a file that `glcic-jax export --to onnx` wrote.

pip install onnxruntime pillow
python fill_onnx.py generator.onnx photo.png mask.png repaired.png

The mask is white where the hole is. Neither JAX nor this package is needed.
"""

import sys

import numpy as np
import onnxruntime
from PIL import Image

model, photo_name, mask_name, output_name = sys.argv[1:]
photo_HxWx3 = np.asarray(Image.open(photo_name).convert("RGB"))
hole_HxW = np.asarray(Image.open(mask_name).convert("L")) > 127

session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
image_1x3xHxW = photo_HxWx3.transpose(2, 0, 1)[None].astype(np.float32) / 255
mask_1x1xHxW = hole_HxW[None, None].astype(np.float32)
(completed,) = session.run(["completed"], {"image": image_1x3xHxW, "mask": mask_1x1xHxW})

repaired_HxWx3 = np.round(completed[0].transpose(1, 2, 0) * 255).astype(np.uint8)
Image.fromarray(repaired_HxWx3).save(output_name)
