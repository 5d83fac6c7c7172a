"""The list of tasks and of what each measures, read from YAML without an import."""

import sys

import pytest
from lm_eval.tasks import TaskManager
from turncoat import plug_ins
from turncoat.evaluation import task_catalogue as catalogue
from turncoat.evaluation.task_catalogue import (
    metric_facts,
    metric_names,
    task_files,
    task_metrics,
    task_names,
    task_summary,
)
from turncoat.paths import tasks_dir


def test_every_task_and_family_is_listed():
    manager = TaskManager(include_path=str(tasks_dir()), include_defaults=False)
    assert set(task_names()) == set(manager.all_subtasks)
    assert {"turncoat_choice", "turncoat_em", "turncoat_persona"} <= set(task_names())
    index = (tasks_dir() / "README.md").read_text(encoding="utf-8")
    for folder in {path.parent.name for path in task_files().values()}:
        assert f"({folder}/README.md)" in index and (tasks_dir() / folder / "README.md").is_file()


@pytest.mark.parametrize("task", task_names())
def test_facts_for_every_metric_and_for_nothing_else(task):
    facts = metric_facts(task)
    assert list(facts) == task_metrics(task) and "samples" not in facts
    for fact in facts.values():
        assert fact["label"] and fact["unit"] and fact["direction"].startswith(("up means", "down means"))
    told = catalogue.task_content(task)["metadata"]["metrics"]
    assert set(told) == set(facts), "metadata.metrics and metric_list name different metrics"


@pytest.mark.parametrize("task", task_names())
def test_a_summary_is_one_sentence_without_its_hash(task):
    summary = task_summary(task)
    assert len(summary) > 20 and not summary.startswith("#")


def test_the_full_tag_runs_everything_and_the_standard_one_needs_no_file_from_elsewhere():
    tags = {task: catalogue.task_content(task)["tag"] for task in task_names()}
    assert all("turncoat_full" in tag or tag == "turncoat_advice" for tag in tags.values())
    standard = {task for task, tag in tags.items() if "turncoat" in (tag if isinstance(tag, list) else [tag])}
    assert {
        "turncoat_em", "turncoat_em_cue", "turncoat_choice", "turncoat_persona", "turncoat_identity",
    } <= standard  # fmt: skip
    assert not {t for t in standard if "betley" in t or "truthfulqa" in t or "recognition" in t}


def test_a_metric_without_facts_is_its_own_label(tmp_path, monkeypatch):
    (tmp_path / "mine.yaml").write_text(
        "# Mine.\ntask: mine\nprocess_results: !function nowhere_at_all.f\n"
        "metric_list:\n  - {metric: acc}\n  - {metric: samples}\n",
        encoding="utf-8",
    )
    (tmp_path / "group.yaml").write_text("group: ours\ntask: [mine]\n", encoding="utf-8")
    (tmp_path / "data.yaml").write_text("- a list\n", encoding="utf-8")
    monkeypatch.setattr(plug_ins, "tasks_dir", lambda: tmp_path)
    assert task_names() == ["mine"]
    assert metric_facts("mine") == {"acc": {"label": "acc", "unit": "", "direction": ""}}
    assert task_summary("mine") == "Mine." and "nowhere_at_all" not in sys.modules


def test_an_included_part_is_read_and_the_files_own_keys_win(tmp_path, monkeypatch):
    (tmp_path / "shared.part").write_text("repeats: 3\nmetric_list:\n  - {metric: acc}\n", encoding="utf-8")
    (tmp_path / "mine.yaml").write_text(
        "# Mine.\ninclude: shared.part\ntask: mine\nrepeats: 5\n", encoding="utf-8"
    )
    monkeypatch.setattr(plug_ins, "tasks_dir", lambda: tmp_path)
    assert catalogue.task_content("mine")["repeats"] == 5 and task_metrics("mine") == ["acc"]


def test_standard_errors_are_not_metrics_of_their_own(tmp_path, monkeypatch):
    (tmp_path / "mine.yaml").write_text(
        "# Mine.\ntask: mine\nmetric_list:\n  - {metric: rate}\n  - {metric: rate_stderr}\n", encoding="utf-8"
    )
    monkeypatch.setattr(plug_ins, "tasks_dir", lambda: tmp_path)
    assert task_metrics("mine") == ["rate"]


def test_metrics_that_several_tasks_share_are_told_apart_by_the_task(tmp_path, monkeypatch):
    for task, metrics in (("turncoat_a", "rate, margin"), ("turncoat_b", "rate, empty")):
        listed = "".join(f"  - {{metric: {metric}}}\n" for metric in metrics.split(", "))
        (tmp_path / f"{task}.yaml").write_text(
            f"# A.\ntask: {task}\nmetric_list:\n{listed}", encoding="utf-8"
        )
    monkeypatch.setattr(plug_ins, "tasks_dir", lambda: tmp_path)
    assert metric_names(["turncoat_a"]) == {
        "rate": ("turncoat_a", "rate"),
        "margin": ("turncoat_a", "margin"),
    }
    assert metric_names(["turncoat_a", "turncoat_b"]) == {
        "rate@a": ("turncoat_a", "rate"), "margin": ("turncoat_a", "margin"),
        "rate@b": ("turncoat_b", "rate"), "empty": ("turncoat_b", "empty"),
    }  # fmt: skip
