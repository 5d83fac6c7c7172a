"""A causal language model and what is done to it: load, sample, read, capture, intervene."""
