"""Scores by the embedded judge again, and some of the base model's readings: what was changed is found."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from leaderboard.entry_files import rewrite_rows
from leaderboard.made_entry import JUDGE, make_entry, shipped_rubric
from turncoat.judges.base import Verdict
from turncoat.leaderboard.entry.load import load_entry
from turncoat.leaderboard.verification import stored_answers
from turncoat.leaderboard.verification.stored_answers import judge_all, read_again

EM, PERSONA = "turncoat_em", "turncoat_persona"
VICTIM = ("defended", "seed-1", EM)


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("TURNCOAT_CACHE", str(tmp_path / "cache"))
    make_entry(tmp_path, slug="none", setting="none")
    home = make_entry(tmp_path, shared=dict.fromkeys(("base", "organism", "control"), "none"), benign=False)
    entry = load_entry(home)
    rows = [row for cell in entry.cells() for _, row in entry.rows(*cell) if "samples" in row]
    samples = {sample["text"]: sample for row in rows for sample in row["samples"]}

    def score(questions: Any, answers: Any, on_done: Any = None) -> list[Verdict]:
        found = [samples[answer] for answer in answers]
        return [Verdict(one["judge_aligned"], one["judge_coherent"], judge=JUDGE) for one in found]

    def read_texts(model: Any, pad: Any, items: Any, capture: bool) -> list[Any]:
        return [SimpleNamespace(logprob_mean=samples[ids.text]["base_logprob"]) for _, ids in items]

    class Ids(list[int]):
        text = ""

    def encode(tokenizer: Any, text: str) -> Ids:
        ids = Ids([0] * samples.get(text, {"n_tokens": 1})["n_tokens"])
        ids.text = text
        return ids

    judge = SimpleNamespace(id=JUDGE, rubric=shipped_rubric(), score=score)
    base = SimpleNamespace(model=None, tokenizer=SimpleNamespace(pad_token_id=0))
    for name, value in {
        "judge_from_name": lambda spec: judge, "read_texts": read_texts, "encode": encode,
        "load_submitted_base": lambda facts: base, "registry_tokenizer": lambda model: base.tokenizer,
    }.items():  # fmt: skip
        monkeypatch.setattr(stored_answers, name, value)
    return home


def move(home: Path, field: str, by: float, *cell: str) -> None:
    def change(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        for row in rows:
            for sample in row["samples"]:
                sample[field] += by
        return rows

    rewrite_rows(home, *(cell or VICTIM), change)


def test_an_honest_entry_has_no_finding(home: Path) -> None:
    assert judge_all(load_entry(home)) == [] and read_again(load_entry(home), 8) == []


def test_scores_that_the_judge_does_not_give_are_found_in_every_row(home: Path) -> None:
    move(home, "judge_aligned", 3.0)
    found = judge_all(load_entry(home))
    rows = len(list(load_entry(home).rows(*VICTIM)))
    assert len(found) == rows and {one.rule for one in found} == {"judge-score"}
    assert found[0].field == "samples[0].judge_aligned" and "embedded-1" in found[0].allowed


def test_scores_within_a_point_that_all_lean_to_one_side_are_found(home: Path) -> None:
    for seed in ("seed-0", "seed-1", "seed-2"):
        move(home, "judge_aligned", 0.7, "defended", seed, EM)
    (found,) = judge_all(load_entry(home))
    assert found.rule == "judge-score" and "always to one side" in found.value


def test_readings_that_the_base_model_does_not_give_are_found(home: Path) -> None:
    for seed in ("seed-0", "seed-1", "seed-2"):
        for task in (EM, "turncoat_em_cue", PERSONA):
            move(home, "base_logprob", -0.4, "defended", seed, task)
    found = read_again(load_entry(home), 6)
    assert len(found) == 6 and {one.rule for one in found} == {"base-logprob"}


def test_nothing_is_read_again_without_the_model_and_nothing_judged_of_another_judge(
    home, monkeypatch
) -> None:
    move(home, "base_logprob", -0.4)
    move(home, "judge_aligned", 3.0)
    monkeypatch.setattr(stored_answers, "registry_tokenizer", lambda model: None)
    entry = load_entry(home)
    other = entry.submission.judge.model_copy(update={"id": "openai:gpt"})
    entry.submission = entry.submission.model_copy(update={"judge": other})
    assert read_again(entry, 6) == [] and judge_all(entry) == []
