"""Training of the embedded judge from published scores."""
