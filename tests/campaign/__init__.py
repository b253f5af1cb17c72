"""The campaign against faults: `python -m tests.campaign --help`.

One row of docs/reliability.md a module; `table.py` writes it. A short form of most rows runs among
the tests, in `test_campaign.py`.
"""
