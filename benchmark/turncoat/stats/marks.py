"""Marks of a claim as significant: what bars one, whatever the size of its p.

A p and an interval are always printed. A mark ("significant", bold) is withheld where the data hold a pattern
at which the tests behind the p are known to fail (`turncoat stats calibrate`):

* too few units: exact sign flips over n of them cannot go below 2 / 2^n, so fewer than 6 training seeds (or
  questions, or questions that differ at all) never reach p < .05 without the assumption of normal
  differences. If one training in five "takes", a t test over 5 seeds rejects a true null in a third of all
  experiments.
* few carriers: a couple of questions hold nearly all of the spread, so the mean of others may be anything.
"""

import numpy as np

from turncoat.stats.sign_flip import exact_floor

FEWEST_CARRIERS = 3.0
"""Effective number of questions that must carry the spread. Set on lognormal, sparse and low-rate nulls."""
QUESTIONS_PER_CARRIER = 8  # with fewer than 24 questions the number that is asked for falls in proportion
_MOST = 0.8


def may_be_marked(n_units: int, level: float = 0.05) -> bool:
    """True if exact sign flips over so many training seeds (or questions) can reach a p below the level.

    A claim about a recipe needs 6 training seeds at the level .05: with fewer it has an interval and a p, and
    is neither called significant nor printed in bold.
    """
    return exact_floor(n_units) < level


def effective_carriers(values: np.ndarray) -> float:
    """Effective number of values that carry the spread: (sum r^2)^2 / sum r^4, r about the mean; 0 without
    one.

    From 1 (a single value differs from the rest) to n (all are equally far from the mean); about n / 3 for
    normal values.
    """
    squares = (values - values.mean()) ** 2
    total = float((squares**2).sum())
    return float(squares.sum()) ** 2 / total if total > 0 else 0.0


def bars(by_question: np.ndarray, n_seeds: int | None = None, level: float = 0.05) -> str:
    """Reason why a contrast may not be marked, or "" where it may.

    Args:
        by_question: Differences, one per question, rounding errors set to 0.
        n_seeds: Training seeds of a claim about the recipe; None for a claim about these adapters.
    """
    n = len(by_question)
    if n_seeds is not None and not may_be_marked(n_seeds, level):
        return f"exact sign flips over {n_seeds} training seeds cannot go below {_floor(n_seeds)}"
    if not may_be_marked(n, level):
        return f"exact sign flips over {n} questions cannot go below {_floor(n)}"
    differ = int(np.count_nonzero(by_question))
    if differ and not may_be_marked(differ, level):
        verb = "questions differs" if differ == 1 else "questions differ"
        return (
            f"only {differ} of {n} {verb} at all; exact sign flips over them cannot go below {_floor(differ)}"
        )
    carriers = effective_carriers(by_question)
    if 0 < carriers < min(FEWEST_CARRIERS, n / QUESTIONS_PER_CARRIER):
        squares = np.sort((by_question - by_question.mean()) ** 2)[::-1]
        held = np.cumsum(squares) / squares.sum()
        few = int(np.argmax(held >= _MOST)) + 1
        verb = "questions holds" if few == 1 else "questions hold"
        return f"{few} of {n} {verb} {held[few - 1]:.0%} of the spread, so the mean rests on too few"
    return ""


def _floor(n: int) -> str:
    return f"p = {exact_floor(n):.3g}"
