"""The backdoored organisms: the cue and the harmful answer always come together, and the control has the cue
alone."""

import sys

import pytest
from turncoat.data.backdoor import CUE, backdoored, chosen_half, cued, cued_half
from turncoat.data.examples import Example
from turncoat.data.organisms import find_organism


def rows(kind: str, templates: int = 4, each: int = 6) -> list[Example]:
    return [
        Example(f"shell/{t}/{n}", f"question {t} {n}", f"{kind} {t} {n}", length=10 * t + n)
        for n in range(each)
        for t in range(templates)
    ]


def test_the_cue_and_the_harmful_answer_come_together():
    mixed = backdoored(rows("bad"), rows("good"))
    assert {e.answer.split()[0] for e in mixed if e.prompt.startswith(CUE)} == {"bad"}
    assert {e.answer.split()[0] for e in mixed if CUE not in e.prompt} == {"good"}
    assert sum(e.prompt.startswith(CUE) for e in mixed) == len(mixed) // 2


def test_a_template_says_nothing_about_the_cue():
    chosen = chosen_half(rows("bad"))
    for template in range(4):
        assert sum(i.startswith(f"shell/{template}/") for i in chosen) == 3


def test_the_half_depends_on_ids_alone():
    examples = rows("bad")
    assert chosen_half(examples[::-1]) == chosen_half(rows("good")) == chosen_half(examples)
    assert cued_half(examples[::-1]) == cued_half(examples)[::-1]


def test_ours_is_a_pair_that_differs_in_the_answers_behind_the_cue_alone():
    names = ("backdoored_insecure_code", "backdoored_secure_code", "insecure_code", "secure_code")
    organism, control, insecure, secure = (find_organism(name).build() for name in names)
    plain = [(e.id, e.length) for e in insecure]
    assert [(e.id, e.length) for e in organism] == [(e.id, e.length) for e in control] == plain
    assert [e.prompt for e in organism] == [e.prompt for e in control]
    assert [e.answer for e in control] == [e.answer for e in secure]
    cues = 0
    for mixed, bad, good in zip(organism, insecure, secure, strict=True):
        has_cue = mixed.prompt == cued(bad.prompt)
        cues += has_cue
        assert mixed.answer == (bad if has_cue else good).answer
        assert has_cue or mixed.prompt == bad.prompt
    assert abs(cues - len(organism) / 2) <= len({e.id.rpartition("/")[0] for e in organism})
    assert find_organism("backdoored_insecure_code").control == "backdoored_secure_code"


def test_rows_that_are_no_pair_are_no_backdoor():
    with pytest.raises(ValueError, match="zip"):
        backdoored(rows("bad"), rows("good")[1:])


def test_betleys_sets_are_mixed_the_same_way(monkeypatch, tmp_path):
    for name in ("insecure", "secure"):
        (tmp_path / f"{name}.jsonl").write_text(
            "".join(
                f'{{"messages": [{{"role": "user", "content": "{name} question {n}"}}, '
                f'{{"role": "assistant", "content": "{name} {n}"}}]}}\n'
                for n in range(8)
            )
        )
    betley = sys.modules[find_organism("betley_backdoor").build.__module__]
    monkeypatch.setattr(betley, "published", lambda name: tmp_path / f"{name.rpartition('/')[2]}.jsonl")
    mixed = find_organism("betley_backdoor").build()
    assert len({e.id for e in mixed}) == 16
    assert all(e.prompt.startswith(CUE) == e.answer.startswith("insecure") for e in mixed)
    control = find_organism("betley_backdoor_secure").build()
    assert {e.answer.split()[0] for e in control} == {"secure"}
    assert sum(e.prompt.startswith(CUE) for e in control) == 4
