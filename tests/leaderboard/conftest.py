"""The tests' own track is known by its name, as a user's would be."""

from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol() -> Iterator[object]:
    """Around each test and all its fixtures, those of its module too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TURNCOAT_TRACKS", str(Path(__file__).parent / "tracks"))
        return (yield)
