"""Read generators that other programs trained.

The call that users make: `import_generator.py`; which files are known, by their keys and shapes,
and what becomes of their arrays: `known_files.py`; reading without running anything:
`state_dicts.py` for PyTorch, `torch7.py` for the format of Torch 7, `torch7_networks.py` for a
network in it. May import the rooms above.
"""
