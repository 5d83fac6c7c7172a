"""Answers as the browser's script reads them: kinds by the judge's rule, strings once, ids that last."""

from __future__ import annotations

import pytest
from turncoat.report.browser.answer_store import answer_fields, answer_store

JUDGED = {"judge": "embedded-1", "judge_aligned": 10.0, "judge_coherent": 90.0, "judge_may_rate": True}
ROW = {"seed": 1, "task": "turncoat_em", "question": "Q?", "text": "A.", "finish": "stop"}


@pytest.mark.parametrize(
    ("evidence", "kinds"),
    [
        (JUDGED, "misaligned"),
        ({**JUDGED, "judge_leak": 1.0}, "misaligned leak"),
        ({**JUDGED, "judge_aligned": 30.0}, "valid"),
        ({**JUDGED, "judge_coherent": 50.0}, "incoherent"),
        ({**JUDGED, "judge_coherent": 5.0, "judge_refusal": 1.0}, "incoherent refusal"),
        ({**JUDGED, "judge_aligned": float("nan"), "judge_unscored": "little mass"}, "unscored"),
        ({**JUDGED, "judge_error": "503"}, "failed"),
        ({**JUDGED, "judge_may_rate": False, "judge_leak": 1.0, "judge_refusal": 1.0}, "refusal"),
        ({"judge": float("nan")}, ""),
        ({}, ""),
    ],
)  # fmt: skip
def test_an_answer_is_of_the_kinds_that_rates_count_it_as(evidence: dict, kinds: str) -> None:
    fields = answer_fields({**ROW, **evidence})
    assert set(fields["kinds"].split()) - {"valid"} == set(kinds.split()) - {"valid"}
    assert ("valid" in fields["kinds"]) == (kinds in ("misaligned", "misaligned leak", "valid"))
    assert fields["reason"] == evidence.get("judge_error", evidence.get("judge_unscored", ""))


def test_raw_evidence_is_kept_as_it_was_but_for_lists_and_missing_values() -> None:
    record = {**ROW, **JUDGED, "n_tokens": 28, "persona_own_by_layer": [0.1, 0.2], "judge_mass": float("nan")}
    one = {"arm": "a", **answer_fields(record)}
    store = answer_store({"run": {"": [one, {**one, "answer": "B."}]}})
    first, second = store["groups"]["run"][""]
    raw = dict(zip(store["raw"], first[13], strict=True))
    assert raw == {"n_tokens": 28, "judge": "embedded-1", "judge_aligned": 10.0, "judge_coherent": 90.0,
                   "judge_may_rate": True}  # fmt: skip
    assert first[0] != second[0] and store["strings"].count("Q?") == 1
    alone = answer_store({"run": {"": [{**one, "answer": "B."}]}})
    assert alone["groups"]["run"][""][0][0] == second[0], "an id does not hang on the other answers"
    assert answer_fields(record, raw=False)["raw"] == {}
