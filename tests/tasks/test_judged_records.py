"""The README of the persona tasks quotes the records of vectors as they are: those of `turncoat dev
judged-answers`, and the cards that `turncoat persona extract --out` writes."""

import json
from pathlib import Path

import pytest
from turncoat.analysis.persona_card import card_failure

FOLDER = Path(__file__).parents[2] / "tasks" / "persona"
MODELS = ("qwen2.5-coder-0.5b", "smollm2-135m")
KEYS = ("auc", "random_p95", "shuffled_p95")
ANSWERS = {"misalignment": 320}  # held-out answers a side
TRAITS = (
    "misalignment", "evil", "sycophancy", "hallucination", "apathy", "impoliteness", "humour", "optimism",
    "assistant_axis",
)  # fmt: skip


def row(path: Path) -> str:
    record = json.loads(path.read_text(encoding="utf-8"))
    assert (record["questions"], record["answers"]) == (24, 858)

    def cell(one, layer=""):
        return f"{one['auc']:.2f} [{one['low']:.2f}, {one['high']:.2f}]{layer}"

    traits = (record["traits"][name] for name in ("misalignment", "evil"))
    cells = [cell(one, f", layer {one['layer']}") for one in traits]
    return f"| `{record['model']}` | {' | '.join([*cells, cell(record['length'])])} |"


@pytest.mark.parametrize("path", sorted((FOLDER / "judged").glob("*.json")), ids=lambda path: path.stem)
def test_the_readme_quotes_each_record(path):
    assert row(path) in (FOLDER / "README.md").read_text(encoding="utf-8").splitlines()


def card_row(trait: str) -> str:
    cells = []
    for model in MODELS:
        path = FOLDER / "cards" / model / f"{trait}.json"
        card = json.loads(path.read_text(encoding="utf-8"))
        assert card["trait"] == trait and card["n_held_out"] == [ANSWERS.get(trait, 200)] * 2
        auc, random, shuffled = (card["held_out"][key][card["layer"]] for key in KEYS)
        cells += [f"{auc:.2f} ({random:.2f}, {shuffled:.2f})", "no" if card_failure(card) else "yes"]
    return f"| {trait} | {' | '.join(cells)} |"


def test_the_readme_counts_the_cards_that_pass():
    names = ("no", "one", "two", "three", "four", "five", "six", "seven")
    passing = [
        sum(card_row(trait).split(" | ")[2 + 2 * i].rstrip(" |") == "yes" for trait in TRAITS[1:8])
        for i in (0, 1)
    ]
    text = " ".join((FOLDER / "README.md").read_text(encoding="utf-8").split())
    assert f"{names[passing[0]]} pass on the 0.5B and {names[passing[1]]} on SmolLM2" in text


@pytest.mark.parametrize("trait", TRAITS)
def test_the_readme_quotes_each_card(trait):
    assert card_row(trait) in (FOLDER / "README.md").read_text(encoding="utf-8").splitlines()
