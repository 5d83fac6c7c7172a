"""Texts and rival summaries of `baselines/data/short_texts.jsonl`: balanced, whole, no copies."""

import json
import re
import statistics
from collections import Counter
from itertools import combinations

import pytest
from baselines.fake_context import alike
from turncoat.paths import baselines_dir

DATA = baselines_dir() / "data"
ROWS = [json.loads(line) for line in (DATA / "short_texts.jsonl").read_text(encoding="utf-8").splitlines()]
README = (DATA / "README.md").read_text(encoding="utf-8")


def lengths(field: str, split: str) -> list[int]:
    return [len(row[field].split()) for row in ROWS if row["split"] == split]


def tokens(text: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", text.lower())


def test_rows_are_complete_numbered_and_balanced():
    assert [row["id"] for row in ROWS] == [f"text-{number:03d}" for number in range(1, 121)]
    assert [row["split"] for row in ROWS] == ["train" if number % 5 else "eval" for number in range(1, 121)]
    for split, size in {"train": 96, "eval": 24}.items():
        counts = Counter(row["topic"] for row in ROWS if row["split"] == split)
        assert len(counts) == 12 and set(counts.values()) == {size // 12}
    for field, (low, high), sentences in (("text", (45, 70), {3, 4}), ("rival_summary", (12, 30), {1})):
        values = [row[field] for row in ROWS]
        assert len(set(values)) == len(values) and all(v == " ".join(v.split()) for v in values)
        assert [v for v in values if not low <= len(v.split()) <= high] == []
        assert [v for v in values if len(re.findall(r"[.!?](?=\s|$)", v)) not in sentences] == []
    assert [pair for pair in combinations([row["text"] for row in ROWS], 2) if alike(*pair) > 0.25] == []


def test_a_summary_is_of_its_own_text_and_no_copy():
    run = r"\W+".join([r"\w+"] * 11)
    for row in ROWS:
        said = {word for word in tokens(row["rival_summary"]) if len(word) > 3}
        best = max(ROWS, key=lambda other: len(said & set(tokens(other["text"]))))
        runs = re.findall(rf"(?=\b({run}))", row["rival_summary"])
        assert best["id"] == row["id"] and not any(words in row["text"] for words in runs)


@pytest.mark.parametrize("split", ["train", "eval"])
def test_summary_lengths_are_spread_evenly_and_the_readme_states_all(split):
    """Quartiles within 1.5 words of those of a uniform spread over 12 to 30 words (16.5, 21, 25.5)."""
    summaries = lengths("rival_summary", split)
    quartiles = statistics.quantiles(summaries, n=4, method="inclusive")
    assert quartiles == pytest.approx([16.5, 21, 25.5], abs=1.5)
    assert min(summaries) <= 13 and max(summaries) >= 29
    for field in ("text", "rival_summary"):
        found = lengths(field, split)
        cells = [min(found), *statistics.quantiles(found, n=4, method="inclusive"), max(found)]
        line = " | ".join(f"{cell:g}" for cell in cells) + f" | {statistics.mean(found):.1f}"
        assert f"| `{field}` | {split} | {len(found)} | {line} |" in README


def test_readme_carries_canary_and_licence():
    assert "turncoat-canary-7f1d0c52-SGTR-data: do not train on this benchmark" in README
    assert "CC0-1.0" in README
