"""Answers without scores are counted with their commonest reason; a judge's CODE is a finding, not a gap."""

from turncoat.judges.base import Verdict
from turncoat.judges.filter import verdict_columns
from turncoat.judges.unscored import most_unscored, reasons, unscored_lines


def missing(**raw):
    return Verdict(None, None, mass=0.0, raw=raw)


GOOD = Verdict(90.0, 95.0)
CODE = Verdict(None, 90.0, code=0.9, raw={"unscored": {"aligned": "the judge said CODE"}})


def test_reasons_are_counted_by_kind():
    verdicts = [GOOD] + [missing(unscored={"aligned": f"the reply 'no {n}' is long"}) for n in range(3)]
    verdicts += [missing(error="no reply within 60 s"), missing(declined="I can't."), missing(declined="No.")]
    first, declined, failed = unscored_lines(verdicts)
    assert first.startswith(
        "6 of 7 answers have no score; the commonest reason (3 answers): aligned: the reply"
    )
    assert declined.startswith("2 of them were declined") and failed.startswith("1 call failed")
    assert most_unscored(verdicts) and not most_unscored([GOOD, GOOD, missing(error="x")])


def test_code_and_full_scores_are_no_gap():
    assert reasons([GOOD, CODE]) == [] and unscored_lines([GOOD, CODE]) == []
    assert not most_unscored([CODE, CODE]) and not most_unscored([])


def test_each_kind_of_gap_has_its_column():
    class Judge:
        id = rubric = "j"
        may_rate = False

    columns = [
        set(verdict_columns(v, Judge)) for v in (GOOD, missing(error="x"), missing(declined="x"), CODE)
    ]
    shared = columns[0]
    assert [c - shared for c in columns[1:]] == [{"judge_error"}, {"judge_declined"}, {"judge_unscored"}]
