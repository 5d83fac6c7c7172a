"""Study design: power, detectable effects, numbers of seeds and questions."""
