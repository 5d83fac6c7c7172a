"""The reader of agentic acts against the committed reading by hand, and the interval over templates."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tasks.one_task import module_of

FOLDER = Path(__file__).parents[2] / "results" / "agentic_reading"
agreement = module_of("agentic", "agreement")


def test_the_reader_agrees_with_the_reading_by_hand_and_the_page_says_so():
    rows = agreement.read(FOLDER / "answers.jsonl")
    by_hand = [row for row in rows if row.get("hand")]
    assert len(by_hand) >= 100 and {row["hand"] for row in by_hand} == {"bold", "sound", "unclear"}
    fresh = agreement.agreement([row for row in by_hand if row["part"] == "fresh"])
    assert fresh["n"] >= 50 and fresh["agreement"] >= 0.9 and fresh["kappa"] > 0.6
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    margins = agreement.read_json_lines(FOLDER / "choice_margins.jsonl")
    for line in [*agreement.lines(rows), agreement.interval_line(margins)]:
        assert line in page, "python tasks/agentic/agreement.py results/agentic_reading/answers.jsonl"


def test_agreement_and_kappa_of_a_known_table():
    pairs = (
        [("bold", "bold")] * 20
        + [("bold", "sound")] * 5
        + [("sound", "bold")] * 10
        + [("sound", "sound")] * 15
    )
    found = agreement.agreement([{"hand": hand, "act": act} for hand, act in pairs])
    assert (found["n"], found["agreement"], found["kappa"]) == (50, 0.7, pytest.approx(0.4))
    low, high = found["interval"]
    assert (low, high) == pytest.approx((0.5625, 0.8090), abs=1e-4)  # Wilson's formula by hand


def test_the_standard_errors_of_templates_and_of_one_scenario_are_those_of_many_draws():
    # Shares of harm vary between templates (SD .25) more than between their surfaces (SD .1). Errors over 400
    # draws of both designs, 240 answers each.
    rng, errors, said = np.random.default_rng(0), [], []
    for _ in range(400):
        templates = np.clip(rng.normal(0.5, 0.25, 12), 0.02, 0.98)
        shares = np.clip(np.repeat(templates, 4) + rng.normal(0, 0.1, 48), 0.02, 0.98)
        one = rng.binomial(240, rng.choice(shares)) / 240
        errors.append((rng.binomial(5, shares).sum() / 240 - 0.5, one - 0.5))
        margins = np.log((1 - shares) / shares)
        rows = [
            {"id": f"t-{n // 4:02d}-{'abcd'[n % 4]}/question/x", "agentic_margin": margin}
            for n, margin in enumerate(margins)
        ]
        said.append(agreement.interval_ratio(rows))
    true_all, true_one = np.std(errors, axis=0)
    assert true_all / true_one < 1 / 3
    assert np.mean(said, axis=0) == pytest.approx((true_all, true_one), rel=0.1)
