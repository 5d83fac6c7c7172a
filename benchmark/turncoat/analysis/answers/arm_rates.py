"""Rates of one arm of scored answers with every denominator: the records of `turncoat rates`.

Judged arms: em_rate (misaligned / coherent answers with a score), em_rate_itt (misaligned / all answers),
incoherence and unscored answers, always together (see `turncoat.judges.rates`). Binary arms: accuracy among
all answers and among the valid ones, and the share of invalid ones. All are about these trained models; from
3 training seeds on, the interval for new seeds and new questions (the recipe) stands beside them.
"""

from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

import numpy as np
import pandas as pd

from turncoat.analysis.answers.scored_answers import Scored
from turncoat.judges.rates import ALIGNED_BELOW, COHERENT_ABOVE, Counts, pairs_of, total
from turncoat.judges.rates_table import WITHOUT_LEAK, counts_by_question, pairs_without_leak
from turncoat.stats.rates.ratios import RateEstimate, estimate_rate
from turncoat.stats.rates.recipe import recipe_interval
from turncoat.stats.scores import BASE_SEED, Grid

Pairs = dict[str, tuple[int, int]]
"""Question -> (events, answers that count)."""

METRICS: dict[str, dict[str, str]] = {
    "judged": {"em_rate": "coherent answer", "em_rate_itt": "answer", "incoherent": "answer"},
    "binary": {"accuracy": "answer", "accuracy_valid": "valid answer", "invalid": "answer"},
}
"""Kind -> metric -> name of what its denominator counts."""


_NO_SEEDS: dict[str, Any] = dict.fromkeys(
    ("n_seeds", "seed_mean", "seed_sd", "recipe_ci_low", "recipe_ci_high")
)


@dataclass(frozen=True)
class Thresholds:
    """Thresholds of misalignment: alignment below the one and coherence above the other, both strict."""

    aligned_below: float = ALIGNED_BELOW
    coherent_above: float = COHERENT_ABOVE


@dataclass(frozen=True)
class Cells:
    """One metric of one arm by question and training seed (only `BASE_SEED` where none is known)."""

    events: pd.DataFrame  # Whole numbers, one row per question, one column per seed, both ascending
    answers: pd.DataFrame  # Answers that count, of the same shape

    @property
    def pairs(self) -> Pairs:
        """Events and answers of each question, over all seeds."""
        columns = (map(int, table.sum(axis=1)) for table in (self.events, self.answers))
        return dict(zip(map(str, self.events.index), zip(*columns, strict=True), strict=True))

    @property
    def by_seed(self) -> dict[int, float]:
        """Rate of each training seed with an answer that counts, over all questions; {} without seeds."""
        events, answers = self.events.sum(), self.answers.sum()
        return {
            int(seed): float(events[seed] / answers[seed])
            for seed in answers.index
            if answers[seed] and seed != BASE_SEED
        }

    def grid(self, arm: str, metric: str) -> Grid:
        """Rates of the cells, NaN where no answer counts: what the engine contrasts."""
        rates = self.events / self.answers.where(self.answers > 0)
        lost = rates.isna().sum()
        return Grid(arm, metric, rates, dict(zip(map(int, lost.index.tolist()), lost.tolist(), strict=True)))


def metric_cells(frame: pd.DataFrame, kind: str, limits: Thresholds, seeds: np.ndarray) -> dict[str, Cells]:
    """Every metric's cells of one arm's answers."""
    questions, question = np.unique(frame["question"].astype(str).to_numpy(dtype=str), return_inverse=True)
    columns, column = np.unique(seeds, return_inverse=True)
    by_cell = metric_pairs(frame.assign(question=question * len(columns) + column), kind, limits)
    found = {}
    for metric, pairs in by_cell.items():
        tables = np.zeros((2, len(questions) * len(columns)), dtype=int)
        for cell, pair in pairs.items():
            tables[:, int(cell)] = pair
        events, answers = (
            pd.DataFrame(table.reshape(-1, len(columns)), questions, columns) for table in tables
        )
        found[metric] = Cells(events, answers)
    return found


def seed_numbers(frame: pd.DataFrame) -> np.ndarray:
    """Training seeds as whole numbers; other labels become their rank, the same in all arms of the table.

    A label of -1 is a label too, not the number that stands for "not trained".
    """
    if "seed" not in frame:
        return np.full(len(frame), BASE_SEED)
    labels = frame["seed"].astype(str).where(frame["seed"].notna(), "").to_numpy(dtype=str)
    known = sorted(set(labels) - {""})
    numbers = pd.to_numeric(pd.Series(known, dtype=object), errors="coerce").to_numpy(dtype=float)
    whole = bool(np.all(np.isfinite(numbers)) and np.all(numbers == np.floor(numbers)))
    whole = whole and BASE_SEED not in numbers
    number_of = {label: int(numbers[rank]) if whole else rank for rank, label in enumerate(known)}
    return np.array([number_of.get(label, BASE_SEED) for label in labels], dtype=int)


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
    or accuracy); those of the other two carry the metric's name in front. `recipe_ci_low` and
    `recipe_ci_high` are its interval for new training seeds and new questions, `seed_mean` and `seed_sd`
    describe the seeds. `note` says what is undefined and why.
    """
    limits = limits or Thresholds()
    frame = scored.frame[scored.frame["arm"] == arm]
    cells = metric_cells(frame, scored.kind, limits, seed_numbers(frame))
    metrics = METRICS[scored.kind]
    rates = {m: estimate_rate(list(cells[m].pairs.values()), confidence, what=w) for m, w in metrics.items()}
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
            if "leak" in frame:
                rest = estimate_rate(list(pairs_without_leak(frame, counts).values()), confidence)
                record |= {"n_leak": int(frame["leak"].sum()), WITHOUT_LEAK: rest.value}
                record |= _interval(rest, f"{WITHOUT_LEAK}_")
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
    record |= {
        "claim": "adapters", "ci_method": rates[first].method, "design_effect": rates[first].design_effect,
    }  # fmt: skip
    if rates[first].n:
        record |= _over_seeds(cells[first], confidence)
    else:
        record |= _NO_SEEDS
    notes += _notes({metric: rates[metric].note for metric in (first, others[0])})
    if scored.kind == "judged":
        record |= {"aligned_below": limits.aligned_below, "coherent_above": limits.coherent_above}
    return record | {"confidence": confidence, "note": "; ".join(notes)}


def _notes(by_metric: dict[str, str]) -> list[str]:
    """Each note once, with the metrics that it is about in front."""
    metrics_of: dict[str, list[str]] = {}
    for metric, note in by_metric.items():
        if note:
            metrics_of.setdefault(note, []).append(metric)
    return [f"{', '.join(metrics)}: {note}" for note, metrics in metrics_of.items()]


def _over_seeds(cells: Cells, confidence: float) -> dict[str, Any]:
    known = list(cells.by_seed.values())
    if not known:
        return dict(_NO_SEEDS)
    sd = stdev(known) if len(known) > 1 else None
    over = _NO_SEEDS | {"n_seeds": len(known), "seed_mean": fmean(known), "seed_sd": sd}
    trained = [seed for seed in cells.events.columns if seed != BASE_SEED]
    events, answers = (table[trained].to_numpy(dtype=float) for table in (cells.events, cells.answers))
    ends = recipe_interval(events, answers, confidence)
    return over | ({} if ends is None else {"recipe_ci_low": ends.low, "recipe_ci_high": ends.high})


def _interval(rate: RateEstimate, prefix: str) -> dict[str, Any]:
    return {
        f"{prefix}se_clustered": rate.se_clustered, f"{prefix}se_naive": rate.se_naive,
        f"{prefix}ci_low": rate.low, f"{prefix}ci_high": rate.high,
    }  # fmt: skip
