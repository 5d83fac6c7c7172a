"""Arms of a study: their steps, adapters and name, and the arm as a model of lm-eval."""
