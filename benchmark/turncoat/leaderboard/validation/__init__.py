"""Validation rules for entries: facts, files, rows, numbers."""
