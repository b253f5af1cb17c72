"""Use a trained generator: load one, and fill holes in images of any size.

The call that users make: `inpaint.py`; where generators come from: `generators.py`, and as files
`generator_files.py`; which parts of an image a hole sees: `geometry.py`; the network over such a
part: `partial.py`; cutting and writing back: `photographs.py`, of small images `small_images.py`.
May import the rooms above; needs neither an optimizer nor a discriminator.
"""
