"""Ranking of entries: scores, cells, tests between entries, flags."""
