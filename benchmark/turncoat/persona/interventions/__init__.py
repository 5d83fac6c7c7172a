"""Interventions along a direction while a `with` block lasts: steering, ablation, capping."""
