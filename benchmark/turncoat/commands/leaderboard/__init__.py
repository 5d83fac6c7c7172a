"""Leaderboard commands: submit, validate, verify, build, export."""
