"""Generators taken out, for programs that know nothing of this package.

Which formats there are: `formats.py`. StableHLO: `stablehlo.py`. ONNX: `onnx_model.py` puts the
graph together; `onnx_fill.py`, `onnx_depths.py`, `onnx_contrast.py` and `onnx_network.py` say in
ONNX's operators what modules of imaging and networks say in JAX, and each names its double;
`onnx_graph.py` writes nodes, loops and conditions. Whoever changes one of a pair changes the other:
tests hold them together. May import everything up to inpainting.
"""
