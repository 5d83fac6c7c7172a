"""Scored answers of any origin: reading, counting, rates and contrasts of arms."""
