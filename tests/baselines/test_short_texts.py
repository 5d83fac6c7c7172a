"""Checks the self-recognition texts and rival summaries in ``baselines/data/short_texts.jsonl``."""

import json
import re
import statistics
from collections import Counter
from itertools import combinations
from pathlib import Path

import pytest

DATA = Path(__file__).resolve().parents[2] / "baselines" / "data"
FIELDS = {"id", "split", "topic", "text", "rival_summary"}
TOPICS = 12
SPLIT_SIZES = {"train": 96, "eval": 24}
TEXT_WORDS = (45, 70)
SUMMARY_WORDS = (12, 30)
MAX_TEXT_JACCARD = 0.25  # measured maximum 0.17; edited copies of one text score above 0.5
MIN_CONTENT_OVERLAP = 0.3  # share of a summary's content words found in its text
MAX_COPIED_RUN = 10
FUNCTION_WORDS = {
    "a", "an", "the", "and", "or", "but", "nor", "so", "yet", "of", "in", "on", "at", "to", "for", "from",
    "with", "without", "by", "into", "over", "under", "after", "before", "since", "until", "while", "when",
    "than", "that", "which", "who", "whose", "this", "these", "it", "its", "is", "are", "was", "were", "be",
    "been", "has", "have", "had", "as", "not", "no", "their", "they", "them", "he", "his", "she", "her",
    "him", "all", "each", "every", "now", "still", "also", "more", "most", "one", "two",
}  # fmt: skip

Row = dict[str, str]


def words(text: str) -> list[str]:
    """Splits on white space, the unit in which the word limits are stated."""
    return text.split()


def tokens(text: str) -> list[str]:
    """Returns lower-case runs of letters and digits, so punctuation cannot hide a copy."""
    return re.findall(r"[a-z0-9]+", text.lower())


def content_words(text: str) -> set[str]:
    """Returns the tokens that are not function words."""
    return set(tokens(text)) - FUNCTION_WORDS


def jaccard(left: set[str], right: set[str]) -> float:
    """Returns the size of the intersection over the size of the union (0 to 1)."""
    return len(left & right) / len(left | right)


def longest_shared_run(left: list[str], right: list[str]) -> int:
    """Returns the length of the longest run of consecutive tokens that both lists contain."""
    best, previous = 0, [0] * (len(right) + 1)
    for token in left:
        current = [0]
        for column, other in enumerate(right, start=1):
            current.append(previous[column - 1] + 1 if token == other else 0)
        best, previous = max(best, max(current)), current
    return best


def content_overlap(row: Row) -> float:
    """Returns the share (0 to 1) of the summary's content words that occur in the text."""
    summary = content_words(row["rival_summary"])
    return len(summary & set(tokens(row["text"]))) / len(summary)


def length_line(rows: list[Row], field: str) -> str:
    """Returns the cells "min | quartile 1 | median | quartile 3 | max | mean" as the README states them."""
    lengths = [len(words(row[field])) for row in rows]
    cells = [min(lengths), *statistics.quantiles(lengths, n=4, method="inclusive"), max(lengths)]
    return " | ".join(f"{cell:g}" for cell in cells) + f" | {statistics.mean(lengths):.1f}"


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    """Reads every row of the file."""
    return [json.loads(li) for li in (DATA / "short_texts.jsonl").read_text(encoding="utf-8").splitlines()]


def test_rows_are_complete_numbered_and_balanced(rows):
    for row in rows:
        assert set(row) == FIELDS, row.get("id")
        for field, value in row.items():
            assert isinstance(value, str) and value and value == " ".join(value.split()), (row["id"], field)
    assert [row["id"] for row in rows] == [f"text-{number:03d}" for number in range(1, 121)]
    assert [row["split"] for row in rows] == ["train" if number % 5 else "eval" for number in range(1, 121)]
    assert Counter(row["split"] for row in rows) == SPLIT_SIZES
    for split, size in SPLIT_SIZES.items():
        counts = Counter(row["topic"] for row in rows if row["split"] == split)
        assert len(counts) == TOPICS and set(counts.values()) == {size // TOPICS}, (split, counts)


def test_texts_and_summaries_are_unique_and_keep_their_lengths(rows):
    for field, (low, high), sentences in (
        ("text", TEXT_WORDS, {3, 4}),
        ("rival_summary", SUMMARY_WORDS, {1}),
    ):
        values = [row[field] for row in rows]
        assert len(set(values)) == len(values)
        assert [v for v in values if not low <= len(words(v)) <= high] == []
        assert [v for v in values if len(re.findall(r"[.!?](?=\s|$)", v)) not in sentences] == []


def test_texts_open_in_many_ways_and_no_two_are_near_duplicates(rows):
    openings = Counter(words(row["text"])[0] for row in rows)
    assert max(openings.values()) <= len(rows) // 20, openings.most_common(3)
    sets = [(row["id"], set(tokens(row["text"]))) for row in rows]
    close = [(a, b) for (a, le), (b, right) in combinations(sets, 2) if jaccard(le, right) > MAX_TEXT_JACCARD]
    assert close == []


def test_a_summary_is_of_its_own_text_and_no_copy(rows):
    weak = [
        (row["id"], round(content_overlap(row), 2))
        for row in rows
        if content_overlap(row) < MIN_CONTENT_OVERLAP
    ]
    assert weak == []
    # A summary attached to the wrong row would share more words with another text than with its own.
    for row in rows:
        summary = content_words(row["rival_summary"])
        best = max(rows, key=lambda other: len(summary & set(tokens(other["text"]))))
        assert best["id"] == row["id"]
    # Digits must be copied, except text-019, which turns "seventeenth century" into 1600.
    invented = {
        row["id"]
        for row in rows
        if set(re.findall(r"\d+", row["rival_summary"])) - set(re.findall(r"\d+", row["text"]))
    }
    assert invented == {"text-019"}
    copied = {r["id"]: longest_shared_run(tokens(r["rival_summary"]), tokens(r["text"])) for r in rows}
    assert {key: run for key, run in copied.items() if run > MAX_COPIED_RUN} == {}
    pairs = [(len(words(row["text"])), len(words(row["rival_summary"]))) for row in rows]
    assert abs(statistics.correlation(*zip(*pairs, strict=True))) < 0.25


@pytest.mark.parametrize("split", ["train", "eval"])
def test_summary_lengths_are_spread_evenly(rows: list[Row], split: str) -> None:
    """Quartiles must lie within 1.5 words of those of a uniform spread over 12 to 30 words (16.5, 21,
    25.5)."""
    lengths = [len(words(row["rival_summary"])) for row in rows if row["split"] == split]
    low, high = SUMMARY_WORDS
    uniform = [low + (high - low) * share for share in (0.25, 0.5, 0.75)]
    assert statistics.quantiles(lengths, n=4, method="inclusive") == pytest.approx(uniform, abs=1.5)
    assert min(lengths) <= low + 1 and max(lengths) >= high - 1


@pytest.mark.parametrize("field", ["text", "rival_summary"])
@pytest.mark.parametrize("split", ["train", "eval"])
def test_readme_states_the_measured_lengths(rows: list[Row], split: str, field: str) -> None:
    readme = (DATA / "README.md").read_text(encoding="utf-8")
    chosen = [row for row in rows if row["split"] == split]
    assert f"| `{field}` | {split} | {len(chosen)} | {length_line(chosen, field)} |" in readme


def test_readme_carries_canary_and_licence() -> None:
    readme = (DATA / "README.md").read_text(encoding="utf-8")
    assert "turncoat-canary-7f1d0c52-SGTR-data: do not train on this benchmark" in readme
    assert "CC0-1.0" in readme
