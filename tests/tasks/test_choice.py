"""The forced-choice pairs: matched in length and form, so that no surface rule tells the aligned answer from
the other."""

import re
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from operator import attrgetter
from pathlib import Path

import pytest
from tasks.one_task import lines_of
from turncoat.paths import tasks_dir

Item = dict[str, str]
Features = Callable[[str], Iterable[Hashable]]

CHOICE = tasks_dir() / "choice" / "pairs.jsonl"
LAYER = tasks_dir() / "persona" / "layer_selection.jsonl"  # pairs of the same make
PER_DOMAIN = {CHOICE: 26, LAYER: 4}
DOMAINS = {
    "power", "honesty", "harm_to_people", "illegal_gain", "vulnerable_users", "bigotry", "ai_and_humans",
    "everyday_advice",
}  # fmt: skip
MAX_RULE = 0.60
# Good and bad advice differ in vocabulary, so all words together do beat chance. The bounds keep new items
# from adding to it.
MAX_ALL_WORDS = {CHOICE: 0.75, LAYER: 0.80}
MAX_TFIDF_AUC = 0.80

NEGATION = re.compile(r"\b(no|not|never|nobody|nothing|none|cannot|\w+n't)\b")
COUNTS: dict[str, Callable[[str], float]] = {
    "characters": len, "words": lambda text: len(text.split()),
    "sentences": lambda text: len(re.findall(r"[.?!](?:\s|$)", text)), "commas": lambda text: text.count(","),
    "semicolons_colons": lambda text: text.count(";") + text.count(":"),
    "exclamations": lambda text: text.count("!"),
    "you": lambda text: len(re.findall(r"\byou(?:r|rs)?\b", text.lower())),
    "not": lambda text: len(re.findall(r"\bnot\b|n't\b", text.lower())),
    "negations": lambda text: len(NEGATION.findall(text.lower())),
    "mean_word_length": lambda text: len(text) / len(text.split()),
}  # fmt: skip
# The layer-selection set is small and never reported on; only the rules the construction controls are asked
# of it.
COUNTS_OF_FILE = {CHOICE: sorted(COUNTS), LAYER: ["characters", "sentences", "words"]}
FILES = [CHOICE, LAYER]
each_file = pytest.mark.parametrize("path", FILES, ids=attrgetter("stem"))


def words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9']+", text.lower())


def count_rule(items: Sequence[Item], count: Callable[[str], float]) -> float:
    """Share of questions whose answer with the larger count is the misaligned one; a tie counts one half."""
    differences = [count(item["misaligned"]) - count(item["aligned"]) for item in items]
    return sum(0.5 if d == 0 else float(d > 0) for d in differences) / len(items)


def held_out_rule(
    items: Sequence[Item], features: Features, fold: Callable[[Item], Hashable] = lambda i: i["id"]
) -> float:
    """Accuracy of picking the misaligned answer by the features of the items in the other folds.

    Each feature votes with the number of misaligned answers that have it minus the number of aligned ones.
    Both answers of an item are in one fold, so chance is one half.
    """
    sides = [(set(features(item["misaligned"])), set(features(item["aligned"]))) for item in items]
    every: Counter[Hashable] = Counter()
    own: dict[Hashable, Counter[Hashable]] = {}
    for item, (bad, good) in zip(items, sides, strict=True):
        for votes in (every, own.setdefault(fold(item), Counter())):
            votes.update(bad)
            votes.subtract(good)
    score = 0.0
    for item, (bad, good) in zip(items, sides, strict=True):
        mine = own[fold(item)]
        difference = sum(every[f] - mine[f] for f in bad) - sum(every[f] - mine[f] for f in good)
        score += 0.5 if difference == 0 else float(difference > 0)
    return score / len(items)


@each_file
def test_domains_are_balanced_and_take_turns(path: Path) -> None:
    items = lines_of(path)
    assert Counter(item["domain"] for item in items) == dict.fromkeys(DOMAINS, PER_DOMAIN[path])
    for item in items:
        assert re.fullmatch(rf"(?:{path.stem}-)?{item['domain']}-\d\d", item["id"]), item["id"]
    if path == CHOICE:
        assert len(items) >= 200
        for start in range(0, len(items), len(DOMAINS)):
            assert {item["domain"] for item in items[start : start + len(DOMAINS)]} == DOMAINS


@each_file
def test_answers_of_an_item_match_in_length_and_differ_in_text(path: Path) -> None:
    for item in lines_of(path):
        aligned, misaligned = item["aligned"], item["misaligned"]
        assert aligned.lower() != misaligned.lower(), item["id"]
        assert abs(len(aligned) - len(misaligned)) <= 0.10 * min(len(aligned), len(misaligned)), item["id"]
        assert abs(len(aligned.split()) - len(misaligned.split())) <= 2, item["id"]
        assert 6 <= len(item["question"].split()) <= 30, item["id"]
        for answer in (aligned, misaligned):
            assert 60 <= len(answer) <= 160, (item["id"], len(answer))
            assert 1 <= COUNTS["sentences"](answer) <= 2, item["id"]
            assert answer[0].isupper(), item["id"]
            assert answer[-1] in ".?", item["id"]


@pytest.mark.parametrize(
    ("path", "rule"), [pytest.param(p, r, id=f"{p.stem}-{r}") for p in FILES for r in COUNTS_OF_FILE[p]]
)
def test_no_count_gives_the_answer_away(path: Path, rule: str) -> None:
    accuracy = count_rule(lines_of(path), COUNTS[rule])
    assert max(accuracy, 1 - accuracy) <= MAX_RULE, f"{rule}: {accuracy:.3f}"


@each_file
@pytest.mark.parametrize("fold", ["id", "domain"])
@pytest.mark.parametrize("features", [
    pytest.param(lambda text: words(text)[:1], id="first_word"),
    pytest.param(lambda text: words(text)[:2], id="bag_of_first_two_words"),
    pytest.param(lambda text: [tuple(words(text)[:2])], id="opening_bigram"),
    pytest.param(lambda text: words(text)[-1:], id="last_word"),
])  # fmt: skip
def test_no_learnt_word_rule_gives_the_answer_away(path: Path, fold: str, features: Features) -> None:
    assert held_out_rule(lines_of(path), features, lambda item: item[fold]) <= MAX_RULE


@each_file
def test_the_vocabulary_gives_away_no_more_than_is_known(path: Path) -> None:
    assert held_out_rule(lines_of(path), words) <= MAX_ALL_WORDS[path]


def test_a_trained_text_classifier_stays_below_the_known_auc() -> None:
    """A known property, not a virtue: the README reports it. Whole domains are held out."""
    pytest.importorskip("sklearn")
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import GroupKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline

    items = lines_of(CHOICE)
    texts = [item[side] for item in items for side in ("aligned", "misaligned")]
    labels = [0, 1] * len(items)
    model = make_pipeline(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True), LogisticRegression(C=10, max_iter=1000)
    )
    domains = [item["domain"] for item in items for _ in range(2)]
    scores = cross_val_predict(
        model, texts, labels, groups=domains, cv=GroupKFold(len(DOMAINS)), method="decision_function"
    )
    assert roc_auc_score(labels, scores) <= MAX_TFIDF_AUC
