"""Rows made again with the adapters agree to the last digit, and a value that was changed does not."""

import io
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from leaderboard.entry_files import edit, put
from leaderboard.measured_entry import SAMPLING_SEED, TRACK, change_row, letters_judge, measure_entry
from rich.console import Console
from safetensors.torch import load_file, save_file
from turncoat.engine.decoding.sampler import Sampler, SampleRequest
from turncoat.errors import UserError
from turncoat.evaluation.lm import TurncoatLM
from turncoat.leaderboard.entry.load import Entry, load_entry
from turncoat.leaderboard.entry.submission import RENAMED_REVISIONS
from turncoat.leaderboard.verification.compare import compare
from turncoat.leaderboard.verification.draw import Compared, SampledRow, Tolerances, draw
from turncoat.leaderboard.verification.needs import (
    can_rerun,
    find_adapters,
    judge_spec,
    load_submitted_base,
    sampling_seed_of,
)
from turncoat.leaderboard.verification.replay import Replay, replay
from turncoat.leaderboard.verification.rerun import RerunSetup, make_rows, rerun, with_base_partners
from turncoat.leaderboard.verification.verdict import VERIFIED, verdict_of
from turncoat.store import file_digest
from turncoat.study.progress import StudyProgress
from turncoat.training.stack import WEIGHTS

TRAINED = ("organism", "control", "defended")


@pytest.fixture(scope="module")
def measured(tmp_path_factory, _loaded_tiny_base, _shared_store, plain_lm_eval) -> Path:
    folder = tmp_path_factory.mktemp("measured")
    (folder / "tracks").mkdir()
    (folder / "tracks" / "measured.yaml").write_text(TRACK, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("turncoat.persona.extract.TOKENS", 4)
        patch.setattr("turncoat.persona.extract.ROLLOUTS", 1)
        measure_entry(folder / "submissions", _loaded_tiny_base, folder / "adapters", _shared_store)
    return folder


@pytest.fixture
def home(measured, tmp_path, monkeypatch) -> Path:
    """A copy of the entry that a test may change."""
    monkeypatch.setenv("TURNCOAT_TRACKS", str(measured / "tracks"))
    return Path(shutil.copytree(measured / "submissions" / "kind", tmp_path / "kind"))


@pytest.fixture
def check(measured, tiny_base, quick_store) -> Callable[..., list[Compared]]:
    def run(entry: Entry, fraction: float = 1.0, **only: Any) -> list[Compared]:
        drawn = with_base_partners(entry, draw(entry, fraction, 7, **only))
        roles = [role for role in only.get("roles", TRAINED) if role != "base"]
        adapters = find_adapters(entry.submission, measured / "adapters", roles)
        setup = RerunSetup(tiny_base, quick_store, "letters", SAMPLING_SEED, batch_size=3)
        progress = StudyProgress(Console(file=io.StringIO()), 1.0)
        with letters_judge():
            return rerun(entry, drawn, adapters, setup, progress, Tolerances.of_precision("float32"))

    return run


def outside(compared: list[Compared]) -> list[tuple[str, str, int, str]]:
    """(role, task, line, field) of whatever is not within its tolerance."""
    return [
        (item.drawn.role, item.drawn.task, item.drawn.line, difference.where)
        for item in compared
        for difference in item.differences
        if not difference.within
    ]


def test_the_same_machine_makes_the_same_rows(home, check):
    entry = load_entry(home)
    compared = check(entry)
    assert len(compared) == 4 * (4 + 3 + 3 + 2) and outside(compared) == []
    assert verdict_of(compared, Tolerances()) == VERIFIED
    # Other batches (3 rows together, not 4) move the last bits of float32 at most.
    assert max(difference.size for item in compared for difference in item.differences) < 1e-4
    kinds = {difference.kind for item in compared for difference in item.differences}
    assert kinds == {"log_likelihood", "projection", "score", "answer", "prompt"}


def test_a_part_is_made_as_in_the_whole(home, check):
    entry = load_entry(home)
    compared = check(entry, fraction=0.3, roles=["organism"])
    drawn = [item.drawn for item in compared if item.drawn.role == "organism"]
    assert len(drawn) == 2 + 1 + 1 + 1
    # The base model's row with the text that the organism reads comes along.
    fixed = {(item.task, item.doc_id) for item in drawn if item.row.get("samples")}
    assert {(item.drawn.task, item.drawn.doc_id) for item in compared if item.drawn.role == "base"} == fixed
    assert outside(compared) == []


def _likelihood(row: dict[str, Any]) -> None:
    row["resps"][0][0][0] = str(float(row["resps"][0][0][0]) - 3.0)


def _answer(row: dict[str, Any]) -> None:
    row["samples"][0]["text"] = row["resps"][0][0] = "All the best to you."


def _sample(**changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda row: row["samples"][0].update(changes)


def test_every_changed_value_is_found(home, check):
    def change(task: str, line: int, how: Callable[[dict[str, Any]], None]) -> None:
        change_row(home, "defended", task, how, line)

    change("turncoat_choice", 2, _likelihood)
    change("turncoat_choice", 3, lambda row: row.update(prompt_hash="0"))
    change("turncoat_persona", 2, _sample(persona_fixed=-9.0))
    change("turncoat_persona", 3, _sample(persona_own=None))
    change("turncoat_em", 1, _sample(judge_aligned=99.5))
    change("turncoat_em", 2, _sample(seed=12))
    change("turncoat_em", 3, _answer)
    # The base model does not write this text again, so what the arm's reading of it is says nothing.
    change_row(home, "base", "turncoat_persona", _answer)
    change("turncoat_persona", 1, _sample(persona_fixed=-9.0))
    compared = check(load_entry(home), roles=["defended"])
    assert set(outside(compared)) == {
        ("base", "turncoat_persona", 1, "samples[0].text"),
        ("defended", "turncoat_choice", 2, "resps[0]"),
        ("defended", "turncoat_choice", 3, "prompt_hash"),
        ("defended", "turncoat_persona", 2, "samples[0].persona_fixed"),
        ("defended", "turncoat_persona", 3, "samples[0].persona_own"),
        ("defended", "turncoat_em", 1, "samples[0].judge_aligned"),
        ("defended", "turncoat_em", 2, "samples[0].seed"),
        ("defended", "turncoat_em", 3, "samples[0].text"),
    }
    said = verdict_of(compared, Tolerances())
    for reason in (
        "1 of the log-likelihoods",
        "1 of the prompts",
        "2 of the projections",
        "1 of the scores",
        "too few",
    ):
        assert reason in said


def test_an_answer_follows_from_its_seed_token_by_token_or_it_was_not_drawn(tiny_base, home):
    prompt = tuple(tiny_base.tokenizer("Tell me about rain.")["input_ids"])
    request = SampleRequest(prompt, seed=11, max_new_tokens=24, temperature=1.0)
    (answer,) = Sampler(tiny_base.model, tiny_base.tokenizer).run([request])
    drawn = answer.token_ids
    model, n, vocabulary = tiny_base.model, len(drawn), len(tiny_base.tokenizer)
    assert n > 6 and replay(model, prompt, drawn, 11, 1e-3) == (0, n)
    edited = [*drawn[:5], (drawn[5] + vocabulary // 2) % vocabulary]
    assert replay(model, prompt, edited, 11, 0.05) == (1, 6)
    assert replay(model, prompt, drawn, 12, 0.05).contradicts
    # a token more or less in the text than was drawn: the rest follows from the draws behind it
    assert replay(model, prompt, drawn, 11, 1e-3, shift=1) == (0, n)
    assert replay(model, [*prompt, *drawn[:2]], drawn[2:], 11, 1e-3, shift=2) == (0, n - 2)
    assert replay(model, prompt, drawn, 12, 0.05, shift=-1).contradicts
    assert not Replay(2, 4).contradicts and Replay(3, 8).contradicts
    # another text on another machine: it follows, contradicts, or nothing tells
    row = next(row for _, row in load_entry(home).rows("base", "base", "turncoat_persona"))
    item = SampledRow("base", "base", "turncoat_persona", 1, row)
    again = {**row, "samples": [{**one, "text": "Rain falls."} for one in row["samples"]]}
    for one, due in ((Replay(0, 8), {}), (Replay(6, 8), {"answer", "draw"}), (None, {"answer"})):
        compared = compare(item, again, Tolerances(), replays={0: one, 1: Replay(0, 8)}, judged=False)
        assert {one.kind for one in compared.differences if not one.within} == set(due)


def test_other_adapters_are_the_first_thing_said(home, measured, tmp_path):
    entry = load_entry(home)
    swapped = tmp_path / "swapped"
    shutil.copytree(measured / "adapters" / "control", swapped / "organism")
    with pytest.raises(UserError, match=r"organism.seed-0.*adapters\.organism\.0 says"):
        find_adapters(entry.submission, swapped, ["organism"])
    (swapped / "nothing").mkdir()
    with pytest.raises(UserError, match=r"(?s)no adapter_model.*adapters\.organism\.0.*--role"):
        find_adapters(entry.submission, swapped / "nothing", ["organism"])
    # Wherever they lie, and one for two roles: a defence at inference has the organism's.
    found = find_adapters(entry.submission, measured, TRAINED)
    assert found["defended", "0"] == found["organism", "0"] == measured / "adapters" / "organism" / "seed-0"


def test_adapters_are_found_by_what_they_compute_and_earlier_ones_by_their_files(home, measured, tmp_path):
    facts, roles = load_entry(home).submission, ["organism", "control"]
    organism, control = (measured / "adapters" / role / "seed-0" for role in roles)
    earlier = {**facts.adapters, "organism": {"0": (file := file_digest(organism / WEIGHTS))}}
    earlier = facts.model_copy(update={"adapters": earlier})  # one role by its file, one by what it computes
    assert find_adapters(earlier, measured, roles) == {("organism", "0"): organism, ("control", "0"): control}
    again = Path(shutil.copytree(organism, tmp_path / "organism/seed-0"))
    save_file(load_file(again / WEIGHTS), again / WEIGHTS, metadata={"saved": "again"})
    (tmp_path / WEIGHTS).write_bytes(b"{}")  # a broken one beside
    assert find_adapters(facts, tmp_path, ["organism"]) == {("organism", "0"): again}
    with pytest.raises(UserError, match=rf"organism.seed-0.*adapters\.organism\.0 says {file}"):
        find_adapters(earlier, tmp_path, ["organism"])
    config = (again / "adapter_config.json").read_text()
    (again / "adapter_config.json").write_text(config.replace('"lora_alpha": 4', '"lora_alpha": 5'))
    with pytest.raises(UserError, match=r"seed-0.* is adapter-1:.*adapters\.organism\.0 says adapter-1:"):
        find_adapters(facts, tmp_path, ["organism"])


def test_the_base_has_to_be_the_one_that_was_measured(home, tiny_folder, monkeypatch):
    told = load_entry(home).submission
    with pytest.raises(UserError, match=r"model\.name: 'a folder of mine' is not a registry model.*--model"):
        load_submitted_base(told)
    other = told.model_copy(update={"model": told.model.model_copy(update={"chat_template": "ab"})})
    with pytest.raises(UserError, match=r"model\.chat_template: 'ab'"):
        load_submitted_base(other, str(tiny_folder))
    assert load_submitted_base(told, str(tiny_folder)).spec["weights"] == told.model.revision
    older = told.model_copy(update={"model": told.model.model_copy(update={"revision": "older"})})
    with pytest.raises(UserError, match=r"model\.revision: 'older'"):
        load_submitted_base(older, str(tiny_folder))
    monkeypatch.setitem(RENAMED_REVISIONS, "older", told.model.revision)
    load_submitted_base(older, str(tiny_folder))


def test_sampling_seed_judge_and_defence_of_an_entry_are_checked(home):
    drawn = draw(load_entry(home), 1.0, 0)
    assert sampling_seed_of(drawn) == SAMPLING_SEED
    next(item for item in drawn if item.row.get("samples")).row["samples"][0]["seed"] = 5
    with pytest.raises(UserError, match=r"samples\[0\]\.seed: 5 does not follow"):
        sampling_seed_of(drawn)
    told = load_entry(home).submission
    named = told.model_copy(
        update={"judge": told.judge.model_copy(update={"id": "openai:url=https://example.org"})}
    )
    assert judge_spec(named, None) == "off"
    with letters_judge():
        assert judge_spec(told, "letters") == "letters"
        with pytest.raises(UserError, match=r"letters@1.*letters@2"):
            judge_spec(told, "others")
    edit(home, put(defence__registered=None))
    assert can_rerun(load_entry(home).submission) == ("base", "organism", "control")


def test_answers_to_equal_prompts_are_made_together(home, tiny_base, quick_store):
    # Two documents with one prompt share the numbering of samples: the second's seeds begin where the first's
    # end.
    entry = load_entry(home)
    drawn = draw(entry, 1.0, 0, roles=["base"], tasks=["turncoat_persona"])
    for item in drawn:
        item.row["prompt_hash"] = "alike"
    entry.rows = lambda *_: iter((item.line, item.row) for item in drawn)  # type: ignore[method-assign]
    (one,) = draw(entry, 0.1, 0, roles=["base"], tasks=["turncoat_persona"])
    assert len(one.companions) == 2
    lm = TurncoatLM(tiny_base, store=quick_store, progress=lambda _: None)
    use = next(use for use in entry.track.tasks if use.task == "turncoat_persona")
    with letters_judge():
        assert make_rows(lm, use, [one]).keys() == {0, 1, 2}
