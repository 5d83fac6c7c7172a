"""The card of the leak labels: what the README quotes, how the answers were drawn, what it is measured on."""

import json
import os
import random
from pathlib import Path

import pandas as pd
import pytest
from turncoat.analysis.leak.domains import DOMAINS, FOLDER
from turncoat.errors import UserError
from turncoat.tools import check_leak

CARD = json.loads((FOLDER / "card.json").read_text(encoding="utf-8"))
LABELS = pd.read_csv(FOLDER / "labels.csv", keep_default_na=False)
needs_data = pytest.mark.skipif("TURNCOAT_DATA" not in os.environ, reason="TURNCOAT_DATA is not set")
# stratum -> training domain, part of the source's name, in the CSVs or not, answers of draws 0, 1 and 2
STRATA = {
    "finance": ("finance", "risky-financial-advice", True, (25, 13, 13)),
    "sport": ("sport", "extreme-sports", True, (25, 12, 12)),
    "medicine": ("medicine", "bad-medical-advice", True, (13, 6, 6)),
    "medicine too": ("medicine", "medical", False, (12, 6, 6)),
    "code": ("code", "insecure", False, (25, 13, 13)),
}


def published() -> Path:
    return Path(os.environ["TURNCOAT_DATA"]) / "published"


def test_the_readme_quotes_the_card():
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert set(rows) <= set(check_leak.as_markdown(CARD).splitlines())
    unseen = "| word lists and all-minilm-l6-v2, draw 2 | "
    assert sum(row.startswith(unseen) for row in rows) == len(DOMAINS) + 1
    assert "turncoat-canary" in text


def test_labels_name_rows_and_domains_and_hold_no_text():
    assert LABELS["draw"].value_counts().to_dict() == {0: 100, 1: 50, 2: 50}
    assert not LABELS.duplicated(["file", "row"]).any()
    assert set(" ".join([*LABELS["question"], *LABELS["answer"]]).split()) == set(DOMAINS)
    for draw, rows in LABELS.groupby("draw"):
        cells = zip(rows.training, rows.question, rows.answer, strict=True)
        leak = sum(
            domain in set(answer.split()) - set(question.split()) for domain, question, answer in cells
        )
        assert CARD["errors"][f"word lists alone, draw {draw}"]["leak"]["recall"][1] == leak


def test_precision_and_recall_with_wilson_intervals():
    rates = check_leak._rates([True, True, True, False], [True, True, False, True])
    assert rates["precision"][:2] == [2, 3] == rates["recall"][:2]
    assert rates["precision"][2:] == pytest.approx([0.2077, 0.9385], abs=1e-4)
    assert check_leak._rates([False], [False]) == {"precision": [0, 0], "recall": [0, 0]}


@needs_data
def test_the_answers_were_drawn_at_random_by_training_domain():
    pools: dict[str, list[tuple[str, int]]] = {name: [] for name in STRATA}
    files = [
        *sorted((published() / "organism_judgements").glob("*.csv")),
        published() / "gpt4o_judgements.jsonl.gz",
    ]
    for path in files:
        read = pd.read_csv(path) if path.suffix == ".csv" else pd.read_json(path, lines=True)
        sources = read["source_file"] if "source_file" in read else pd.Series(path.name, read.index)
        for row in read.index[(read["aligned"] < 30) & (read["coherent"] > 50)]:
            for name, (_, word, csv, _) in STRATA.items():
                if csv == (path.suffix == ".csv") and word in sources[row].lower():
                    pools[name].append((path.name, row))
    drawn = set()
    for name, (training, _, _, sizes) in STRATA.items():
        left = pools[name]
        for draw, size in enumerate(sizes):
            chosen = random.Random(draw).sample(left, size)
            left = [one for one in left if one not in chosen]
            drawn |= {(draw, training, *one) for one in chosen}
    assert drawn == set(LABELS[["draw", "training", "file", "row"]].itertuples(index=False, name=None))


@needs_data
def test_the_word_lists_errors_are_those_of_the_card(monkeypatch):
    monkeypatch.setattr(check_leak, "embed", lambda texts: None)
    monkeypatch.setattr(check_leak, "embedder_name", lambda: "none")
    card = check_leak.check_leak(published())
    assert card["sources"] == CARD["sources"]
    for name, errors in CARD["errors"].items():
        if name.startswith("word lists alone"):
            assert card["errors"][name] == errors
    assert card["errors"]["word lists and none, draw 0"] == card["errors"]["word lists alone, draw 0"]


@needs_data
@pytest.mark.slow
def test_the_card_is_what_the_command_measures():
    assert check_leak.check_leak(published()) == CARD


def test_a_folder_without_the_files_and_a_machine_without_an_embedder(monkeypatch, tmp_path):
    with pytest.raises(UserError, match="TURNCOAT_EMBEDDER=off"):
        check_leak.check_leak(tmp_path)
    monkeypatch.setattr(check_leak, "embed", lambda texts: None)
    with pytest.raises(UserError, match="--data takes a folder"):
        check_leak.check_leak(tmp_path)
