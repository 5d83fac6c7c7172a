"""The smoke study names every defence in every way it may act, and runs: on a tiny model here, on the real
one when slow."""

import json

import pytest
import yaml
from rich.console import Console
from turncoat.paths import baselines_dir, studies_dir, study_path
from turncoat.registry import DEFENCES, discover
from turncoat.report.write import report_run
from turncoat.study.config import load_study
from turncoat.study.run import run_study

STUDY = studies_dir() / "defences.yaml"
TRAINED = ("prevention", "reversal")


def test_every_defence_is_in_it():
    discover()
    arms = load_study(STUDY).arms
    asked = {(a.defence, "finetune" if a.setting in TRAINED else a.setting) for a in arms if a.defence}
    ours = {name: entry for name, entry in DEFENCES.items() if entry.source.parent == baselines_dir()}
    possible = {
        (name, "finetune" if setting in TRAINED else setting)
        for name, entry in ours.items()
        for setting in entry.settings
    }
    assert possible - asked == set()
    both = {arm.setting for arm in arms if arm.defence == "sgtr"}
    assert both == set(TRAINED)


def check(run, study, folder) -> None:
    assert run == []
    record = json.loads((folder / "run.json").read_text())
    assert record["failed"] == []
    for arm in study.arms:
        where = folder / "rows" / arm.name / ("seed-0" if arm.is_trained else "base")
        assert {path.name for path in where.iterdir()} == {use.task for use in study.tasks}, arm.name
    with (folder / "screen.txt").open("w") as screen:
        report_run(folder, Console(file=screen, width=100))
    told = (folder / "report.html").read_text()
    assert "random_adapter" in told and "nan" not in (folder / "screen.txt").read_text().lower().split()


def test_it_runs_on_a_tiny_model(tiny_folder, quick_store, tmp_path):
    content = yaml.safe_load(STUDY.read_text())
    content |= {"model": str(tiny_folder), "judge": "off", "tasks": content["tasks"][:1]}
    content["training"] |= {"rows": 4, "batch_size": 2, "rank": 2, "max_length": 1024}
    path = tmp_path / "defences.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    study = load_study(path)
    check(run_study(study, tmp_path / "run", store=quick_store), study, tmp_path / "run")


@pytest.mark.slow
def test_it_runs_on_the_default_model(tmp_path):
    study = load_study(study_path("defences"))
    check(run_study(study, tmp_path / "run"), study, tmp_path / "run")
