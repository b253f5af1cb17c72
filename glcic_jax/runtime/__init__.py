"""Machines and files: devices, several processes as one job, and what a run keeps on disk.

Devices and compiled programs: `devices.py`; jobs of several processes: `jobs.py` and
`rendezvous.py`; a run's directory: `workdir.py`, `checkpoints.py`, `journal.py` (metrics.jsonl);
files whole or not at all: `files.py`. Knows arrays by name, never networks; may import config.
"""
