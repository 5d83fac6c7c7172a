"""Claims as pre-registered tests: their specification, the evidence for them, their verdicts."""
