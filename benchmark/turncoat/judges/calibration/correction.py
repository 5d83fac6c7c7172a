"""A rate corrected for the judge's own errors, with an interval that carries the uncertainty of both.

>>> errors = {"true_positive": 90, "false_negative": 10, "true_negative": 380, "false_positive": 20}
>>> corrected_rate([[3, 20], [5, 20], [1, 20]], errors).value      # 0.15 judged = 0.9 p + 0.05 (1 - p)
0.1176...

The correction assumes that the judge errs on these answers as often as on those of its card. Where answers
differ more from the card's than the card's question families from each other, the interval is too narrow.

References:
    Rogan & Gladen (1978), American Journal of Epidemiology 107(1) (the corrected rate). Lang & Reiczigel
    (2014), Preventive Veterinary Medicine 113(1) (its interval with estimated sensitivity, specificity). Korn
    & Graubard (1998), Survey Methodology 24(2) (effective sample size of a clustered rate).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scipy import stats

from turncoat.judges.rates import Pair, ratio
from turncoat.stats.rates.clustered_error import ratio_stderr


@dataclass(frozen=True)
class Corrected:
    """A rate with the judge's errors taken out."""

    value: float | None  # The corrected rate, 0 to 1; None where it is undefined
    low: float | None  # Lower end of its interval, None where undefined
    high: float | None  # Upper end, None where undefined
    raw: float  # The rate as judged
    sensitivity: float  # Share of the reference's misaligned answers that the judge calls misaligned
    specificity: float  # Share of the others that it does not
    note: str = ""  # A remark for the reader; "" if there is none


def corrected_rate(
    pairs: Sequence[Pair],
    errors: Mapping[str, int],
    errors_by_family: Mapping[str, Mapping[str, int]] | None = None,
    confidence: float = 0.95,
) -> Corrected:
    """The Rogan-Gladen estimate (r + specificity - 1) / (sensitivity + specificity - 1) and its interval.

    The interval is Lang and Reiczigel's, cut off at 0 and 1, with effective numbers of answers: the questions
    are the clusters of the rate, the question families those of sensitivity and specificity.

    Args:
        pairs: One [misaligned, denominator] per question.
        errors: A card's counts true_positive, false_negative, true_negative, false_positive.
        errors_by_family: The same counts by question family; without them the card's answers count as
            independent.
    """
    raw = ratio(pairs)
    families = list((errors_by_family or {}).values())
    sensitivity, n_sensitivity = _share(errors, families, "true_positive", "false_negative", confidence)
    specificity, n_specificity = _share(errors, families, "true_negative", "false_positive", confidence)
    known = (raw, sensitivity, specificity)
    if any(math.isnan(share) for share in known):
        missing = (
            "no answer has a verdict" if math.isnan(raw) else "the card has no misaligned or no other answers"
        )
        return Corrected(None, None, None, *known, note=f"undefined: {missing}")
    if sensitivity + specificity <= 1:
        return Corrected(
            None,
            None,
            None,
            *known,
            note=f"undefined: sensitivity {sensitivity:.2f} + specificity {specificity:.2f} is not above 1, "
            "so the judge's verdict says nothing about misalignment",
        )
    value = (raw + specificity - 1) / (sensitivity + specificity - 1)
    low, high = _interval(
        raw, effective_answers(pairs, confidence), (sensitivity, n_sensitivity), (specificity, n_specificity),
        confidence,
    )  # fmt: skip
    note = ""
    if value < 0:
        note = (
            f"as few as the judge's false alarms would make ({1 - specificity:.1%} of aligned answers): cut "
            "off at 0"
        )
    elif value > 1:
        note = f"more than the judge's sensitivity ({sensitivity:.1%}) can explain: cut off at 1"
    return Corrected(_cut(value), _cut(low), _cut(high), *known, note=note)


def effective_answers(pairs: Sequence[Pair], confidence: float = 0.95) -> float:
    """Number of independent answers that would give a rate as precise as these clustered ones do.

    n = r (1 - r) / SE^2, never more than there are, times (z / t)^2 for the few clusters that SE was
    estimated from (Korn and Graubard). Where every cluster has the same rate, SE says nothing: then each
    cluster counts once.

    Args:
        pairs: One [numerator, denominator] per cluster.
        confidence: Confidence level of the interval it is for.
    """
    used = [(x, n) for x, n in pairs if n]
    rate, spread = ratio(used), ratio_stderr(used)
    if math.isnan(spread):
        return float(len(used))
    quantile = 0.5 + confidence / 2
    adjusted = (stats.norm.ppf(quantile) / stats.t.ppf(quantile, len(used) - 1)) ** 2
    return float(min(rate * (1 - rate) / spread**2 * adjusted, sum(n for _, n in used)))


def _share(
    errors: Mapping[str, int],
    families: Sequence[Mapping[str, int]],
    right: str,
    wrong: str,
    confidence: float,
) -> tuple[float, float]:
    """A share of right verdicts and its effective number of answers; (NaN, 0) without answers."""
    total = errors[right] + errors[wrong]
    if not total:
        return math.nan, 0.0
    pairs = [(family[right], family[right] + family[wrong]) for family in families]
    same = sum(n for _, n in pairs) == total and not math.isnan(ratio_stderr(pairs))
    return errors[right] / total, effective_answers(pairs, confidence) if same else float(total)


def _interval(
    rate: float,
    n: float,
    sensitivity: tuple[float, float],
    specificity: tuple[float, float],
    confidence: float,
) -> tuple[float, float]:
    """Lang and Reiczigel's interval: shares shrunk (z^2/2 of n + z^2; 1 of n + 2), then the delta method."""
    z = float(stats.norm.ppf(0.5 + confidence / 2))
    n_rate = n + z**2
    p = (n * rate + z**2 / 2) / n_rate
    (se, n_se), (sp, n_sp) = (((share * m + 1) / (m + 2), m + 2) for share, m in (sensitivity, specificity))
    # Shrinking can push a judge that is barely better than chance over the edge; then nothing is known.
    youden = se + sp - 1
    if youden <= 0:
        return 0.0, 1.0
    middle = (p + sp - 1) / youden
    v_rate, v_se, v_sp = p * (1 - p) / n_rate, se * (1 - se) / n_se, sp * (1 - sp) / n_sp
    shift = 2 * z**2 * (middle * v_se - (1 - middle) * v_sp)
    half = z * math.sqrt(v_rate + middle**2 * v_se + (1 - middle) ** 2 * v_sp) / youden
    return middle + shift - half, middle + shift + half


def _cut(share: float) -> float:
    return min(max(share, 0.0), 1.0)
