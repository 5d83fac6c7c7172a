"""lm-eval glue: the `turncoat` model type, the task catalogue, documents, samples files."""
