"""Persona vectors: extraction on the base model, choice of the layer, projections."""
