"""Canary entries that must be flagged, or the board is not built."""
