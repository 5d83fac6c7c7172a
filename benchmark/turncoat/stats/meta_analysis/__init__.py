"""Differences from several base models, pooled."""
