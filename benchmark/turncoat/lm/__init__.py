"""Turncoat's side of the language model: sampling with per-sample seeds, reading fixed texts, the lm-eval wrapper."""
