"""The track of the leaderboard's tests, for these as well."""

from leaderboard.conftest import pytest_runtest_protocol  # noqa: F401
