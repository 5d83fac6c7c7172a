"""The published schema is the code's, and it takes what the code takes."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from leaderboard.entry_files import facts_of
from leaderboard.made_entry import make_entry
from pydantic import ValidationError
from turncoat.leaderboard.entry.submission import Submission, json_schema

PUBLISHED = Path(__file__).parents[3] / "results" / "submission.schema.json"


@pytest.fixture
def told(tmp_path: Path) -> dict[str, Any]:
    return facts_of(make_entry(tmp_path))


def test_the_published_schema_is_the_codes_and_takes_a_good_entry(told: dict[str, Any]) -> None:
    # To fix: turncoat schema submission > results/submission.schema.json
    assert PUBLISHED.read_text(encoding="utf-8") == json.dumps(json_schema(), indent=1) + "\n"
    jsonschema.Draft202012Validator.check_schema(json.loads(PUBLISHED.read_text()))
    jsonschema.validate(told, json.loads(PUBLISHED.read_text()))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("em_rate", 0.1), ("seeds", [0, -1]), ("slug", "../elsewhere"), ("track", "a track"),
        ("contact", "two\nlines"), ("wall_seconds", -1.0),
        ("defence", {"name": "x", "setting": "sometimes", "summary": "x"}),
        ("shared", {"defended": {"entry": "other", "rows_sha256": "f"}}),
    ],
)  # fmt: skip
def test_schema_and_code_refuse_the_same(told: dict[str, Any], field: str, value: Any) -> None:
    bad = {**told, field: value}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(bad, json.loads(PUBLISHED.read_text()))
    with pytest.raises(ValidationError):
        Submission.model_validate(bad)
