"""A run.json that somebody edited is refused field by field."""

import json
from pathlib import Path
from typing import Any, cast

import pandas as pd
import pytest
from turncoat.errors import UserError
from turncoat.judges.calibration.correction import JudgeErrors
from turncoat.report.content import ReportContent
from turncoat.report.run_record import read_run_record
from turncoat.report.run_rows import Run
from turncoat.study.config import load_study

RESULTS = Path(__file__).parents[2] / "results"
DEMO = json.loads((RESULTS / "demo/run.json").read_text())


def changed(at: str, value: Any) -> dict[str, Any]:
    """The committed run's record with another value at a dotted place; None leaves it out."""
    record = json.loads(json.dumps(DEMO))
    *way, last = at.split(".")
    node = record
    for part in way:
        node = node[int(part) if part.isdecimal() else part]
    if value is None:
        del node[last]
    else:
        node[last] = value
    return record


@pytest.mark.parametrize(
    ("at", "value"),
    [
        ("model", None), ("model.parameters", "x"), ("persona", 1), ("persona.layer", None),
        ("persona.layer", 99), ("persona.held_out.auc", []), ("checks.0.low", None), ("checks.0.arm", [1]),
        ("training.0.arm", None), ("failed", [{"arm": "x"}]), ("seconds", {"x": "y"}), ("judge", [1]),
    ],
)  # fmt: skip
def test_a_field_of_another_kind_is_named(tmp_path, at, value):
    (tmp_path / "run.json").write_text(json.dumps(changed(at, value)))
    with pytest.raises(UserError, match=rf"run\.json[\s\S]*{at.partition('.')[0]}"):
        read_run_record(tmp_path)


def test_the_committed_record_is_read_as_it_is(tmp_path):
    (tmp_path / "run.json").write_text(json.dumps(DEMO))
    assert read_run_record(tmp_path) == DEMO


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("errors_all.true_positive", "9"), ("errors_all", [1]), ("errors_all_by_family", 3),
        ("errors_all.false_negative", -1), ("errors_all_by_family", {"one": {"true_positive": 1}}),
    ],
)  # fmt: skip
def test_a_card_whose_counts_are_not_counts_is_refused(name, value):
    with pytest.raises(UserError, match="the judge's card has no counts"):
        JudgeErrors.of_card(changed(f"judge.{name}", value)["judge"])


@pytest.mark.parametrize("content", ["{}", '{"results": []}', '{"results": {"turncoat_em": 1}}'])
def test_a_results_file_without_results_is_named(tmp_path, content):
    study = load_study(RESULTS / "demo/study.yaml")
    frame = pd.DataFrame()
    run = Run("demo", tmp_path, study, cast(ReportContent, None), frame, frame, {})
    path = tmp_path / "rows/base/base/turncoat_em/results_2026.json"
    path.parent.mkdir(parents=True)
    path.write_text(content)
    with pytest.raises(UserError, match=r"results_2026\.json: no results of turncoat_em"):
        run.whole_set("turncoat_em", "em_rate")
