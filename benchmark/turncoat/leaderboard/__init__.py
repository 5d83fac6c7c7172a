"""Leaderboard: entries, validation, verification, ranks, board and exports, all recomputed from rows."""
