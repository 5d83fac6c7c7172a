"""Judges: whatever turns an answer into scores."""
