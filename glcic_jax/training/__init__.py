"""Training: losses, update rules, the state of a run, one pure step for each phase, and the loop.

A loss: `losses.py`; an update rule or schedule: `optimizers.py`; what is saved: `state.py`; what a
step does: `steps.py`; when things happen: `loop.py`; what a run reports: `writers.py`. May import
everything above.
"""
