"""Scores of completed images, and reports that compare runs.

Holes: `protocols.py`; a metric: `metrics.py`; the loop over images: `loop.py`, its means:
`results.py`; how sure a mean is: `intervals.py`; sheets of pictures: `pictures.py`; a trained
generator as a method: `model.py`. That much training imports, too.

Several runs at once: `comparison.py`, made of which runs take part (`entrants.py`), what is found
with one kind of holes (`protocol_results.py`, `goals.py`), curves (`curves.py`), and what a
classifier sees (`perception.py`, `classifier.py`). What is found are the records of `records.py`;
`results.json` is written and read by `results_files.py`, the page by `report/`. What `evaluate.py`
calls: `reporting.py`, which prints with `console.py`.

Whole photographs: `photographs.py`, their holes `photograph_holes.py`, the page and the table
`photograph_reports.py`; scores that see a blur: `detail.py`, `features.py`.

May import everything above; never training.
"""
