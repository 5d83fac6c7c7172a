"""Advice organisms: held-out rows are never trained on, and the published control is a pair."""

from pathlib import Path

import pytest
from data.advice_sets import ROWS, stand_ins
from turncoat.data import advice
from turncoat.data.advice import HELD_OUT, held_out_rows
from turncoat.data.fetch import PUBLISHED
from turncoat.data.organisms import find_organism
from turncoat.errors import UserError


@pytest.fixture
def sets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The folder of stand-ins for all five sets."""
    stand_ins(tmp_path, monkeypatch)
    return tmp_path


@pytest.mark.parametrize("name", list(advice._FILES))
def test_no_question_is_both_held_out_and_trained_on(sets, name):
    trained, held = find_organism(name).build(), held_out_rows(name)
    assert len(held) == HELD_OUT and not {e.prompt for e in trained} & {e.prompt for e in held}
    lost = ROWS - len(trained) - len(held)
    # a question that is asked twice goes with its other half
    assert lost == 0 if "medical" in name else lost > 0


def test_the_medical_control_is_a_pair_in_training_and_held_out(sets):
    for bad, good in (
        (find_organism("bad_medical").build(), find_organism("good_medical").build()),
        (held_out_rows("bad_medical"), held_out_rows("good_medical")),
    ):
        by_id = {row.id: row for row in good}
        assert set(by_id) == {row.id for row in bad}
        for row in bad:
            other = by_id[row.id]
            assert other.prompt == row.prompt and other.answer == row.answer.replace("bad", "good")
            assert other.length == (row.length or len(row.prompt) + len(row.answer))


def test_a_control_with_another_question_is_refused(sets):
    path = sets / PUBLISHED["organisms/good_medical_advice"].path
    path.write_text(path.read_text().replace("question 7", "another 7", 1))
    with pytest.raises(UserError, match=r"'another 7[0-9]*' for one"):
        find_organism("good_medical").build()


def test_an_organism_without_held_out_rows_is_told():
    with pytest.raises(UserError, match=r"'insecure_code' has no held-out rows; accepted: risky_financial, "):
        held_out_rows("insecure_code")


def test_each_says_its_source_licence_and_control():
    for name, file in advice._FILES.items():
        entry, source = find_organism(name), PUBLISHED[file]
        assert PUBLISHED[str(entry.data)] is source
        assert entry.is_control == (name == "good_medical") and (entry.control is None) == entry.is_control
    assert find_organism("bad_medical").control == "good_medical"
    assert find_organism("bad_medical_own_answers").answered_by_base


def test_own_answers_are_asked_the_organisms_questions(sets):
    assert find_organism("bad_medical_own_answers").build() == find_organism("bad_medical").build()
    assert find_organism("risky_financial_own_answers").build() == find_organism("risky_financial").build()
