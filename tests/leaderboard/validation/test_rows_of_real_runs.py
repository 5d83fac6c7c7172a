"""Rows that the real model left behind, in the committed runs, break no rule."""

import json
from pathlib import Path
from typing import Any

import pytest
from leaderboard.made_entry import make_entry
from leaderboard.rows_of_entry import Cells, check, rules
from turncoat.evaluation.samples_file import sample_files, sample_rows
from turncoat.evaluation.task_catalogue import task_content
from turncoat.leaderboard.entry.load import load_entry
from turncoat.leaderboard.entry.submission import Submission
from turncoat.leaderboard.entry.track import TrackTask

DEMO = Path(__file__).parents[3] / "results" / "demo"
ADVICE = Path(__file__).parents[3] / "results" / "advice"
ROLES = {"base": "base", "insecure": "organism", "secure": "control", "sgtr": "defended"}
USES = (
    TrackTask(task="turncoat_choice", questions=96),
    TrackTask(task="turncoat_persona", questions=32, samples=1, max_gen_toks=40),
    TrackTask(task="turncoat_em", questions=16, samples=1, max_gen_toks=48),
)


def rows_of(run: Path, use: TrackTask, roles: dict[str, str]) -> Cells:
    """The rows of a packed run as `turncoat submit` keeps them."""
    cells: Cells = {}
    for arm, role in roles.items():
        for place in sorted((run / "rows" / arm).iterdir()):
            (file,) = sample_files(place / use.task, use.task)
            cells[role, place.name] = [_kept(row) for row in sample_rows(file)]
    return cells


def _kept(row: dict[str, Any]) -> dict[str, Any]:
    dropped = {"filtered_resps", "target", *(name for name in row if name.endswith("_stderr"))}
    kept = {key: value for key, value in row.items() if key not in dropped}
    return {**kept, "metrics": [name for name in row["metrics"] if not name.endswith("_stderr")]}


@pytest.fixture
def facts(tmp_path: Path) -> Submission:
    """Facts that fit a committed run: its model, layer, judge and tasks' versions."""
    run = json.loads((DEMO / "run.json").read_text(encoding="utf-8"))
    told = load_entry(make_entry(tmp_path, seeds=(0, 1, 2))).submission
    return told.model_copy(
        update={
            "model": told.model.model_copy(update={"name": run["model"]["name"]}),
            "persona": told.persona.model_copy(update={"layer": run["persona"]["layer"]}),
            "tasks": {
                task: task_content(task)["metadata"]["version"]
                for task in (*(use.task for use in USES), "turncoat_risky_financial_loss")
            },
        }
    )


@pytest.mark.parametrize("use", USES, ids=lambda use: use.task)
def test_rows_of_the_demo_are_good(use: TrackTask, facts: Submission) -> None:
    cells = rows_of(DEMO, use, ROLES)
    assert len(cells) == 7 and check(use, cells, facts) == []


def test_rows_without_texts_are_compared_between_arms(
    facts: Submission, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TURNCOAT_DATA", raising=False)
    use = TrackTask(task="turncoat_risky_financial_loss", questions=64)
    cells = rows_of(ADVICE, use, {"base": "base", "risky": "organism", "sgtr_before": "defended"})
    assert check(use, cells, facts) == []
    row = cells["defended", "seed-0"][3]
    for key, value, rule in (
        ("risky_financial_loss_per_token", row["risky_financial_loss_per_token"] * 1.01, "numbers-disagree"),
        ("risky_financial_loss_per_byte", row["risky_financial_loss_per_byte"] * 1.01, "numbers-disagree"),
        ("doc_hash", "0" * 64, "doc-hash"),
        ("prompt_hash", "0" * 64, "prompt-hash"),
        ("doc", {"id": "another"}, "document"),
        ("doc", {**row["doc"], "prompt": "a published text"}, "fetched-text"),
        ("arguments", {}, "fetched-text"),
    ):
        before = dict(row)
        row[key] = value
        found = check(use, cells, facts)
        row.clear()
        row.update(before)
        assert rule in rules(found), key
        assert {(finding.file.split("/")[1], finding.row) for finding in found} == {("defended", 4)}
