"""Drawing of answers: prompts prefilled once, rows decoded together, each a function of its request."""
