"""Verdicts on claims: supported, refuted or cannot tell. The only place with their rules.

A part is a difference, read with one-sided tests at a level and the interval that belongs to them (90% for
.05). With the margin m, the smallest difference that counts:

    expected                           supported                                refuted
    higher (lower: mirrored)           above 0                                  below m: m is excluded
    equivalent                         within (-m, m), by two one-sided tests   outside of it
    not_lower (not_higher: mirrored)   above -m, by the non-inferiority test    below -m

Tests allow for skew; "above 0" also for few seeds and few carriers (`Contrast.p_mark`). Everything else is
"cannot tell", with the difference that could have been detected. Refuted goes first: a difference that is
there but smaller than what counts supports nothing. A claim of `all` its parts is supported if each is at the
full level (intersection-union test) and refuted if one is at level / parts (Bonferroni); a claim of `any` the
other way round.

References:
    Berger (1982), Technometrics 24(4) (intersection-union tests).
    Lakens, Scheel & Isager (2018), AMPPS 1(2) (smallest effect of interest, equivalence).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from turncoat.analysis.claims.spec import Claim, Expectation, Part
from turncoat.stats.margins import Better, MarginTest, margin_p
from turncoat.stats.planning.power import detectable_effect
from turncoat.stats.t_errors import TError, widest

Verdict = Literal["supported", "refuted", "cannot tell"]
SUPPORTED: Verdict = "supported"
REFUTED: Verdict = "refuted"
CANNOT_TELL: Verdict = "cannot tell"


@dataclass(frozen=True)
class Evidence:
    """Evidence of the rows for one part: treated minus reference."""

    difference: float | None = None
    errors: tuple[TError, ...] = ()  # Standard errors of its t tests; none without a test
    p_mark: float | None = None  # Two-sided p that allows for skew, few seeds and few carriers
    n_questions: int = 0  # 0 for published numbers
    n_seeds: str = ""  # "5", or "5 and 3" of unpaired arms
    note: str = ""

    def interval(self, level: float) -> tuple[float, float] | None:
        """Ends of the interval whose tests are one-sided at `level`; None without a test."""
        if self.difference is None or not self.errors:
            return None
        return widest(self.difference, self.errors, 1 - 2 * level)[:2]

    def detectable(self, level: float) -> float | None:
        """Smallest true difference that a test like this one finds with 80% power; None without a test."""
        if self.difference is None or not self.errors:
            return None
        error = widest(self.difference, self.errors, 1 - 2 * level)[2]
        return detectable_effect(error.se, max(error.df, 1.0), 2 * level) if error.se > 0 else None


def part_verdict(expect: Expectation, margin: float, evidence: Evidence, level: float) -> Verdict:
    """Verdict on one part at a one-sided level."""
    ends = evidence.interval(level)
    if ends is None or evidence.difference is None:
        return CANNOT_TELL
    low, high = ends
    if expect in ("lower", "not_higher"):  # mirrored
        low, high = -high, -low
    if expect in ("equivalent", "not_lower", "not_higher"):
        better: Better = "lower" if expect == "not_higher" else "higher"
        test: MarginTest = "equivalence" if expect == "equivalent" else "non_inferiority"
        p_value = margin_p(evidence.difference, evidence.errors, margin, test, better)
        outside = high < -margin or (expect == "equivalent" and low > margin)
        return REFUTED if outside else SUPPORTED if p_value is not None and p_value < level else CANNOT_TELL
    if high < margin:
        return REFUTED
    marked = evidence.p_mark is not None and evidence.p_mark < 2 * level
    return SUPPORTED if low > 0 and marked else CANNOT_TELL


def claim_verdict(claim: Claim, evidence: Sequence[Evidence | None], level: float) -> Verdict:
    """Verdict on a claim from the evidence of its parts, in their order (None: missing)."""
    deciding = [pair for pair in zip(claim.parts, evidence, strict=True) if pair[0].decides]
    if not deciding:
        return CANNOT_TELL
    whole, shared = level, level / len(deciding)
    needs_all, needs_one = (SUPPORTED, REFUTED) if claim.combine == "all" else (REFUTED, SUPPORTED)
    if all(verdict_on(part, one, whole) == needs_all for part, one in deciding):
        return needs_all
    if any(verdict_on(part, one, shared) == needs_one for part, one in deciding):
        return needs_one
    return CANNOT_TELL


def verdict_on(part: Part, evidence: Evidence | None, level: float) -> Verdict:
    """Verdict on one part, whose evidence may be missing."""
    if evidence is None or part.expect is None:
        return CANNOT_TELL
    return part_verdict(part.expect, part.margin, evidence, level)
