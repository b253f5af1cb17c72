"""What a run depends on: typed settings, their checks, presets, and their JSON form.

A setting, its default and its range: `settings.py`; what a range is: `fields.py`; a condition on
one field that is none: `rules.py`; which values can't be combined: `checks.py`; a named
configuration: `presets.py`; what is scored on what: `scoring.py`; the JSON file: `saved.py`.
Imports no array library and nothing of this package but `errors`, so `--help` answers at once.
"""
