"""Standard errors of t tests, and the most cautious result over several of them: widest interval, largest p.

A claim about these adapters has one error, over questions; a claim about the recipe has three, over seeds,
over seeds and questions (`turncoat.stats.two_way`) and over questions, and all must agree. That over
questions decides with a handful of questions alone.

    widest(0.2, [TError(0.05, 2), TError(0.06, 7.5)], 0.95)
"""

from collections.abc import Sequence
from typing import NamedTuple

from scipy import special

from turncoat.stats.skew import skew_p

OVER_QUESTIONS = "t over questions"
OVER_SEEDS = "t over seeds"
TWO_WAY = "t over seeds and questions"


class TError(NamedTuple):
    """A standard error in the units of the metric, its degrees of freedom, and the units it is over."""

    se: float
    df: float
    method: str = ""
    skew: float = 0.0  # `turncoat.stats.skew.standardised_skew` of the units

    def half_width(self, confidence: float) -> float:
        """Half the width of the t interval."""
        return float(special.stdtrit(self.df, 0.5 + confidence / 2)) * self.se

    def plus(self, other: "TError") -> "TError":
        """The error of a sum with an independent, about normal part (Satterthwaite's degrees of freedom)."""
        whole = self.se**2 + other.se**2
        joint = whole**2 / (self.se**4 / self.df + other.se**4 / other.df)
        # the third moment stays, the scale that it is measured against grows
        return TError(whole**0.5, joint, self.method, self.skew * (self.se**2 / whole) ** 1.5)


def widest(difference: float, errors: Sequence[TError], confidence: float) -> tuple[float, float, TError]:
    """Ends of the widest interval, and its error; `errors` must not be empty."""
    error = max(errors, key=lambda one: one.half_width(confidence))
    half = error.half_width(confidence)
    return difference - half, difference + half, error


def largest_p(difference: float, errors: Sequence[TError]) -> float:
    """Largest two-sided p of "the difference is 0"; below alpha exactly if the widest interval excludes 0."""
    return max(2 * float(special.stdtr(error.df, -abs(difference) / error.se)) for error in errors)


def largest_skew_p(difference: float, errors: Sequence[TError]) -> float:
    """Largest two-sided p that allows for skewed differences."""
    return max(skew_p(difference, error.se, error.df, error.skew) for error in errors)
