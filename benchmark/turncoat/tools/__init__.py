"""Maintainers' tools, imported by commands alone: question checks, run times, calibration, judge training."""
