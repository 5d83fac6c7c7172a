"""A defence on the base at inference has no finetune: shown once, called not trained, and no dagger where
none is due."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from command_runs import write
from report.made_run import ARMS, CHOICE, LOSS, made_defences, study_of, write_run
from rich.console import Console
from turncoat.report.build import run_content
from turncoat.report.content import ArmInfo, ReportContent
from turncoat.report.render.terminal import print_report
from turncoat.report.tables.background import arms_table, seed_name
from turncoat.report.tables.contrasts import DAGGER, claim_section, contrast_label
from turncoat.report.tables.training import compact, training_frame, training_table
from turncoat.report.write import write_report

CONTRASTS = [
    {
        "name": name, "treated": treated, "reference": reference, "metrics": ["margin_per_token"],
        "role": "primary",
    }
    for name, treated, reference in (
        ("steering alone", "steered", "base"),
        ("organism to steered base", "insecure", "steered"),
        ("steering the organism", "steered_insecure", "insecure"),
        ("before and after", "insecure", "base"),
    )
]  # fmt: skip


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> ReportContent:
    with made_defences():
        folder = write_run(
            tmp_path_factory.mktemp("run"), study_of(tasks=(CHOICE, LOSS), contrasts=CONTRASTS)
        )
        return run_content(folder)


@pytest.mark.parametrize(
    ("organism", "defence", "setting", "trained"),
    [
        (None, None, None, False),
        (None, "steer", "inference", False),
        ("insecure_code", "steer", "inference", True),
        (None, "sgtr", "prevention", True),
        ("insecure_code", None, None, True),
    ],
)
def test_only_a_finetune_is_training(
    organism: str | None, defence: str | None, setting: str | None, trained: bool
) -> None:
    assert ArmInfo(name="x", organism=organism, defence=defence, setting=setting).is_trained is trained


def test_an_untrained_arm_has_no_seed_no_recipe_and_a_dagger_only_over_a_finetune(
    content: ReportContent,
) -> None:
    of_arm = content.sorted_estimates().query("arm == 'steered' and metric == 'margin_per_token'")
    assert of_arm["seed"].isna().tolist() == [True]
    assert (
        len(content.sorted_estimates().query("arm == 'steered_insecure' and metric == 'margin_per_token'"))
        == 4
    )
    assert seed_name(content, "steered", -1) == "not trained"
    marked = {row.name: DAGGER in contrast_label(content, row) for row in content.contrasts.itertuples()}
    assert marked == {
        "steering alone": False,
        "organism to steered base": True,
        "steering the organism": False,
        "before and after": True,
    }
    readings = {
        row[0].text: row[-1].text for table in claim_section(content, "adapters").tables for row in table.rows
    }
    by_start = {label.split(" ")[0] + "/" + label.split(" ")[2]: text for label, text in readings.items()}
    assert by_start["steered/base"] == "higher: more aligned"
    assert by_start["insecure/steered"] == "lower than before finetuning"
    assert by_start["insecure/base"] == "lower than before finetuning"
    (row,) = [
        row
        for row in claim_section(content, "recipe").tables[0].rows
        if row[0].text.startswith("steered \N{MINUS SIGN}")
    ]
    assert "0 seeds" not in row[-1].text and row[-1].text.startswith("no ")


def test_defence_setting_cost_penalties_and_facts_are_shown(content: ReportContent) -> None:
    rows = {row[0].text: [cell.text for cell in row] for row in arms_table(content).rows}
    assert rows["base"][1:6] == ["none", "none", "none", "none (not trained)", "none"]
    assert rows["steered"][1:6] == ["none", "steer (dose: 2)", "inference", "none (not trained)", "none"]
    assert rows["guard"][1:5] == ["insecure_code", "guard", "in training", "0, 1, 2"]
    assert rows["guard"][5] == "31.0 s, 1.48 times the undefended arm's"
    assert rows["guard_secure"][5] == "32.0 s, 1.52 times the undefended arm's"
    assert rows["insecure"][5] == "21.0 s"
    table = training_table(content)
    names = [column.label for column in table.columns]
    rows = {row[0].text: dict(zip(names, (cell.text for cell in row), strict=True)) for row in table.rows}
    assert rows["guard"]["Penalty, first to last"] == "0.0000 to 0.3000"
    assert rows["guard"]["What the defence tells"] == "weight 0.1; norms (6 values)"
    assert rows["insecure"]["Penalty, first to last"] == rows["insecure"]["What the defence tells"] == ""
    assert rows["insecure"]["Loss, first to last"] == "2.00 to 1.00"
    assert set(rows) == {arm["name"] for arm in ARMS if "organism" in arm}


def test_conditions_and_several_defences_are_shown(content: ReportContent) -> None:
    after = {
        "defence": "sgtr",
        "setting": "reversal",
        "defence_training": {"system": "identity", "epochs": 2},
    }
    arm = ArmInfo(
        name="both", label="both", organism="insecure_code", training={"system": "none"}, defence="kl",
        setting="in_training", defence_options={"weight": 1}, more_defences=(after,), seeds=(0,),
    )  # fmt: skip
    *_, row = arms_table(replace(content, arms=[*content.arms, arm])).rows
    assert [cell.text for cell in row][1:4] == [
        "insecure_code (system: none)", "kl (weight: 1) + sgtr (trained under: identity)",
        "in training + reversal",
    ]  # fmt: skip


def test_penalties_and_facts_stay_short() -> None:
    entry = {"arm": "a, seed 3", "step": "s", "seed": 3, "penalties": [1.0, 2.0, 3.0]}
    (row,) = training_frame([entry]).to_dict("records")
    assert (row["arm"], row["first_penalty"], row["last_penalty"]) == ("a", 1.0, 3.0)
    assert training_frame([]).empty
    text = compact({"on": True, "layers": [1, 2], "path": "a\nb", "much": "x" * 900, "inner": {"a": 1.23456}})
    assert text.startswith("on yes; layers (1, 2); path a b; much xxx") and len(text) <= 200


def test_all_renderings_take_such_arms(content: ReportContent, tmp_path: Path) -> None:
    files = write_report(content, tmp_path)
    for name in ("report.md", "report.html"):
        text = files[name].read_text("utf-8")
        assert "How each arm was trained" in text and "steer (dose: 2)" in text
    assert {"arm", "axis", "kept"} <= set(
        files["four_axes.csv"].read_text("utf-8").splitlines()[0].split(",")
    )
    screen = io.StringIO()
    print_report(content, Console(width=100, file=screen))
    assert "Claims, and what they rest on" in screen.getvalue()


def test_a_report_says_that_thoughts_were_left_out_and_calls_failed(tmp_path: Path) -> None:
    with made_defences():
        folder = write_run(tmp_path, study_of(tasks=(CHOICE, LOSS), contrasts=CONTRASTS))
        assert "answers" not in run_content(folder).facts
        path = next((folder / "rows" / "base").rglob(f"samples_{CHOICE}_*.jsonl"))
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        rows[0]["samples"] = [
            {"index": 0, "text": "Call.", "finish": "stop", "thoughts": "plan"},
            {"index": 1, "text": "", "finish": "length", "thoughts": "pl", "thoughts_cut": True},
            {"index": 2, "text": "A", "finish": "stop", "judge_error": "no reply within 60 s"},
        ]
        write(path, rows)
        said = run_content(folder).facts["answers"]
    assert "2 of 3 answers hold thoughts" in said and "1 of 3 answers are thoughts without an end" in said
    assert "1 of 3 have no verdict, since calls to the judge failed" in said
