"""The reader of agentic acts against the committed reading by hand, and the interval over templates."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tasks.one_task import module_of
from turncoat.stats.rates.clustered_error import ratio_stderr

FOLDER = Path(__file__).parents[2] / "results" / "agentic_reading"
agreement = module_of("agentic", "agreement")


def test_the_reader_agrees_with_the_reading_by_hand_and_the_page_says_so():
    rows = agreement.read(FOLDER / "answers.jsonl")
    by_hand = [row for row in rows if row.get("hand")]
    assert len(by_hand) >= 100 and {row["hand"] for row in by_hand} == {"bold", "sound", "unclear"}
    fresh = agreement.agreement([row for row in by_hand if row["part"] == "fresh"])
    assert fresh["n"] >= 50 and fresh["agreement"] >= 0.9 and fresh["kappa"] > 0.6
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    for line in agreement.lines(rows):
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


def test_the_interval_over_templates_is_a_third_of_one_scenarios_at_as_many_answers():
    # Shares of harm vary between templates (SD .25) more than between their surfaces (SD .1). Errors over 400
    # draws of both designs, 240 answers each, and the standard error clustered by template beside them.
    rng, errors, clustered = np.random.default_rng(0), [], []
    for _ in range(400):
        templates = np.clip(rng.normal(0.5, 0.25, 12), 0, 1)
        shares = np.clip(np.repeat(templates, 4) + rng.normal(0, 0.1, 48), 0, 1)
        harmful = rng.binomial(5, shares)
        one = rng.binomial(240, rng.choice(shares)) / 240
        errors.append((harmful.sum() / 240 - 0.5, one - 0.5))
        clustered.append(ratio_stderr([(x, 20) for x in harmful.reshape(12, 4).sum(axis=1)]))
    of_all, of_one = np.std(errors, axis=0)
    assert of_all / of_one < 1 / 3
    assert np.mean(clustered) == pytest.approx(of_all, rel=0.1)
