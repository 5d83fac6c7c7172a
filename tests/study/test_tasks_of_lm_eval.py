"""Tasks of lm-eval's own in a study: found by name, measured, shown as plain metrics, and a clear error
without a network."""

import io
import json
from pathlib import Path

import pytest
import yaml
from rich.console import Console
from turncoat.errors import UserError
from turncoat.evaluation import lm_eval_compat
from turncoat.evaluation.task_catalogue import hub_dataset, is_task, task_metrics
from turncoat.evaluation.task_facts import metric_axes
from turncoat.report.write import report_run
from turncoat.testing import run_tiny

GREEDY = {"do_sample": False, "temperature": 0.0, "until": ["\n"], "max_gen_toks": 4}


@pytest.fixture
def defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A folder in the place of lm-eval's tasks, with one task that reads a local file and one that would
    fetch."""
    folder = tmp_path / "defaults"
    folder.mkdir()
    data = folder / "data.json"
    data.write_text(
        "\n".join(json.dumps({"q": f"What is {n}?", "a": str(n)}) for n in range(4)), encoding="utf-8"
    )
    plain = {
        "task": "plain_sums",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(data)}},
        "test_split": "test",
        "output_type": "generate_until",
        "doc_to_text": "{{q}}",
        "doc_to_target": "{{a}}",
        "generation_kwargs": GREEDY,
        "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
        "filter_list": [
            {"name": name, "filter": [{"function": "take_first"}]}
            for name in ("strict-match", "flexible-extract")
        ],
    }
    (folder / "plain.yaml").write_text(yaml.safe_dump(plain), encoding="utf-8")
    absent = {**plain, "task": "far_away", "dataset_path": "nobody/far_away", "dataset_kwargs": {}}
    (folder / "far.yaml").write_text(yaml.safe_dump(absent), encoding="utf-8")
    (folder / "group.yaml").write_text("group: all_sums\ntask: [plain_sums]\n", encoding="utf-8")
    monkeypatch.setattr(lm_eval_compat, "default_folder", lambda: folder)
    return folder


def study_with(tmp_path: Path, task: str) -> Path:
    path = tmp_path / "mine" / "study.yaml"
    path.parent.mkdir()
    content = {"study": "mine", "model": "tiny", "arms": [{"name": "base"}], "tasks": [{"task": task}]}
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def test_it_is_measured_and_its_first_filter_counts(defaults, tmp_path, capsys):
    assert task_metrics("plain_sums") == ["exact_match"] and metric_axes("plain_sums") == {}
    rows = run_tiny(study_with(tmp_path, "plain_sums"), tmp_path / "out")["base/plain_sums"]
    assert [row["filter"] for row in rows].count("strict-match") == 2
    said = " ".join(capsys.readouterr().err.split())
    run = tmp_path / "out" / "run"
    assert "persona" not in json.loads((run / "run.json").read_text()), "nothing reads a vector"
    report = report_run(run, Console(file=io.StringIO()))["report.md"].read_text()
    assert "mine" in report and "persona layer" not in report
    assert "plain_sums is a task of lm-eval's own: json is fetched from the Hugging Face hub" in said


def test_data_that_cannot_be_had_are_named_and_a_group_is_not_a_task(defaults, tmp_path):
    assert hub_dataset("far_away") == "nobody/far_away"
    with pytest.raises(UserError, match=r"'far_away': its data set nobody/far_away .*HF_HUB_OFFLINE"):
        run_tiny(study_with(tmp_path, "far_away"), tmp_path / "out")
    assert not is_task("all_sums")
    with pytest.raises(UserError, match=r"'plain_sum' is not a task; did you mean 'plain_sums'\? accepted: "):
        task_metrics("plain_sum")


def test_names_of_tasks_groups_and_tags_are_read_as_text(tmp_path):
    texts = [
        "task: one\ntag: [first, 'second']",
        '"task": "two" # a comment\ntag:\n  - third',
        "group: all\ntask:\n- one\n- group: inner\n  task: [two, far]",
        "group: pair\ntask: [one, two]",
    ]
    for number, text in enumerate(texts):
        (tmp_path / f"{number}.yaml").write_text(text)
    found = lm_eval_compat.names_in(tmp_path)
    assert {task: path.name for task, path in found.files.items()} == {"one": "0.yaml", "two": "1.yaml"}
    words = "one two first second third all inner far pair"
    assert found.words == {*words.split()}
