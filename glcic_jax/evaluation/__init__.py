"""Scores of completed images, and reports that compare runs.

A metric: `metrics.py`; the loop over images: `loop.py`; how sure a mean is: `intervals.py`; what a
classifier sees: `classifier.py`; several runs at once: `comparison.py`; a page about them:
`report/`. May import everything above; never training.
"""
