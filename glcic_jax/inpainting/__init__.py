"""Use a trained generator: load one, and fill holes in images of any size.

The call that users make: `inpaint.py`; where generators come from: `generators.py`; which parts of
an image a hole sees: `geometry.py`; the network over such a part: `region.py`; cutting and writing
back: `photographs.py`. May import the rooms above; needs neither an optimizer nor a
discriminator.
"""
