"""Training: losses, update rules, the state of a run, one pure step for each phase, and the loop.

A loss: `losses.py`; an update rule or schedule: `optimizers.py`; what is saved: `state.py`; what a
step draws: `batch.py`, out of images on the device `images.py`; what a step does: `steps.py`, with
what the discriminators say, `judging.py`, and what it reports, `terms.py`; when things happen:
`loop.py`, with `signals.py` and `window.py`; where a run reports: `writers.py`. May import
everything above.
"""
