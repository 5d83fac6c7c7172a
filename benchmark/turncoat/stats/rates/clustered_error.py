"""Question-clustered standard error of a ratio of totals; also an aggregation of lm-eval tasks.

Imports nothing beyond the standard library, as every task with judged answers depends on it.
"""

import math
from collections.abc import Sequence

Pair = Sequence[float]
"""One question's [numerator, denominator]."""


def ratio_stderr(pairs: Sequence[Pair]) -> float:
    """Standard error of sum of numerators / sum of denominators, questions as clusters.

    Linearised: with r = sum x / sum n over G questions, SE = sqrt(G / (G - 1) * sum (x - r n)^2) / sum n
        (Cochran, Sampling
    Techniques, 3rd ed., section 6.4). NaN with fewer than two questions, and where every question has the
    very same rate: no spread seen is not certainty.

    Args:
        pairs: One [numerator, denominator] per question; a question with denominator 0 is left out.
    """
    used = [(float(x), float(n)) for x, n in pairs if n]
    groups, total = len(used), math.fsum(n for _, n in used)
    if groups < 2:
        return math.nan
    rate = math.fsum(x for x, _ in used) / total
    squares = math.fsum((x - rate * n) ** 2 for x, n in used)
    if squares <= (1e-12 * total) ** 2:
        return math.nan
    return math.sqrt(groups / (groups - 1) * squares) / total
