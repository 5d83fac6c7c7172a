"""Pinned datasets, registry models, organisms and chat formatting."""
