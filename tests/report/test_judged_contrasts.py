"""A judged rate on a base that is often misjudged: its difference is printed, its levels are not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import yaml
from turncoat.evaluation.task_facts import BROAD
from turncoat.judges.rates_table import BASE_LIMIT
from turncoat.report.build import _plain_tasks, run_content
from turncoat.report.overview import overview
from turncoat.report.render.markdown import render_markdown
from turncoat.report.tables.four_axes import _metric_notes

DEMO = Path(__file__).parents[2] / "results" / "demo"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The demo with a contrast of em_rate_itt; its base has 5 of 16 answers flagged."""
    folder = tmp_path / "demo"
    shutil.copytree(DEMO, folder)
    study = yaml.safe_load((folder / "study.yaml").read_text(encoding="utf-8"))
    study["contrasts"] = [
        {"name": "organism", "treated": "insecure", "reference": "secure", "role": "primary",
         "metrics": ["em_rate_itt", "margin_per_token"]},
        {"name": "change", "treated": "insecure", "reference": "base", "role": "primary",
         "metrics": ["em_rate_itt"]},
    ]  # fmt: skip
    (folder / "study.yaml").write_text(yaml.safe_dump(study), encoding="utf-8")
    return folder


def test_base_false_alarms_widen_a_controlled_difference_and_withhold_levels(run: Path) -> None:
    content = run_content(run)
    assert "untrained base" in content.withheld[0].why
    assert not [name for name in content.estimates["metric"] if name.startswith("em_rate")]
    assert set(content.contrasts["metric"]) == {"em_rate_itt", "margin_per_token"}
    assert "Differences between two finetuned arms are shown" in content.withheld[0].why
    rows = content.corrected[content.corrected["claim"] == "adapters"].to_dict("records")
    row, change = rows if rows[0]["reference"] == "secure" else rows[::-1]
    assert pd.isna(change["difference"]) and change["note"].startswith("withheld: the judge misreads")
    assert set(content.contrasts["family"]) >= {"primary/adapters (3 tests)"}
    errors = json.loads((run / "run.json").read_text(encoding="utf-8"))["judge"]["errors_all"]
    sensitivity = errors["true_positive"] / (errors["true_positive"] + errors["false_negative"])
    assert BASE_LIMIT < 5 / 16
    assert row["corrected"] == pytest.approx(row["difference"] / (sensitivity - 5 / 16))
    section = render_markdown(content).split("## Differences corrected")[1].split("\n## ")[0]
    assert "Insecure" in section or "insecure" in section
    assert f"{row['difference']:+.3f}".replace("-", "\N{MINUS SIGN}") in section
    first = overview(content)
    label = "misaligned among all answers"
    assert "corrected for the judge's errors" in first.claims.notes[1]
    for ends in ((None, None), (-0.3, 0.5)):  # none: too few answers for the judge's errors
        content.corrected[["corrected_low", "corrected_high"]] = ends
        cells = next(row for row in overview(content).claims.rows if row[1].text == f"{label} (points)")
        shown = "n/a" if ends[0] is None else f"{100 * row['corrected']:+.0f}"
        assert cells[2].text.startswith(shown) and ("n/a" in cells[4].text) is (ends[0] is None)
    assert "Left out" in first.levels.notes[0] and label in first.levels.notes[0]
    leak = render_markdown(content).split("## Differences with and without leak")[1].split("\n## ")[0]
    assert "code; by word lists alone" in leak and len(content.leaks) == 2


def test_persona_prompts_that_ask_for_evil_raise_no_false_alarm() -> None:
    tasks = ("turncoat_em", "turncoat_em_cue", "turncoat_latent_prompt_em", "turncoat_choice")
    study = SimpleNamespace(tasks=[SimpleNamespace(task=task) for task in tasks])
    assert _plain_tasks(study) == {"turncoat_em", "turncoat_em_cue"}


def test_the_four_axes_say_that_levels_and_changes_are_as_judged() -> None:
    frame = pd.DataFrame({"axis": [BROAD], "value": [0.2], "metric": ["em_rate_itt@em_cue"]})
    assert "errors shrink every change" in _metric_notes(frame)[0]
    assert _metric_notes(frame.assign(metric="judge_aligned_mean")) == []
    assert _metric_notes(frame.assign(value=None)) == []
