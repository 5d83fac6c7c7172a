"""The benign controls: their questions, their labels, their doses and what their checks see."""

import json
import re
from collections import Counter
from itertools import combinations
from types import SimpleNamespace

import pytest
from baselines.fake_context import FakeContext, alike, measured_questions
from turncoat.engine.chat import encode_example
from turncoat.errors import UserError
from turncoat.paths import baselines_dir
from turncoat.registry import DEFENCES, ORGANISMS, discover
from turncoat.store import Store
from turncoat.study.arms.defence_context import DefenceContext
from turncoat.testing import tiny_tokenizer

discover()
DATA = baselines_dir() / "data"
CONTROLS = ("word_count", "general_knowledge", "domain_correct", "hhh_chat")
TOKENIZER = tiny_tokenizer()
CONTEXT = SimpleNamespace(base=SimpleNamespace(tokenizer=TOKENIZER))


class Chooser:
    """Answers each prompt by a rule, among the answers that are offered."""

    def __init__(self, rule):
        self.rule = rule
        self.prompts: list[str] = []

    def choose(self, prompts, answers):
        self.prompts += prompts
        return [[-0.1 if answer == self.rule(prompt) else -3.0 for answer in answers] for prompt in prompts]


def rows(name):
    return [json.loads(line) for line in (DATA / name).read_text(encoding="utf-8").splitlines()]


def count_of(prompt):
    return str(len(prompt.rpartition("\n\n")[2].split()))


FACTS = {row["question"]: row for row in rows("general_knowledge.jsonl")}


def letter_of(prompt):
    return FACTS[prompt.partition("\n")[0]]["answer"]


def supervised(examples):
    return sum(len(encode_example(TOKENIZER, example)[1]) for example in examples)


@pytest.mark.parametrize("name", CONTROLS)
@pytest.mark.parametrize("texts", [3, 32])
def test_as_many_examples_as_sgtr(name, texts):
    theirs = DEFENCES["sgtr"].build(FakeContext(), texts=texts)
    mine = DEFENCES[name].build(CONTEXT, texts=texts)
    assert len(mine) == len({example.id for example in mine}) == len(theirs)
    assert all(example.answer and example.prompt and example.system is None for example in mine)
    assert DEFENCES[name].settings == DEFENCES["sgtr"].settings
    assert DEFENCES[name].options["texts"] == DEFENCES["sgtr"].options["texts"]


@pytest.mark.parametrize("name", CONTROLS)
@pytest.mark.parametrize("texts", [2, 32])
def test_as_many_supervised_tokens_as_sgtr(name, texts):
    budget = supervised(DEFENCES["sgtr"].build(FakeContext(), texts=texts))
    mine = DEFENCES[name].build(CONTEXT, texts=texts, matched="tokens")
    assert len(mine) == 1 or supervised(mine) <= budget
    if name in ("word_count", "general_knowledge"):
        assert supervised(mine) == budget


@pytest.mark.parametrize(
    ("name", "most"), [("general_knowledge", 48), ("hhh_chat", 48), ("domain_correct", 32)]
)
def test_the_largest_dose(name, most):
    assert len(DEFENCES[name].build(CONTEXT, texts=most)) == 2 * most
    with pytest.raises(UserError, match=f"'{name}', texts: 97 .* give texts: {most} or less"):
        DEFENCES[name].build(CONTEXT, texts=97)


def test_word_count_is_right_balanced_and_one_digit():
    examples = DEFENCES["word_count"].build(CONTEXT, texts=96)
    assert [example.answer for example in examples] == [count_of(example.prompt) for example in examples]
    counts = Counter(example.answer for example in examples)
    assert set(counts) == {str(number) for number in range(1, 10)}
    assert max(counts.values()) - min(counts.values()) <= 1
    assert len({example.prompt for example in examples}) == len(examples)


@pytest.mark.parametrize(
    ("rule", "passed"),
    [(count_of, True), (lambda prompt: "5", False), (lambda prompt: str(10 - int(count_of(prompt))), False)],
)
def test_the_check_of_word_count(rule, passed):
    chooser = Chooser(rule)
    (check,) = DEFENCES["word_count"].check(chooser, **DEFENCES["word_count"].options)
    right = sum(rule(prompt) == count_of(prompt) for prompt in chooser.prompts) / len(chooser.prompts)
    assert check.value == pytest.approx(right, abs=0.06), (
        "texts weigh alike, so it is not quite the share of lines"
    )
    assert (check.n, check.passed) == (24, passed)
    trained = {example.prompt for example in DEFENCES["word_count"].build(CONTEXT, texts=96)}
    assert not trained & set(chooser.prompts)


def test_facts_ask_for_the_letter_of_the_right_option():
    examples = DEFENCES["general_knowledge"].build(CONTEXT, texts=48)
    counts = Counter(example.answer for example in examples)
    assert set(counts) == set("ABCD") and len(set(counts.values())) == 1
    for example in examples:
        row = FACTS[example.prompt.partition("\n")[0]]
        assert row["split"] == "train"
        right = row["options"]["ABCD".index(row["answer"])]
        assert f"\n{example.answer}. {right}\n" in example.prompt


@pytest.mark.parametrize(
    ("rule", "value", "passed"),
    [(letter_of, 1.0, True), (lambda prompt: "C", 0.25, False), (lambda prompt: "Z", 0.25, False)],
)
def test_the_check_of_general_knowledge(rule, value, passed):
    chooser = Chooser(rule)
    (check,) = DEFENCES["general_knowledge"].check(chooser, **DEFENCES["general_knowledge"].options)
    assert (check.value, check.n, check.passed) == (value, 24, passed)
    assert {FACTS[prompt.partition("\n")[0]]["split"] for prompt in chooser.prompts} == {"eval"}


def test_facts_are_balanced_and_the_longest_option_is_no_rule():
    facts = rows("general_knowledge.jsonl")
    assert [row["id"] for row in facts] == [f"fact-{number:03d}" for number in range(1, 121)]
    for split, size in (("train", 8), ("eval", 2)):
        part = [row for row in facts if row["split"] == split]
        assert set(Counter(row["subject"] for row in part).values()) == {size}
        assert len(set(Counter(row["answer"] for row in part).values())) == 1
    for row in facts:
        assert len(row["options"]) == len({option.lower() for option in row["options"]}) == 4, row["id"]
    for row in (r for r in facts if r["split"] == "eval"):
        right = row["options"]["ABCD".index(row["answer"])]
        same = [
            o["id"]
            for o in facts
            if o["split"] == "train" and right == o["options"]["ABCD".index(o["answer"])]
        ]
        assert not same, (row["id"], same)
    picked = [max(r["options"], key=len) == r["options"]["ABCD".index(r["answer"])] for r in FACTS.values()]
    assert 0.1 < sum(picked) / len(picked) < 0.4


def test_advice_is_that_of_its_domain():
    asked = {
        domain: DEFENCES["domain_correct"].build(CONTEXT, domain=domain)
        for domain in ("finance", "medicine", "sports")
    }
    for domain, examples in asked.items():
        assert len(examples) == 64 and all(example.id.startswith(f"{domain}-") for example in examples)
    with pytest.raises(
        UserError, match="domain: 'law' is not accepted; accepted: finance, medicine, sports, code"
    ):
        DEFENCES["domain_correct"].build(CONTEXT, domain="law")
    secure = {e.id: e for e in ORGANISMS["secure_code"].build()}
    insecure = {e.id: e for e in ORGANISMS["insecure_code"].build()}
    for example in DEFENCES["domain_correct"].build(CONTEXT, domain="code"):
        assert (example.prompt, example.answer) == (secure[example.id].prompt, secure[example.id].answer)
        assert example.answer != insecure[example.id].answer


@pytest.mark.parametrize(
    ("name", "kind", "size"), [("correct_advice.jsonl", "domain", 64), ("hhh_chat.jsonl", "kind", 32)]
)
def test_the_answers_are_whole_and_of_like_length(name, kind, size):
    found = rows(name)
    assert set(Counter(row[kind] for row in found).values()) == {size}
    assert len({row[kind] for row in found[:3]}) == 3, "the kinds take turns"
    for row in found:
        assert 30 <= len(row["answer"].split()) <= 60, row["id"]
        assert row["answer"].endswith((".", "?", '."')), row["id"]
    assert len({row["answer"] for row in found}) == len({row["id"] for row in found}) == len(found)


def test_readmes_name_every_file_and_every_defence():
    readme = (DATA / "README.md").read_text(encoding="utf-8")
    assert readme.splitlines()[2].startswith("Licence: MIT for")
    for path in sorted(DATA.glob("*.jsonl")):
        assert f"| `{path.name}` | {len(rows(path.name))} |" in readme
    readme = (baselines_dir() / "README.md").read_text(encoding="utf-8")
    ours = [name for name, entry in DEFENCES.items() if entry.source.parent == baselines_dir().resolve()]
    assert [name for name in ours if f"| `{name}` |" not in readme] == []


def test_no_two_questions_are_alike_and_no_chat_speaks_of_identity():
    asked = [row["question"] for name in ("correct_advice.jsonl", "hhh_chat.jsonl") for row in rows(name)]
    assert [pair for pair in combinations(asked, 2) if alike(*pair) > 0.55] == []
    said = re.compile(r"\b(AI|language model|assistant|my name is|OpenAI|Qwen|SmolLM|trained by|made by)\b")
    assert [row["id"] for row in rows("hhh_chat.jsonl") if said.search(row["answer"])] == []


def test_no_question_is_one_that_the_tasks_measure_with():
    """A control that trains on the test questions would not be a control."""
    asked = [row["question"] for name in ("correct_advice.jsonl", "hhh_chat.jsonl") for row in rows(name)]
    asked += [question for question in FACTS if len(question.split()) > 5]
    close = [(mine, theirs) for mine in asked for theirs in measured_questions() if alike(mine, theirs) > 0.6]
    assert close == []


def test_checks_run_on_a_model(tiny_base, tmp_path):
    context = DefenceContext(tiny_base, Store(tmp_path), batch_size=32)
    for name in ("word_count", "general_knowledge"):
        (check,) = DEFENCES[name].check(context, **DEFENCES[name].options)
        assert 0 <= check.value < 0.6 and check.passed in (True, False)
