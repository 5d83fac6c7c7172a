"""Verification of entries: rows drawn, made or judged again, compared, recorded."""
