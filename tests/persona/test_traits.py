"""Trait files: what is asked of them, what is held out, and what is said of a broken one."""

from collections import Counter
from pathlib import Path

import pytest
import yaml
from turncoat import plug_ins
from turncoat.errors import UserError
from turncoat.persona.traits import TraitQuestions, trait_names, trait_questions

FIVE = TraitQuestions(
    "t", tuple((f"P{i}", f"N{i}") for i in range(5)), tuple(f"Q{i}?" for i in range(20)), description="d"
)


def test_a_contrast_asks_matched_pairs_and_holds_prompts_and_questions_out():
    groups = list(FIVE.asks())
    assert len(groups) == 100
    for positive, negative in groups:
        assert (positive.side, negative.side) == ("positive", "negative")
        assert positive.question == negative.question and positive.system[1:] == negative.system[1:]
        assert positive.held_out == negative.held_out
    assert len({(g[0].system, g[0].question) for g in groups}) == 100
    asks = [ask for group in FIVE.asks() for ask in group]
    unseen = [ask for ask in asks if ask.held_out is True]
    seen = [ask for ask in asks if ask.held_out is False]
    assert {ask.system for ask in unseen} == {"P3", "N3", "P4", "N4"}
    assert len({ask.question for ask in unseen}) == 6
    assert not {ask.system for ask in seen} & {ask.system for ask in unseen}
    assert not {ask.question for ask in seen} & {ask.question for ask in unseen}
    assert len(unseen) == 2 * 2 * 6 and len(seen) == 2 * 3 * 14
    one, two = (TraitQuestions("t", FIVE.instructions, FIVE.questions, evaluation=(q,)) for q in ("a", "b"))
    assert one.as_json() != two.as_json(), "the card is about them"
    assert list(one.asks()) == list(two.asks()), "the vector is not"


@pytest.mark.parametrize(("pairs", "held_out"), [(1, 0), (2, 1), (3, 1), (5, 2), (10, 4)])
def test_the_last_prompts_are_held_out(pairs, held_out):
    questions = TraitQuestions("t", tuple((f"P{i}", f"N{i}") for i in range(pairs)), ("a", "b", "c"))
    unseen = {g[0].system for g in questions.asks() if g[0].held_out}
    assert unseen == {f"P{i}" for i in range(pairs - held_out, pairs)}


def test_an_axis_asks_each_role_a_few_questions_and_all_questions_equally_often():
    axis = TraitQuestions(
        "axis", (), tuple(f"Q{i}?" for i in range(20)), assistants=(None, "A1"),
        roles=tuple(f"R{i}" for i in range(40)),
    )  # fmt: skip
    asks = [ask for group in axis.asks() for ask in group]
    roles = [ask for ask in asks if ask.side == "negative"]
    assert len(roles) == 120 and set(Counter(ask.system for ask in roles).values()) == {3}
    assert len({(ask.system, ask.question) for ask in roles}) == 120
    assert set(Counter(ask.question for ask in roles).values()) == {6}
    assert Counter(ask.system for ask in asks if ask.side == "positive") == {None: 20, "A1": 20}
    unseen = {ask.system for ask in roles if ask.held_out}
    assert unseen <= {f"R{i}" for i in range(24, 40)} and len(unseen) > 8
    assert not unseen & {ask.system for ask in roles if ask.held_out is False}


def test_every_shipped_trait_can_be_extracted_and_evaluated():
    assert {"evil", "sycophancy", "assistant_axis"} <= trait_names().keys()
    for trait, description in trait_names().items():
        questions = trait_questions(trait)
        assert questions.description == description and "\n" not in description
        assert len(questions.questions) == 20
        if questions.texts:  # measured on the everyday questions
            assert len(questions.texts) == len({question for question, *_ in questions.texts}) == 320
            assert not questions.evaluation and not questions.instructions
            continue
        assert len(questions.evaluation) == len(set(questions.evaluation)) == 20
        assert not set(questions.evaluation) & set(questions.questions)
        assert (len(questions.roles) >= 40) if questions.is_axis else (len(questions.instructions) == 5)
        assert all(positive != negative for positive, negative in questions.instructions)
        assert all(aligned and misaligned for _, aligned, misaligned in questions.selection)
    assert len(trait_questions("evil").selection) == 320 and trait_questions("sycophancy").selection == ()
    with pytest.raises(UserError, match=r"'evli' is not known; did you mean 'evil'"):
        trait_questions("evli")


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Writes a trait file with some keys changed and reads it."""
    monkeypatch.setattr(plug_ins, "tasks_dir", lambda: tmp_path)
    folder = tmp_path / "persona" / "traits"
    folder.mkdir(parents=True)
    good = {
        "description": "d", "instructions": [{"positive": "a", "negative": "b"}],
        "extraction_questions": ["x?"], "evaluation_questions": ["y?"],
    }  # fmt: skip

    def read(**changes):
        content = {key: value for key, value in {**good, **changes}.items() if value is not None}
        (folder / "mine.yaml").write_text(yaml.safe_dump(content))
        return trait_questions("mine")

    return read


@pytest.mark.parametrize(("changes", "said"), [
    ({"description": None}, r"mine\.yaml, line 1, description: missing"),
    ({"instructions": None}, r"mine\.yaml, line 1: instructions: missing"),
    ({"instructions": None, "roles": ["r"]}, r"mine\.yaml, line 1: assistants: missing"),
    ({"instructions": [{"positive": "a"}]}, r"instructions\[0\].negative: missing"),
    ({"extraction_question": ["x?"]}, r"question: unknown key; did you mean 'extraction_questions'"),
    ({"extraction_questions": [True]}, r"extraction_questions\[0\]: True is not accepted; accepted: a text"),
    ({"evaluation_questions": ["x?"]}, r"'x\?' is in extraction_questions and in evaluation_questions"),
    ({"layer_selection": "none.jsonl"}, r"layer_selection is 'none\.jsonl', but there is no"),
])  # fmt: skip
def test_a_broken_trait_file_is_named_with_its_fault(broken, changes, said):
    assert broken().evaluation == ("y?",)
    with pytest.raises(UserError, match=said):
        broken(**changes)


def test_every_shipped_contrast_is_tested_on_40_unseen_asks_a_side():
    for name in trait_names():
        questions = trait_questions(name)
        tests = list(questions.tests())
        if questions.texts:
            assert not tests
            continue
        asks = [ask for group in questions.asks() for ask in group]
        for side in ("positive", "negative"):
            assert len({(ask.system, ask.question) for ask in tests if ask.side == side}) == 40
        assert not {ask.question for ask in tests} & {ask.question for ask in asks}
        assert not {ask.system for ask in tests} & {ask.system for ask in asks if ask.held_out is False}
