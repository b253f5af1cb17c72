"""Images and masks as arrays: pure functions that know nothing of networks or runs.

The value contract (range, type, composite, blanked holes, padding): `values.py`; holes: `masks.py`;
what stands in a hole first: `fills.py`; the fills that a network is compared with: `classical.py`;
random changes to training images: `augment.py`; the Gaussian blur: `blur.py`; compiled functions
over any number of images: `batches.py`; pictures side by side: `sheets.py`. May import config only.
"""
