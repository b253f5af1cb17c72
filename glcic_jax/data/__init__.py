"""The images of a run: sources by name, and batches of them in an order that a resume repeats.

A new source, or another way to split one: `sources.py` and a file of its own beside it
(`cifar100.py`, `photos.py`, `folder.py` with `folder_files.py`); where a crop lies: `crops.py`;
order, batches, workers: `pipeline.py`; users' own masks: `mask_folder.py`. May import config,
imaging, files and runtime.
"""
