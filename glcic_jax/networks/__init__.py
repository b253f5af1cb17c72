"""The networks, as Flax Linen modules over operators that are chosen for each platform.

What every generator must answer: `interface.py`; which network a configuration asks for, by name:
`registry.py`; the generators: `completion.py` and `context_encoder.py`; the discriminators:
`discriminators.py`; what they are made of: `layers.py`; how a convolution is computed:
`operators.py`; normalisation folded into kernels: `folding.py`; a network that scores what others
completed: `efficientnet.py`. May import config and imaging.
"""
