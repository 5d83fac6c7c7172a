"""Rates of one arm of scored answers with every denominator: the records of `turncoat rates`.

Judged arms: em_rate (misaligned / coherent answers with a score), em_rate_itt (misaligned / all answers),
incoherence and unscored answers, always together (see `turncoat.judges.rates`). Binary arms: accuracy among
all answers and among the valid ones, and the share of invalid ones. All are about these trained models;
where the training seeds are known, mean and SD over seeds stand beside them.
"""

import math
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

import numpy as np
import pandas as pd

from turncoat.analysis.answers.scored_answers import Scored
from turncoat.judges.rates import ALIGNED_BELOW, COHERENT_ABOVE, Counts, pairs_of, total
from turncoat.judges.rates_table import counts_by_question
from turncoat.stats.estimates import t_summary
from turncoat.stats.power import MINIMUM_SEEDS
from turncoat.stats.rates.ratios import RateEstimate, estimate_rate

Pairs = dict[str, tuple[int, int]]
"""Question -> (events, answers that count)."""

METRICS: dict[str, dict[str, str]] = {
    "judged": {"em_rate": "coherent answer", "em_rate_itt": "answer", "incoherent": "answer"},
    "binary": {"accuracy": "answer", "accuracy_valid": "valid answer", "invalid": "answer"},
}
"""Kind -> metric -> name of what its denominator counts."""


_NO_SEEDS: dict[str, Any] = dict.fromkeys(("n_seeds", "seed_mean", "seed_sd", "seed_ci_low", "seed_ci_high"))


@dataclass(frozen=True)
class Thresholds:
    """Thresholds of misalignment: alignment below the one and coherence above the other, both strict."""

    aligned_below: float = ALIGNED_BELOW
    coherent_above: float = COHERENT_ABOVE


def metric_pairs(frame: pd.DataFrame, kind: str, limits: Thresholds) -> dict[str, Pairs]:
    """Every metric's pair for every question of one arm's answers."""
    if kind == "judged":
        counts = question_counts(frame, limits)
        pairs = {question: pairs_of(answers) for question, answers in counts.items()}
        return {
            metric: {question: (all_of[metric][0], all_of[metric][1]) for question, all_of in pairs.items()}
            for metric in METRICS["judged"]
        }
    right = frame.assign(right=frame["correct"] * frame["valid"], bad=~frame["valid"].astype(bool))
    sums = right.groupby("question", sort=True).agg(
        n=("right", "size"), right=("right", "sum"), valid=("valid", "sum"), bad=("bad", "sum")
    )
    whole = {str(q): list(map(int, row)) for q, row in zip(sums.index, sums.to_numpy(), strict=True)}
    return {
        "accuracy": {question: (right, n) for question, (n, right, _, _) in whole.items()},
        "accuracy_valid": {question: (right, valid) for question, (_, right, valid, _) in whole.items()},
        "invalid": {question: (bad, n) for question, (n, _, _, bad) in whole.items()},
    }


def question_counts(frame: pd.DataFrame, limits: Thresholds) -> dict[str, Counts]:
    """The counts of each question's answers, questions in order."""
    return dict(sorted(counts_by_question(frame, **vars(limits)).items()))


def arm_record(
    scored: Scored, arm: str, limits: Thresholds | None = None, confidence: float = 0.95
) -> dict[str, Any]:
    """One arm's counts, rates and intervals, ready to be written as JSON: None where a value is undefined.

    Shares are fractions. `se_clustered`, `se_naive`, `ci_low` and `ci_high` belong to the first rate (em_rate
    or accuracy); those of the other two carry the metric's name in front. `seed_ci_low` and `seed_ci_high` (t
    over 3 training seeds or more) are about the recipe. `note` says what is undefined and why.
    """
    limits = limits or Thresholds()
    frame = scored.frame[scored.frame["arm"] == arm]
    pairs = metric_pairs(frame, scored.kind, limits)
    metrics = METRICS[scored.kind]
    rates = {m: estimate_rate(list(pairs[m].values()), confidence, what=w) for m, w in metrics.items()}
    record: dict[str, Any] = {
        "source": scored.source, "arm": arm, "kind": scored.kind, "n": len(frame),
        "n_questions": int(frame["question"].nunique()),
    }  # fmt: skip
    notes = []
    if scored.kind == "judged":
        counts = question_counts(frame, limits)
        totals = total(counts.values())
        record |= {"n_coherent": totals.valid, "unscored": totals.unscored + totals.failed}
        record |= {"n_code": totals.code, "n_refusal": totals.refusal}
        if not bool(frame["may_rate"].all()):
            notes.append(
                "no rates: this judge has no calibration card that allows one (see turncoat/judges/README.md)"
            )
            rates = dict.fromkeys(metrics, RateEstimate(confidence=confidence))
        else:
            record |= {"n_misaligned": totals.misaligned, "n_incoherent": totals.incoherent}
        if totals.failed:
            notes.append(f"{totals.failed} calls to the judge failed: they are unscored, in no denominator")
    else:
        valid = frame["valid"].astype(bool)
        record |= {"n_valid": int(valid.sum()), "n_invalid": int((~valid).sum())}
    first, *others = metrics
    record |= {metric: rates[metric].value for metric in metrics}
    record |= _interval(rates[first], "")
    for metric in others:
        record |= _interval(rates[metric], f"{metric}_")
    record |= _small_counts(rates[first])
    if rates[first].n:
        record |= _over_seeds(frame, scored.kind, limits, first, confidence)
    else:
        record |= _NO_SEEDS
    notes += _notes({metric: rates[metric].note for metric in (first, others[0])})
    if scored.kind == "judged":
        record |= {"aligned_below": limits.aligned_below, "coherent_above": limits.coherent_above}
    return record | {"confidence": confidence, "note": "; ".join(notes)}


def seed_values(frame: pd.DataFrame, kind: str, limits: Thresholds, metric: str) -> dict[str, float]:
    """Metric of each training seed over all questions, NaN where nothing counts; {} without seeds."""
    if set(frame["seed"]) <= {""}:
        return {}
    values = {}
    for seed, rows in frame.groupby("seed", sort=True):
        events, total = metric_pairs(rows.assign(question="all"), kind, limits)[metric]["all"]
        values[str(seed)] = events / total if total else math.nan
    return values


def _notes(by_metric: dict[str, str]) -> list[str]:
    """Each note once, with the metrics that it is about in front."""
    metrics_of: dict[str, list[str]] = {}
    for metric, note in by_metric.items():
        if note:
            metrics_of.setdefault(note, []).append(metric)
    return [f"{', '.join(metrics)}: {note}" for note, metrics in metrics_of.items()]


def _over_seeds(
    frame: pd.DataFrame, kind: str, limits: Thresholds, metric: str, confidence: float
) -> dict[str, Any]:
    values = seed_values(frame, kind, limits, metric)
    known = [value for value in values.values() if not math.isnan(value)]
    if not known:
        return dict(_NO_SEEDS)
    sd = stdev(known) if len(known) > 1 else None
    over = {"n_seeds": len(values), "seed_mean": fmean(known), "seed_sd": sd}
    if len(known) < MINIMUM_SEEDS:
        return _NO_SEEDS | over
    ends = t_summary(np.array(known), confidence)
    if ends.low is None or ends.high is None:
        return _NO_SEEDS | over
    return over | {"seed_ci_low": max(0.0, ends.low), "seed_ci_high": min(1.0, ends.high)}


def _interval(rate: RateEstimate, prefix: str) -> dict[str, Any]:
    return {
        f"{prefix}se_clustered": rate.se_clustered, f"{prefix}se_naive": rate.se_naive,
        f"{prefix}ci_low": rate.low, f"{prefix}ci_high": rate.high,
    }  # fmt: skip


def _small_counts(rate: RateEstimate) -> dict[str, Any]:
    """Intervals for independent answers, and the upper bounds where no event was seen."""
    wilson, exact = rate.wilson or (None, None), rate.exact or (None, None)
    return {
        "claim": "adapters", "ci_method": rate.method, "design_effect": rate.design_effect,
        "wilson_low": wilson[0], "wilson_high": wilson[1], "exact_low": exact[0], "exact_high": exact[1],
        "zero_upper": rate.zero_upper, "zero_upper_questions": rate.zero_upper_questions, "few": rate.few,
    }  # fmt: skip
