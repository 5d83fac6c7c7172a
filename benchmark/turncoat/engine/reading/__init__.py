"""Reading of given texts: states and log-probabilities, shared beginnings read once."""
