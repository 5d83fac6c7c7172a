"""Prompted judges: a Hugging Face model by likelihood, or an OpenAI-compatible endpoint."""
