"""Evidence fields that contradict each other are found: seeds, tokens, equal texts, projections."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from leaderboard.made_entry import make_entry
from leaderboard.rows_of_entry import Cells, MadeRows, rules
from turncoat.data.registry_models import REGISTRY_MODELS
from turncoat.engine.seeds import STUDY_SEEDS, sample_seed, study_seed_of
from turncoat.leaderboard.entry.load import load_entry
from turncoat.leaderboard.validation import evidence, expected
from turncoat.leaderboard.validation.token_counts import fewest_tokens
from turncoat.leaderboard.validation.validate import unchecked, validate_entry
from turncoat.store import digest

CHOICE, PERSONA, EM = "turncoat_choice", "turncoat_persona", "turncoat_em"
DEFENDED = [("defended", f"seed-{n}") for n in range(3)]
COMMITTED = Path(__file__).parents[3] / "results" / "submissions" / "none-insecure"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> MadeRows:
    return MadeRows(make_entry(tmp_path_factory.mktemp("made")))


def samples(cells: Cells, keys: Any = DEFENDED) -> list[dict[str, Any]]:
    return [sample for key in keys for row in cells[key] for sample in row["samples"]]


def seeds_of_ones_own(cells: Cells) -> None:
    for number, sample in enumerate(samples(cells)):
        sample["seed"] = 7_000 + number


def another_sampling_seed(cells: Cells) -> None:
    for key in DEFENDED:
        for row in cells[key]:
            for sample in row["samples"]:
                prompt = row["arguments"]["gen_args_0"]["arg_0"]
                sample["seed"] = sample_seed(5, PERSONA, prompt, sample["index"])


def the_bases_texts_with_better_readings(cells: Cells) -> None:
    for mine, base in zip(cells[DEFENDED[0]], cells["base", "base"], strict=True):
        mine["resps"] = base["resps"]
        for sample, model in zip(mine["samples"], base["samples"], strict=True):
            sample |= {"text": model["text"], "n_tokens": model["n_tokens"], "finish": model["finish"]}
            sample["persona_text"] = model["persona_text"] - 0.4
        mine["persona_text"] = mine["samples"][0]["persona_text"]


CASES: dict[str, tuple[Callable[[Cells], None], set[str]]] = {
    "seeds of one's own": (seeds_of_ones_own, {"sampling-seed"}),
    "another sampling seed in one role": (another_sampling_seed, {"sampling-seed"}),
    "one text, two readings": (the_bases_texts_with_better_readings, {"evidence-disagrees"}),
}


@pytest.mark.parametrize("case", CASES)
def test_a_contradiction_is_found(made: MadeRows, case: str) -> None:
    change, rule = CASES[case]
    cells = made.copy(PERSONA)
    change(cells)
    found = made.check(PERSONA, cells)
    assert rule <= rules(found), [str(one) for one in found[:3]]
    assert all(one.allowed and one.fix for one in found)


@pytest.fixture(scope="module")
def real() -> MadeRows:
    return MadeRows(COMMITTED, PERSONA)


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (
            lambda values, layer: [*values[:layer], values[layer] - 0.5, *values[layer + 1 :]],
            "projection-layers",
        ),
        (lambda values, layer: [4 * value + 8 for value in values], "projection-cosine"),
        (lambda values, layer: [value - 6 for value in values], "projection-cosine"),
        (lambda values, layer: values, ""),
    ],
)
def test_a_projection_must_fit_its_cosine_and_its_neighbours(real: MadeRows, change: Any, rule: str) -> None:
    cells, layer = real.copy(PERSONA), real.submission.persona.layer
    for key in (("organism", "seed-0"), ("organism", "seed-1")):
        for row in cells[key]:
            for sample in row["samples"]:
                values = change(sample["persona_fixed_by_layer"], layer)
                by = values[layer] - sample["persona_fixed_by_layer"][layer]
                sample |= {"persona_fixed_by_layer": values, "persona_fixed": sample["persona_fixed"] + by}
            row["persona_fixed"] = row["samples"][0]["persona_fixed"]
    found = real.check(PERSONA, cells)
    assert (rule in rules(found)) if rule else found == []
    assert {one.file.split("/")[1] for one in found} == ({"organism"} if rule else set())


def test_one_token_for_every_continuation_is_refused_without_the_tokenizer(made: MadeRows) -> None:
    """It would multiply the margin per token by the number of tokens, in all arms alike."""
    cells = made.copy(CHOICE)
    for rows in cells.values():
        for row in rows:
            one, other = (float(resp[0][0]) for resp in row["resps"])
            row["margin_per_token"] = one - other
    assert rules(made.check(CHOICE, cells)) == {"metric-value"}


class Words:
    """A tokenizer that makes a token of each word and each line break; its chat template is the made one."""

    chat_template = "made"
    name_or_path = "made"

    def __call__(self, text: str, add_special_tokens: bool = False) -> dict[str, list[int]]:
        words = text.replace("\n", " \n ").split(" ")
        return {"input_ids": [len(word) for word in words if word]}

    def apply_chat_template(self, messages: Any, **_: Any) -> str:
        from leaderboard.made_entry import chat

        return chat(messages)


def test_with_the_tokenizer_token_counts_are_recomputed(made, monkeypatch) -> None:
    monkeypatch.setattr(expected, "registry_tokenizer", lambda model: Words())
    for name in ("registry_chat", "continuation_tokens"):
        getattr(expected, name).cache_clear()
    try:
        found = made.check(CHOICE, made.copy(CHOICE))  # whose counts are of another tokenizer
        assert rules(found) == {"metric-value"} and {one.field for one in found} == {"margin_per_token"}
        cells = made.copy(CHOICE)
        for rows in cells.values():
            for row in rows:
                counts = [1 + len(str(row["arguments"][f"gen_args_{n}"]["arg_1"]).split()) for n in range(2)]
                one, other = (float(resp[0][0]) for resp in row["resps"])
                row["margin_per_token"] = one / counts[0] - other / counts[1]
        assert made.check(CHOICE, cells) == []
    finally:
        for name in ("registry_chat", "continuation_tokens"):
            getattr(expected, name).cache_clear()


def test_with_the_tokenizer_the_prompts_tokens_are_recomputed(made: MadeRows, monkeypatch) -> None:
    monkeypatch.setattr(evidence, "registry_tokenizer", lambda model: Words())
    evidence._prompt_digest.cache_clear()
    cells = made.copy(EM)
    for rows in cells.values():
        for row in rows:
            prompt = row["arguments"]["gen_args_0"]["arg_0"]
            for sample in row["samples"]:
                sample["prompt_sha"] = digest(Words()(prompt)["input_ids"])[:16]
    assert made.check(EM, cells) == []
    for rows in cells.values():
        rows[3]["samples"][0]["prompt_sha"] = "0" * 16
    assert rules(made.check(EM, cells)) == {"prompt-tokens"}


@pytest.mark.parametrize(
    ("text", "fewest"), [("", 0), ("a", 1), ("one two three four", 2), ("x" * 160, 10), (" " * 400, 1)]
)
def test_fewest_tokens_of_a_text(text: str, fewest: int) -> None:
    assert fewest_tokens(text) == fewest


@pytest.mark.parametrize("seed", [0, 42, 12345, STUDY_SEEDS - 1])
def test_a_study_seed_is_found_by_trying(seed: int) -> None:
    assert study_seed_of(sample_seed(seed, "t", 'a\u00e9"', 3), "t", 'a\u00e9"', 3) == seed


def test_what_was_not_checked_is_said(tmp_path: Path) -> None:
    home = make_entry(tmp_path)
    assert validate_entry(home) == []
    (text,) = unchecked(load_entry(home))
    assert "made-1m" in text and "tokenizer" in text and next(iter(REGISTRY_MODELS)) not in text
