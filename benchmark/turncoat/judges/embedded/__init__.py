"""The embedded judge: offline, on the default base model, with its weights and calibration card."""
