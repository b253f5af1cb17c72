"""Photographs and masks as people have them: files of every kind in, the same kind out.

Masks: `mask_reading.py`, and `mask_forms.py` for what an array means. Photographs:
`photograph_files.py`; their pixels in each mode, `colour_modes.py`; what Pillow can't keep,
`deep_files.py`. Everything is opened by `image_opening.py`. Needs neither JAX nor a network.
"""
