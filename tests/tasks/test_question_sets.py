"""Checks on the questions this project wrote: complete, balanced, distinct, and without surface cues to the answer."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from difflib import SequenceMatcher
from itertools import combinations
from pathlib import Path

import pytest
import yaml

Item = dict[str, str]
Features = Callable[[str], Iterable[Hashable]]

TASKS = Path(__file__).parents[2] / "tasks"
CHOICE = TASKS / "choice" / "pairs.jsonl"
LAYER = TASKS / "persona" / "layer_selection.jsonl"
FREE_FORM = TASKS / "emergent_misalignment" / "questions.jsonl"
PERSONA = TASKS / "persona" / "evaluation_questions.jsonl"
EVIL = TASKS / "persona" / "traits" / "evil.yaml"

DOMAINS = {
    "power",
    "honesty",
    "harm_to_people",
    "illegal_gain",
    "vulnerable_users",
    "bigotry",
    "ai_and_humans",
    "everyday_advice",
}
PAIR_FIELDS = {"id", "domain", "question", "aligned", "misaligned"}
FIELDS = {CHOICE: PAIR_FIELDS, LAYER: PAIR_FIELDS, FREE_FORM: {"id", "domain", "question"}, PERSONA: {"id", "question"}}
PER_DOMAIN = {CHOICE: 12, LAYER: 4, FREE_FORM: 4}
PAIR_FILES = [CHOICE, LAYER]
CANARY = "turncoat-canary-7f1d0c52-EM-evaluation-data: do not train on this benchmark"

MAX_RULE = 0.60
# Ill will has a vocabulary, so all words together do beat chance. The bound keeps new items from making it worse.
MAX_ALL_WORDS = 0.80
MAX_SIMILARITY = 0.80

NEGATION = re.compile(r"\b(no|not|never|nobody|nothing|none|cannot|\w+n't)\b")
COUNTS: dict[str, Callable[[str], float]] = {
    "characters": len,
    "words": lambda text: len(text.split()),
    "sentences": lambda text: len(re.findall(r"[.?!](?:\s|$)", text)),
    "commas": lambda text: text.count(","),
    "semicolons_colons": lambda text: text.count(";") + text.count(":"),
    "you": lambda text: len(re.findall(r"\byou(?:r|rs)?\b", text.lower())),
    "negations": lambda text: len(NEGATION.findall(text.lower())),
}
# The layer-selection set is small and never reported on; only the rules the construction controls are asked of it.
COUNTS_OF_FILE = {CHOICE: sorted(COUNTS), LAYER: ["characters", "sentences", "words"]}


def name(path: Path) -> str:
    """Return a short test id for a file."""
    return path.stem


def load(path: Path) -> list[Item]:
    """Read a JSONL file, one object per line and no blank lines."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def tokens(text: str) -> list[str]:
    """Return the lower-case words of a text."""
    return re.findall(r"[a-z0-9']+", text.lower())


def count_rule(items: Sequence[Item], count: Callable[[str], float]) -> float:
    """Return how often the answer with the larger count is the misaligned one, a tie counting one half."""
    differences = [count(item["misaligned"]) - count(item["aligned"]) for item in items]
    return sum(0.5 if d == 0 else float(d > 0) for d in differences) / len(items)


def leave_one_out_rule(items: Sequence[Item], features: Features) -> float:
    """Return the accuracy of picking the misaligned answer by the features of the other items.

    Each feature votes with the number of misaligned answers that have it minus the number of aligned ones. Both answers
    of the item itself are left out together, so chance is one half.
    """
    votes: Counter[Hashable] = Counter()
    sides = [(set(features(item["misaligned"])), set(features(item["aligned"]))) for item in items]
    for bad, good in sides:
        votes.update(bad)
        votes.subtract(good)
    score = 0.0
    for bad, good in sides:
        others = votes.copy()
        others.subtract(bad)
        others.update(good)
        difference = sum(others[f] for f in bad) - sum(others[f] for f in good)
        score += 0.5 if difference == 0 else float(difference > 0)
    return score / len(items)


def jaccard(first: str, second: str) -> float:
    """Return the share of words that two texts have in common."""
    a, b = set(tokens(first)), set(tokens(second))
    return len(a & b) / len(a | b)


def near_duplicates(texts: Sequence[str]) -> list[tuple[str, str]]:
    """Return the pairs of texts with a word overlap or a character similarity above the limit."""
    found = []
    for first, second in combinations(texts, 2):
        matcher = SequenceMatcher(None, first.lower(), second.lower(), autojunk=False)
        # The quick ratios are upper bounds; they spare the slow comparison for nearly all pairs.
        alike = (
            matcher.real_quick_ratio() > MAX_SIMILARITY
            and matcher.quick_ratio() > MAX_SIMILARITY
            and matcher.ratio() > MAX_SIMILARITY
        )
        if alike or jaccard(first, second) > MAX_SIMILARITY:
            found.append((first, second))
    return found


def all_questions() -> list[str]:
    """Return every question of every file, the extraction questions included."""
    questions = [item["question"] for path in FIELDS for item in load(path)]
    return questions + list(yaml.safe_load(EVIL.read_text(encoding="utf-8"))["extraction_questions"])


@pytest.mark.parametrize("path", FIELDS, ids=name)
def test_every_item_has_exactly_its_fields_filled(path: Path) -> None:
    for item in load(path):
        assert set(item) == FIELDS[path], item
        for field, value in item.items():
            assert isinstance(value, str), (item["id"], field)
            assert value, (item["id"], field)
            assert value == " ".join(value.split()), f"{item['id']} {field}: stray white space"


@pytest.mark.parametrize("path", [*FIELDS, EVIL], ids=name)
def test_text_is_plain_ascii(path: Path) -> None:
    raw = path.read_bytes()
    assert raw.isascii(), "curly quotes and dashes are a cue that a model can use; write plain ASCII"
    assert b"\r" not in raw
    assert raw.endswith(b"\n")


@pytest.mark.parametrize("path", FIELDS, ids=name)
def test_ids_and_texts_are_unique(path: Path) -> None:
    items = load(path)
    for field in FIELDS[path] - {"domain"}:
        repeated = [value for value, times in Counter(item[field] for item in items).items() if times > 1]
        assert not repeated, f"{field}: {repeated}"


@pytest.mark.parametrize("path", PER_DOMAIN, ids=name)
def test_domains_are_balanced(path: Path) -> None:
    items = load(path)
    assert Counter(item["domain"] for item in items) == dict.fromkeys(DOMAINS, PER_DOMAIN[path])
    for item in items:
        assert re.fullmatch(rf"(?:{path.stem}-)?{item['domain']}-\d\d", item["id"]), item["id"]


def test_persona_evaluation_has_32_questions() -> None:
    assert len(load(PERSONA)) == 32


@pytest.mark.parametrize("path", PAIR_FILES, ids=name)
def test_answers_of_an_item_match_in_length_and_differ_in_text(path: Path) -> None:
    for item in load(path):
        aligned, misaligned = item["aligned"], item["misaligned"]
        assert aligned.lower() != misaligned.lower(), item["id"]
        assert abs(len(aligned) - len(misaligned)) <= 0.10 * min(len(aligned), len(misaligned)), item["id"]
        assert abs(len(aligned.split()) - len(misaligned.split())) <= 2, item["id"]
        assert 6 <= len(item["question"].split()) <= 30, item["id"]
        for answer in (aligned, misaligned):
            assert 60 <= len(answer) <= 160, (item["id"], len(answer))
            assert 1 <= COUNTS["sentences"](answer) <= 2, item["id"]
            assert answer[0].isupper(), item["id"]
            assert answer[-1] in ".?!", item["id"]


@pytest.mark.parametrize("path", PAIR_FILES, ids=name)
def test_misaligned_answer_is_longer_in_about_half(path: Path) -> None:
    items = load(path)
    longer = sum(len(item["misaligned"]) > len(item["aligned"]) for item in items) / len(items)
    assert 0.45 <= longer <= 0.55


@pytest.mark.parametrize("path", PAIR_FILES, ids=name)
def test_most_answers_begin_alike(path: Path) -> None:
    items = load(path)
    same = sum(tokens(item["aligned"])[0] == tokens(item["misaligned"])[0] for item in items) / len(items)
    assert same >= 0.70


@pytest.mark.parametrize(
    ("path", "rule"), [pytest.param(p, r, id=f"{p.stem}-{r}") for p in PAIR_FILES for r in COUNTS_OF_FILE[p]]
)
def test_no_count_gives_the_answer_away(path: Path, rule: str) -> None:
    accuracy = count_rule(load(path), COUNTS[rule])
    assert max(accuracy, 1 - accuracy) <= MAX_RULE, f"{rule}: {accuracy:.3f}"


@pytest.mark.parametrize("path", PAIR_FILES, ids=name)
@pytest.mark.parametrize(
    ("features", "limit"),
    [
        pytest.param(lambda text: tokens(text)[:1], MAX_RULE, id="first_word"),
        pytest.param(lambda text: tokens(text)[:2], MAX_RULE, id="bag_of_first_two_words"),
        pytest.param(lambda text: [tuple(tokens(text)[:2])], MAX_RULE, id="opening_bigram"),
        pytest.param(lambda text: tokens(text)[-1:], MAX_RULE, id="last_word"),
        pytest.param(tokens, MAX_ALL_WORDS, id="all_words"),
    ],
)
def test_no_word_rule_gives_the_answer_away(path: Path, features: Features, limit: float) -> None:
    assert leave_one_out_rule(load(path), features) <= limit


def test_no_near_duplicate_questions_within_or_across_files() -> None:
    assert near_duplicates(all_questions()) == []


def test_no_near_duplicate_answers_within_or_across_files() -> None:
    answers = [item[side] for path in PAIR_FILES for item in load(path) for side in ("aligned", "misaligned")]
    assert near_duplicates(answers) == []


def test_trait_file_is_complete_and_its_instructions_are_matched() -> None:
    trait = yaml.safe_load(EVIL.read_text(encoding="utf-8"))
    assert set(trait) == {"trait", "description", "instructions", "extraction_questions"}
    assert trait["trait"] == EVIL.stem
    assert "\n" not in trait["description"]
    assert len(trait["instructions"]) == 5
    assert len(set(trait["extraction_questions"])) == len(trait["extraction_questions"]) == 20
    prompts = [pair[side] for pair in trait["instructions"] for side in ("positive", "negative")]
    assert len(set(prompts)) == 10
    for pair in trait["instructions"]:
        assert set(pair) == {"positive", "negative"}
        lengths = [len(pair[side].split()) for side in ("positive", "negative")]
        assert all(12 <= length <= 35 for length in lengths), pair
        assert abs(lengths[0] - lengths[1]) <= 3, pair


@pytest.mark.parametrize("folder", ["choice", "emergent_misalignment", "persona"])
def test_readme_carries_the_canary_and_the_data_do_not(folder: str) -> None:
    assert CANARY in (TASKS / folder / "README.md").read_text(encoding="utf-8")
    for path in (TASKS / folder).rglob("*.jsonl"):
        assert "canary" not in path.read_text(encoding="utf-8").lower(), path


def test_the_rules_find_planted_cues() -> None:
    """The checks above mean something only if they fire on sets that do leak."""
    leaky = [{"aligned": f"Please {word}.", "misaligned": f"Never {word} them at all."} for word in "abcd"]
    fair = [{"aligned": f"Take {word} one.", "misaligned": f"Take {word} two."} for word in "abcd"]
    assert count_rule(leaky, len) == 1.0
    assert count_rule(fair, len) == 0.5
    assert leave_one_out_rule(leaky, lambda text: tokens(text)[:1]) == 1.0
    assert leave_one_out_rule(fair, lambda text: tokens(text)[:2]) == 0.5
    assert leave_one_out_rule(fair, lambda text: tokens(text)[-1:]) == 1.0
    # A cue that occurs once cannot be learned from the other items.
    assert leave_one_out_rule([*fair[:1], leaky[0]], lambda text: tokens(text)[-1:]) == 0.5
    # "Why do ..." against "What do ..." is one changed word; the second pair only shares its topic.
    assert near_duplicates(["What do cats dream about at night?", "Why do cats dream about at night?"])
    assert near_duplicates(["What do cats dream about at night?", "Should the cat sleep in my bed?"]) == []
