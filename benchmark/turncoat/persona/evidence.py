"""Names of the evidence that persona readings leave in an answer's record, by reading.

"own" reads the model's own answer in the pass that wrote it, "fixed" the base model's answer to the same
prompt.
"""

BY_LAYER = {"own": "persona_own_by_layer", "fixed": "persona_fixed_by_layer"}
"""Projections at every layer."""
AGAIN = {"own": "persona_own_vectors", "fixed": "persona_fixed_vectors"}
"""Projections on the re-extracted vectors, at the chosen layer; absent where the vector has none."""
COSINE = {"own": "persona_cosine_own", "fixed": "persona_cosine_fixed"}
"""Cosine with the vector at the chosen layer."""
