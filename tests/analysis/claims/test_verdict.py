"""Each verdict comes from the interval that it should, and a claim from its parts at the right level."""

from __future__ import annotations

import pytest
from turncoat.analysis.claims.spec import Claim
from turncoat.analysis.claims.verdict import (
    CANNOT_TELL,
    REFUTED,
    SUPPORTED,
    Evidence,
    claim_verdict,
    part_verdict,
)
from turncoat.stats.t_errors import TError

LEVEL = 0.05


def at(difference: float, se: float = 1.0, p: float | None = None) -> Evidence:
    """Evidence whose 90% interval is about 1.65 se on both sides; `p` the two-sided p of the marks."""
    error = TError(se, 1e6)
    return Evidence(difference, (error,), p if p is not None else 0.001)


@pytest.mark.parametrize(
    ("expect", "difference", "verdict"),
    [
        ("higher", 4.0, SUPPORTED), ("higher", 1.0, CANNOT_TELL), ("higher", 0.2, REFUTED),
        ("higher", -3.0, REFUTED), ("lower", -4.0, SUPPORTED), ("lower", -1.0, CANNOT_TELL),
        ("lower", -0.2, REFUTED), ("lower", 3.0, REFUTED),
        ("equivalent", 0.1, SUPPORTED), ("equivalent", 1.5, CANNOT_TELL), ("equivalent", 4.0, REFUTED),
        ("equivalent", -4.0, REFUTED), ("equivalent", -0.1, SUPPORTED),
        ("not_lower", -0.1, SUPPORTED), ("not_lower", 9.0, SUPPORTED), ("not_lower", -2.0, CANNOT_TELL),
        ("not_lower", -4.0, REFUTED), ("not_higher", 0.1, SUPPORTED), ("not_higher", -9.0, SUPPORTED),
        ("not_higher", 2.0, CANNOT_TELL), ("not_higher", 4.0, REFUTED),
    ],
)  # fmt: skip
def test_every_verdict_of_a_part(expect, difference, verdict):
    assert part_verdict(expect, 2.0, at(difference), LEVEL) == verdict


def test_a_difference_without_a_mark_supports_nothing_and_no_test_tells_nothing():
    # five seeds whose sign flips cannot go below .0625 at level .025, say
    assert part_verdict("higher", 2.0, at(4.0, p=0.11), LEVEL) == CANNOT_TELL
    assert part_verdict("higher", 2.0, Evidence(4.0), LEVEL) == CANNOT_TELL
    assert Evidence(4.0).detectable(LEVEL) is None
    assert at(4.0).detectable(LEVEL) == pytest.approx(1.645 + 0.842, abs=0.01)  # 80% power


def test_skew_counts_against_a_margin_test():
    skewed = Evidence(-0.3, (TError(1.0, 30.0, "", 0.9),), 0.5)
    plain = Evidence(-0.3, (TError(1.0, 30.0),), 0.5)
    assert part_verdict("not_lower", 2.1, plain, LEVEL) == SUPPORTED
    assert part_verdict("not_lower", 2.1, skewed, LEVEL) != REFUTED


def claim(combine: str, *contexts: str) -> Claim:
    parts = [
        {
            "name": str(number), "treated": "a: x", "reference": "a: y", "task": "t", "metric": "m",
            "expect": "higher", "margin": 2.0, "why": "a reason", "context": context,
        }
        for number, context in enumerate(contexts)
    ]  # fmt: skip
    return Claim.model_validate(
        {"id": "c", "sentence": "s", "origin": "o", "combine": combine, "parts": parts}
    )


def test_all_is_supported_by_every_part_and_refuted_by_one_at_its_share_of_the_level():
    two = claim("all", "", "")
    assert claim_verdict(two, [at(4.0), at(4.0)], LEVEL) == SUPPORTED  # no correction: intersection-union
    assert claim_verdict(two, [at(4.0), at(1.0)], LEVEL) == CANNOT_TELL
    assert claim_verdict(two, [at(4.0), None], LEVEL) == CANNOT_TELL  # a part is missing
    assert claim_verdict(two, [at(4.0), at(0.2)], LEVEL) == CANNOT_TELL  # refuted at .05, not at .025
    assert claim_verdict(two, [at(4.0), at(-3.0)], LEVEL) == REFUTED
    assert claim_verdict(two, [None, at(-3.0)], LEVEL) == REFUTED


def test_any_is_the_other_way_round():
    two = claim("any", "", "")
    assert claim_verdict(two, [at(4.0), at(-3.0)], LEVEL) == SUPPORTED
    assert claim_verdict(two, [at(1.8), at(-3.0)], LEVEL) == CANNOT_TELL  # supported at .05, not at .025
    assert claim_verdict(two, [at(0.2), at(0.2)], LEVEL) == REFUTED


def test_a_part_that_is_context_decides_nothing():
    assert claim_verdict(claim("all", "", "shown"), [at(4.0), at(-9.0)], LEVEL) == SUPPORTED
    assert claim_verdict(claim("all", "shown"), [at(4.0)], LEVEL) == CANNOT_TELL
