"""The dose at which half have turned: known crossings, monotone fits, what is not reached, and its
interval."""

import json
import math

import numpy as np
import pytest
from turncoat.errors import UserError
from turncoat.persona import half_dose as module
from turncoat.persona.half_dose import crossing, half_dose, half_dose_interval, half_dose_of

DOSES = [0, 1, 2, 3, 4, 5]


def items(turned_at: list[float], doses=DOSES) -> list[dict]:
    """One question per entry; it turns at that dose and stays turned."""
    return [
        {"question": f"q{i}", "dose": dose, "turned": int(dose >= at), "n": 1}
        for i, at in enumerate(turned_at)
        for dose in doses
    ]


@pytest.mark.parametrize(("shares", "expected"), [
    ([0, 0, 0, 1, 1, 1], 2.5), ([0, 0.25, 0.5, 0.75, 1, 1], 2.0), ([0, 0.1, 0.4, 0.6, 0.9, 1], 2.5),
    ([0.6, 0.7, 0.8, 0.9, 1, 1], 0.0), ([0, 0, 0, 0, 0, 0.5], 5.0), ([0, 0.1, 0.2, 0.3, 0.4, 0.49], math.inf),
    # 0.6 then 0.2 is neither a rise nor a fall but 0.4 twice: the crossing lies beyond both
    ([0, 0.6, 0.2, 0.5, 0.8, 1.0], 3.0),
])  # fmt: skip
def test_crossing_of_a_monotone_fit(shares, expected):
    assert crossing(DOSES, [100 * share for share in shares], [100] * 6) == pytest.approx(expected)


def test_answers_weigh_in_the_fit_and_add_up_in_a_cell():
    # Pooled with its weight, the one stray answer at dose 1 hardly lifts the 99 at dose 2.
    assert crossing([0, 1, 2, 3], [0, 1, 0, 100], [100, 1, 99, 100]) == pytest.approx(
        2 + 0.49 / 0.99, abs=0.001
    )
    one = [{"question": "q", "dose": d, "turned": t, "n": 10} for d, t in ((0, 0), (1, 4), (2, 6))]
    split = [
        {"question": "q", "dose": d, "turned": t, "n": 5}
        for d, t in ((0, 0), (0, 0), (1, 4), (1, 0), (2, 5), (2, 1))
    ]
    assert half_dose(one) == pytest.approx(half_dose(split)) == pytest.approx(1.5)


def test_a_dose_that_is_not_reached_is_nan_and_said_once(capsys, monkeypatch):
    monkeypatch.setattr(module, "_warned", set())
    never = items([9, 9, 9, 2])
    for _ in range(2):
        assert math.isnan(half_dose(never))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and "largest dose tried 5, 25% there" in lines[0]
    found = half_dose_interval(never, resamples=200)
    assert found.value is None and found.high is None
    assert str(found) == "not reached (largest dose 5, 25% turned there)"


def test_the_interval_narrows_with_questions_and_ends_at_the_largest_dose():
    few, many = (half_dose_interval(items([1, 2, 3, 4] * k), resamples=400) for k in (3, 30))
    for found in (few, many):
        assert found.value == pytest.approx(2.0) and found.low <= found.value <= found.high
        assert found.reached == 1.0
    assert many.high - many.low < few.high - few.low and (few.n_questions, many.n_questions) == (12, 120)
    assert str(many).startswith("2.00 [")
    assert half_dose_interval(items([1, 2, 3, 4] * 3), resamples=400) == few
    assert half_dose(items([1, 2, 3, 4] * 3)) == few.value
    found = half_dose_interval(items([4] * 11 + [9] * 9), resamples=500)
    assert found.value is not None and found.high is None and 0.5 < found.reached < 1
    assert str(found).endswith("above 5]")


def test_coverage_of_the_true_half_dose():
    """Questions turn at normally spread doses around 2.4; the interval over them holds 2.4 about as often as
    it says."""
    fine = list(np.arange(0, 5.01, 0.5))
    held = 0
    for seed in range(25):
        turned_at = np.random.default_rng(seed).normal(2.4, 0.8, 40)
        found = half_dose_interval(items(list(turned_at), fine), resamples=100, seed=seed)
        held += (found.low or math.inf) - 0.25 <= 2.4 <= (found.high or math.inf) + 0.25
    assert held >= 21


def test_a_samples_file_is_read_and_a_foreign_one_refused(tmp_path):
    path = tmp_path / "samples.jsonl"
    path.write_text(
        "\n".join(json.dumps({"doc_id": i, "half_dose": item}) for i, item in enumerate(items([1, 3])))
    )
    assert half_dose_of(path, resamples=50).value == pytest.approx(half_dose(items([1, 3])))
    path.write_text(json.dumps({"doc_id": 0, "margin": 1.0}))
    with pytest.raises(UserError, match=r"no row has 'half_dose'; give a samples file of a turncoat_latent"):
        half_dose_of(path)
    with pytest.raises(UserError, match="no answers at any dose"):
        half_dose([])


@pytest.mark.parametrize(
    "line",
    ["{", "[1]", '{"a": ' + "[" * 5000 + "]" * 5000 + "}", '{"half_dose": {}}']
    + [f'{{"half_dose": {{"question": "q", "dose": {dose}, "turned": {turned}, "n": 1}}}}'
       for dose, turned in (("NaN", 1), ('"x"', 1), (1, 5), (1, -1))],
)  # fmt: skip
def test_a_file_that_counts_no_answers_at_a_dose_is_refused_with_its_line(tmp_path, line):
    path = tmp_path / "samples.jsonl"
    path.write_text(line + "\n")
    with pytest.raises(UserError, match="line 1"):
        half_dose_of(path)
