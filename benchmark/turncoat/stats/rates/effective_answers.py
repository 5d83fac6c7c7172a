"""Effective number of clustered answers, and the exact interval of their rate.

clustered_interval([(0, 100), (3, 100), (1, 100), (0, 100), (0, 100), (9, 100)])[0]    # 0.03 to 13 %
"""

import math
from collections.abc import Sequence

from turncoat.stats.estimates import (
    EXACT,
    EXACT_OVER_QUESTIONS,
    Interval,
    effective_trials,
    exact_interval,
    rare_df,
)
from turncoat.stats.rates.clustered_error import Pair, ratio_stderr


def effective_answers(pairs: Sequence[Pair], confidence: float = 0.95) -> float:
    """Number of independent answers that would give a rate as precise as these clustered ones do.

    Between the clusters (of unequal size: (sum n)^2 / sum n^2, after Kish) and the answers; formula:
    `turncoat.stats.estimates.effective_trials`. 0 without answers.

    Args:
        pairs: One [numerator, denominator] per cluster.
    """
    used = [(float(x), float(n)) for x, n in pairs if n]
    answers = math.fsum(n for _, n in used)
    if not answers:
        return 0.0
    rate, se = math.fsum(x for x, _ in used) / answers, ratio_stderr(used)
    touched = (sum(x > 0 for x, _ in used), sum(x < n for x, n in used))
    clusters = answers**2 / math.fsum(n**2 for _, n in used)
    return effective_trials(
        rate, None if math.isnan(se) else se, rare_df(touched, len(used)), (clusters, answers), confidence
    )


def clustered_interval(pairs: Sequence[Pair], confidence: float = 0.95) -> tuple[Interval, str]:
    """Exact interval of sum of numerators / sum of denominators, and its name."""
    n = effective_answers(pairs, confidence)
    rate = math.fsum(x for x, m in pairs if m) / math.fsum(m for _, m in pairs)
    name = EXACT_OVER_QUESTIONS if math.isnan(ratio_stderr(pairs)) else EXACT
    return exact_interval(rate * n, n, confidence), name
