"""Property tests: the same examples in every run of `make test`, on any machine, on any day."""

import ast
from pathlib import Path

import pytest

pytest.importorskip("hypothesis")
from hypothesis import settings

SET_BY_THE_PROFILE = {"database", "deadline", "derandomize", "print_blob", "parent"}


def test_the_profile_is_fixed_unless_fuzz_was_asked_for(request: pytest.FixtureRequest) -> None:
    asked = request.config.getoption("--hypothesis-profile", default=None)

    assert settings.get_current_profile_name() == (asked or "fixed")
    assert asked or (settings.default.derandomize and settings.default.database is None)


def test_no_test_overrides_the_profile() -> None:
    files = sorted(Path(__file__).parent.rglob("*.py"))
    overrides = [
        f"{path.name}:{node.lineno} {keyword.arg}"
        for path in files
        if "hypothesis" in (text := path.read_text("utf-8"))
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "settings"
        for keyword in node.keywords
        if keyword.arg in SET_BY_THE_PROFILE
    ]
    assert overrides == [], "set it in the profiles of tests/conftest.py, for all tests"
