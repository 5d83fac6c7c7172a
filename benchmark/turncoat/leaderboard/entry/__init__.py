"""Leaderboard entries: submission.json, tracks, loading."""
