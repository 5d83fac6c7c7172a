"""Judges: answers -> scores. A judge that ships is a module in `embedded/` or `prompted/`, listed in `registry.py`."""
