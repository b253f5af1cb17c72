"""The page that `evaluate.py --report` writes, from the records that `comparison.py` makes.

What a table says: `tables.py`; curves: `charts.py`; the page around them: `page.py`.
"""
