"""Judges: answers -> scores. `registry.py` names the shipped ones, modules of `embedded/` and `prompted/`."""
