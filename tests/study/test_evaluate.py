"""Rows of an arm: what their keys depend on."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from judges.fake_judge import FakeJudge
from study.tiny_study import six_arms as study
from turncoat.store import digest
from turncoat.study.config import TaskUse
from turncoat.study.evaluate import evaluation_spec, verdicts_lost


@pytest.fixture
def spec(tiny_base) -> Callable[..., dict[str, Any]]:
    def make(use: TaskUse, adapter: Path | None = None, **changes: Any) -> dict[str, Any]:
        return evaluation_spec(study(**changes), tiny_base, use, adapter)

    return make


def test_an_evaluations_key_changes_with_all_that_determines_it(spec, monkeypatch):
    use = TaskUse(task="turncoat_persona", limit=2)
    reference = spec(use)
    assert spec(use) == reference
    for other in (
        spec(use, Path("some/adapter")),
        spec(TaskUse(task="turncoat_persona", limit=3)),
        spec(TaskUse(task="turncoat_persona", limit=2, repeats=1)),
        spec(TaskUse(task="turncoat_em", limit=2)),
    ):
        assert other != reference
    assert {"score.py", "turncoat_persona.yaml", "evaluation_questions.jsonl"} <= set(reference["source"])
    assert spec(use, sampling_seed=1) != reference and spec(use, batch_size=3) == reference


def test_rows_of_judged_tasks_depend_on_the_judge_and_others_do_not(spec, monkeypatch):
    judges = {"off": None, "one": FakeJudge("one"), "two": FakeJudge("two")}
    monkeypatch.setattr("turncoat.study.evaluate.judge_from_name", judges.__getitem__)

    def keys(task: str) -> set[str]:
        return {digest(spec(TaskUse(task=task, limit=2), judge=name)) for name in judges}

    def with_trait(spec):
        return judges[spec] if spec == "two" else None

    monkeypatch.setattr("turncoat.study.evaluate.trait_judge", with_trait)
    assert len(keys("turncoat_persona_evil")) == 2, "the judge that can rate a trait, and the others"
    assert len(keys("turncoat_em")) == 3
    assert len(keys("turncoat_choice")) == len(keys("turncoat_persona")) == 1


def test_rows_depend_on_the_files_that_a_task_reads_and_on_its_own_trait(spec, monkeypatch):
    latent = spec(TaskUse(task="turncoat_latent_prompt_choice"))
    assert list(latent["reads"]) == ["../choice/pairs.jsonl"] and latent["persona"] is None
    evil, axis = (
        spec(TaskUse(task=f"turncoat_persona_{trait}"))["persona"] for trait in ("evil", "assistant_axis")
    )
    assert evil != axis


@pytest.mark.parametrize(("module", "task", "counts"), [
    ("engine/decoding/sampler.py", "turncoat_em", True), ("judges/rates.py", "turncoat_em", True),
    ("judges/filter.py", "turncoat_em", True), ("judges/rates.py", "turncoat_choice", False),
    ("evaluation/diversity.py", "turncoat_identity", True),
    ("evaluation/diversity.py", "turncoat_choice", False),
    ("report/tables/contrasts.py", "turncoat_em", False),
])  # fmt: skip
def test_changed_code_changes_the_key_of_the_rows_that_it_makes(spec, monkeypatch, module, task, counts):
    use = TaskUse(task=task)
    reference = spec(use)
    read = Path.read_text
    for addition, same in (("\n# a comment\n", True), ("\nANOTHER = 1\n", not counts)):
        with monkeypatch.context() as patch:
            patch.setattr(Path, "read_text", lambda path, *a, addition=addition, **k: (
                read(path, *a, **k) + (addition if path.as_posix().endswith(f"turncoat/{module}") else "")
            ))  # fmt: skip
            assert (spec(use) == reference) is same


def test_rows_without_the_verdict_of_a_failed_call_are_found(tmp_path):
    def lost(task: str, samples: list[dict[str, Any]], doc: dict[str, Any]) -> bool:
        row = {"doc_id": 0, "doc": doc, "metrics": [], "samples": samples}
        (tmp_path / f"samples_{task}_x.jsonl").write_text(json.dumps(row) + "\n")
        return verdicts_lost(tmp_path, task)

    whole = {"judge": "one", "judge_aligned": None, "judge_unscored": "empty answer"}
    assert not lost("turncoat_em", [whole], {})
    assert lost("turncoat_em", [whole, {"judge": "one", "judge_error": "timeout"}], {})
    assert lost("turncoat_em", [{"text": "no judge could be built"}], {})
    for doc, expected in (({"trait": "evil"}, True), ({"trait": "evil", "trait_unscored": True}, False)):
        assert lost("turncoat_persona_evil", [{"trait_score": 3.0}, {"text": "a"}], doc) == expected
        assert not lost("turncoat_persona_evil", [{"trait_score": 3.0}, {"trait_score": None}], doc)
