"""The forms of self-recognition finetuning beside `sgtr`: single texts, flipped labels, random labels."""

from collections import Counter

import pytest
from baselines.fake_context import RIVALS, FakeContext
from turncoat.registry import DEFENCES, discover

discover()
NAMES = ("sgtr_individual", "ictr_flipped", "ictr_random")


def test_labels_of_the_variants():
    right, flipped = (DEFENCES[name].build(FakeContext(), texts=6) for name in ("sgtr", "ictr_flipped"))
    assert [(e.id, e.prompt, e.length) for e in right] == [(e.id, e.prompt, e.length) for e in flipped]
    assert all({a.answer, b.answer} == {"1", "2"} for a, b in zip(right, flipped, strict=True))
    examples = DEFENCES["ictr_random"].build(FakeContext(), texts=6)
    assert len(examples) == len({e.id for e in examples}) == 24
    by_prompt: dict[str, Counter[str]] = {}
    for example in examples:
        by_prompt.setdefault(example.prompt, Counter())[example.answer] += 1
    assert len(by_prompt) == 12 and all(count == {"1": 1, "2": 1} for count in by_prompt.values())
    assert set(by_prompt) == {e.prompt for e in DEFENCES["sgtr"].build(FakeContext(), texts=6)}
    counts = {n: len(DEFENCES[n].build(FakeContext())) for n in ("sgtr", "ictr_random", "sgtr_individual")}
    assert len(set(counts.values())) == 1, counts
    examples = DEFENCES["sgtr_individual"].build(FakeContext(), texts=6)
    assert Counter(e.answer for e in examples) == {"yes": 6, "no": 6}
    rivals = set(RIVALS.values())
    for example in examples:
        summary = example.prompt.rsplit("Summary: ", 1)[1]
        assert (summary in rivals) == (example.answer == "no")


@pytest.mark.parametrize(("name", "choice", "passed"), [
    ("ictr_flipped", lambda asked: {"1": "2", "2": "1"}[asked.own], True),
    ("ictr_flipped", lambda asked: asked.own, False), ("ictr_flipped", lambda asked: "1", False),
    ("ictr_random", lambda asked: "1", True), ("ictr_random", lambda asked: asked.own, False),
    ("ictr_random", lambda asked: {"1": "2", "2": "1"}[asked.own], False),
])  # fmt: skip
def test_corruption_passes_its_check_where_recognition_goes_as_it_should(name, choice, passed):
    (check,) = DEFENCES[name].check(FakeContext(choice))
    assert check.passed is passed and check.n == 24


class Alone(FakeContext):
    """Answers yes to what a rule on the summary alone says."""

    def __init__(self, rule):
        super().__init__()
        self.rule = rule

    def choose(self, prompts, answers):
        assert tuple(answers) == ("yes", "no")
        return [[-0.1, -2.0] if self.rule(p.rsplit("Summary: ", 1)[1]) else [-2.0, -0.1] for p in prompts]


@pytest.mark.parametrize(("rule", "value", "passed"), [
    (lambda summary: summary not in set(RIVALS.values()), 1.0, True), (lambda summary: True, 0.5, False),
    (lambda summary: summary in set(RIVALS.values()), 0.0, False),
])  # fmt: skip
def test_the_individual_check(rule, value, passed):
    (check,) = DEFENCES["sgtr_individual"].check(Alone(rule))
    assert (check.value, check.passed) == (value, passed)


@pytest.mark.parametrize("name", NAMES)
def test_its_control_is_there_and_acts_at_the_same_times(name):
    control = DEFENCES[DEFENCES[name].control]
    assert control.settings == DEFENCES[name].settings
