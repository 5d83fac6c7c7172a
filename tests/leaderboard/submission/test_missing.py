"""The list of all that a run lacks, as lines that mend the study when they are put into it."""

import json
import re
from pathlib import Path

import pytest
import yaml
from turncoat.errors import UserError
from turncoat.leaderboard.entry.track import find_track
from turncoat.leaderboard.submission.draft import SubmitterInfo
from turncoat.leaderboard.submission.from_run import draft_of_run

SGTR = {"name": "sgtr", "organism": "insecure_code", "defence": "sgtr", "setting": "prevention"}
ARMS = [
    {"name": "base"},
    {"name": "insecure", "organism": "insecure_code"},
    {"name": "secure", "organism": "secure_code"},
    SGTR,
]
TASKS = [
    {"task": "turncoat_choice"},
    {"task": "turncoat_persona", "repeats": 1},
    {"task": "turncoat_em", "limit": 6, "repeats": 1, "max_gen_toks": 48},
    {"task": "turncoat_em_cue", "repeats": 3, "max_gen_toks": 48},
    {"task": "turncoat_insecure_code_loss", "limit": 40},
]


def made(folder: Path, *, arms=ARMS, tasks=TASKS, seeds=(0, 1, 2), judge="embedded", **record) -> Path:
    """A run folder without rows: what it lacks is found before any is looked at."""
    (folder / "rows").mkdir(parents=True, exist_ok=True)
    study = {
        "study": "made", "model": "m", "training_seeds": list(seeds), "judge": judge, "arms": arms,
        "tasks": tasks,
    }  # fmt: skip
    (folder / "study.yaml").write_text(yaml.safe_dump(study))
    (folder / "run.json").write_text(json.dumps({"measured": [], "data": {}, **record}))
    return folder


def message(run: Path, arm: str | None = None) -> str:
    with pytest.raises(UserError) as error:
        draft_of_run(run, arm, find_track("tiny"), SubmitterInfo(contact="nobody"))
    return str(error.value)


def without(items, name):
    return [item for item in items if name not in item.values()]


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"arms": without(ARMS, "base")}, "the base model is missing"),
        ({"arms": without(ARMS, "insecure")}, "the undefended organism is missing"),
        ({"arms": without(ARMS, "secure")}, "matched control is missing"),
        ({"tasks": without(TASKS, "turncoat_em_cue")}, "turncoat_em_cue is missing"),
        ({"tasks": [*TASKS[:4], {"task": "turncoat_insecure_code_loss", "limit": 5}]},
         "limit: 5; the track takes 6 or more"),
        ({"tasks": [*without(TASKS, "turncoat_em"), {"task": "turncoat_em", "repeats": 1}]},
         "max_gen_toks: 200;.*48"),
        ({"seeds": (3, 1)}, r"training_seeds: 2 \(3, 1\); the track needs 3"),
        ({"judge": "off"}, "judge: 'off'"),
        ({"judge": "local:model=m"}, "judge: 'local:model=m'"),
    ],
)  # fmt: skip
def test_the_lines_that_are_told_mend_the_study(tmp_path, changed, reason):
    text = message(made(tmp_path / "run", **changed))
    assert re.search(reason, text) and f"turncoat run {tmp_path}/run/study.yaml --out {tmp_path}/run" in text
    lines = [line[2:] for line in text.splitlines() if line.startswith("  ")]
    told = yaml.safe_load("\n".join(lines))
    study = yaml.safe_load((tmp_path / "run" / "study.yaml").read_text())
    for key, value in told.items():
        if isinstance(value, list) and isinstance(value[0], dict):
            kind = "task" if key == "tasks" else "name"
            new = {item[kind]: item for item in value}
            value = [*(item for item in study[key] if item[kind] not in new), *new.values()]
        study[key] = value
    (tmp_path / "run" / "study.yaml").write_text(yaml.safe_dump(study))
    assert "one samples file and one results file are due" in message(tmp_path / "run"), (
        "nothing but rows is missing now"
    )


def test_everything_missing_is_told_at_once_and_failures_are_not_left_out(tmp_path):
    text = message(made(tmp_path / "run", arms=[ARMS[3]], tasks=TASKS[:1], seeds=(0,), judge="off"))
    for part in (
        "base model",
        "undefended",
        "control",
        "turncoat_em ",
        "turncoat_em_cue",
        "training_seeds",
        "judge",
    ):
        assert part in text
    failed = [{"arm": "sgtr", "seed": 1, "reason": "its loss became NaN"}]
    assert "No seed may be left out" in message(made(tmp_path / "failed", failed=failed))
    old = made(tmp_path / "old")
    (old / "run.json").write_text("{}")
    assert "run.json, measured and data: missing" in message(old)
    arms = [*ARMS[:3], {**SGTR, "tasks": ["turncoat_choice"]}]
    text = message(made(tmp_path / "run", arms=arms))
    assert "arms, sgtr: turncoat_persona does not measure it" in text


def test_which_arm_is_asked_for_with_the_accepted_ones(tmp_path):
    run = made(tmp_path / "run", arms=[*ARMS, {**SGTR, "name": "other", "defence": "pick_longer"}])
    assert "--arm is missing: which of 2 defended arms? accepted: insecure, other, sgtr" in message(run)
    for arm, why in (
        ("secure", "base, control or partner"),
        ("base", "base, control or partner"),
        ("sgtt", "not an arm"),
    ):
        text = message(run, arm)
        assert why in text and "accepted: insecure, other, sgtr" in text
    assert "is not a run folder" in message(tmp_path)
