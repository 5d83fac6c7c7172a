"""Rates of counted events (x of n answers per question), with questions as clusters."""
