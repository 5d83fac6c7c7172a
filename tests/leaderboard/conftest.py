"""The tests' own track is known by its name, as a user's would be."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _own_tracks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TURNCOAT_TRACKS", str(Path(__file__).parent / "tracks"))
