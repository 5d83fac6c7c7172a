"""Fixtures of the statistics tests."""

import pytest


@pytest.fixture(autouse=True)
def no_garbage_collection(monkeypatch: pytest.MonkeyPatch) -> None:
    """statsmodels' Holm collects garbage on every call, 50 ms each; simulations call it thousands of
    times."""
    monkeypatch.setattr("gc.collect", lambda *_: 0)
