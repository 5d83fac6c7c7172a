"""One arm against another, paired, as two kinds of claim that are never mixed.

* `adapters`: about these trained adapters. The question is the sampling unit; an arm's seeds are averaged within each
  question.
* `recipe`: about the training recipe. Training seeds and questions are both samples; with fewer than 3 seeds nothing is
  claimed. Interval and p are the more cautious of two: the t over seeds alone (fields `*_seeds`: new seeds, the same
  questions) and the two-way t (fields `*_two_way`: new seeds and new questions; `turncoat.stats.two_way` says why no
  bootstrap). The exact sign-flip test over seeds stands beside them.

A narrow interval of the first kind proves nothing of the second: a finetune shifts all questions alike, so single
adapters differ "significantly" while the recipe has no effect.

    paired_contrast(scores, "insecure", "secure", "em_rate_itt", "recipe").low

References:
    Miller (2024), arXiv:2411.00640 (paired differences, clustered errors).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd

from turncoat.errors import UserError
from turncoat.stats.estimates import ROUNDING, check_confidence, t_summary
from turncoat.stats.paired import Differences, pair_differences, subtract
from turncoat.stats.power import MINIMUM_SEEDS
from turncoat.stats.scores import Grid, check_scores, grid
from turncoat.stats.sign_flip import sign_flip_p
from turncoat.stats.t_errors import (
    OVER_QUESTIONS,
    OVER_SEEDS,
    TWO_WAY,
    TError,
    largest_detectable,
    largest_p,
    widest,
)
from turncoat.stats.two_way import two_way_t

Claim = Literal["adapters", "recipe"]
CLAIMS: tuple[Claim, ...] = ("adapters", "recipe")


class TooFewQuestions(UserError):
    """Two arms share fewer than two questions that have a value in both."""


@dataclass(frozen=True)
class Contrast:
    """Treated minus reference on one metric, under one kind of claim.

    Attributes:
        name: What the contrast is called.
        metric: Metric name.
        claim: "adapters" (questions are the sample) or "recipe" (training seeds and questions are).
        treated: Arm that is subtracted from.
        reference: Arm that is subtracted.
        difference: Mean difference, in the units of the metric; None if undefined.
        low: Lower end of the t interval, None if no claim is allowed.
        high: Upper end of it.
        se: Standard error that the interval rests on.
        df: Its degrees of freedom: units - 1, or Satterthwaite's.
        p_value: Two-sided t p that goes with the interval; the sign-flip p where the differences have no spread.
        p_permutation: Two-sided sign-flip p, over questions (adapters) or seeds (recipe).
        p_adjusted: p after the correction within the family; None until the family is known.
        n_questions: Questions with a value in both arms.
        n_seeds: Training seeds averaged (adapters) or shared (recipe).
        seed_deltas: Per-seed differences in ascending order of the seed (recipe only).
        seed_sd: SD of `seed_deltas`, None below 2 seeds.
        detectable: Effect that a test at level 1 - confidence sees with 80 % power, given the error(s).
        family: Family that p_adjusted refers to.
        note: In plain words, whatever limits the claim.
        n_dropped: NaN values left out, both arms together.
        method: What the interval is over: "t over questions", "t over seeds" or "t over seeds and questions".
        low_seeds: Lower end of the t interval over seeds alone: new seeds on the same questions (recipe only).
        high_seeds: Upper end of it.
        p_seeds: Its p.
        low_two_way: Lower end of the two-way interval: new seeds and new questions (recipe only).
        high_two_way: Upper end of it.
        se_two_way: Its standard error.
        df_two_way: Its degrees of freedom.
        p_two_way: Its p.
        minus_treated: For a difference of differences, the arm of the second difference that is subtracted from.
        minus_reference: The arm subtracted in it.
    """

    name: str
    metric: str
    claim: Claim
    treated: str
    reference: str
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    se: float | None = None
    df: float | None = None
    p_value: float | None = None
    p_permutation: float | None = None
    p_adjusted: float | None = None
    n_questions: int = 0
    n_seeds: int = 0
    seed_deltas: tuple[float, ...] = ()
    seed_sd: float | None = None
    detectable: float | None = None
    family: str = ""
    note: str = ""
    n_dropped: int = 0
    method: str = ""
    low_seeds: float | None = None
    high_seeds: float | None = None
    p_seeds: float | None = None
    low_two_way: float | None = None
    high_two_way: float | None = None
    se_two_way: float | None = None
    df_two_way: float | None = None
    p_two_way: float | None = None
    minus_treated: str = ""
    minus_reference: str = ""

    @property
    def errors(self) -> list[TError]:
        """The standard errors that its t tests use; none where no t test is possible."""
        if self.se is None or self.df is None:
            return []
        if self.claim == "adapters":
            return [TError(self.se, self.df, self.method)]
        found = []
        if self.seed_sd:
            found.append(TError(self.seed_sd / self.n_seeds**0.5, self.n_seeds - 1, OVER_SEEDS))
        if self.se_two_way is not None and self.df_two_way is not None:
            found.append(TError(self.se_two_way, self.df_two_way, TWO_WAY))
        return found


def paired_contrast(
    scores: pd.DataFrame,
    treated: str,
    reference: str,
    metric: str,
    claim: Claim,
    *,
    name: str | None = None,
    family: str = "",
    confidence: float = 0.95,
    rng: np.random.Generator | int = 0,
) -> Contrast:
    r"""Contrast two arms on the questions they share.

    adapters:  d_q = mean_s treated_{q,s} - mean_s reference_{q,s};  SE = sd(d) / sqrt(G);  t with G - 1 df. Where
    both arms have the same seeds, a (question, seed) cell without a value in one arm is left out of both, so a lost
    answer never unbalances the seeds.

    recipe:  delta_s = mean_q (treated_{q,s} - reference_{q,s}) for every seed s of both arms (the base model, seed
    -1, is shared by all), for n >= 3 seeds. The interval is the wider of  mean -+ t_{n-1} sd(delta) / sqrt(n)  and the
    two-way interval, the p the larger of theirs. Below 3 seeds there is neither interval nor p, and `note` says so.

    Args:
        scores: The tidy score table (`check_scores` lists its columns).
        treated: Arm to subtract from.
        reference: Arm to subtract, usually the matched control.
        metric: Metric name.
        claim: "adapters" or "recipe".
        name: Name of the contrast; default "treated minus reference".
        family: Copied into the result.
        confidence: Confidence level; tests are at level 1 - confidence.
        rng: Generator or seed for the sign flips where they are too many to enumerate.

    Raises:
        UserError: An arm or metric is absent, the two arms are one, or (TooFewQuestions) they share fewer than 2
        questions.
    """
    checked = check_scores(scores)
    return contrast_grids(
        grid(checked, treated, metric),
        grid(checked, reference, metric),
        claim,
        name=name,
        family=family,
        confidence=confidence,
        rng=rng,
    )


def contrast_grids(
    treated: Grid,
    reference: Grid,
    claim: Claim,
    *,
    name: str | None = None,
    family: str = "",
    confidence: float = 0.95,
    rng: np.random.Generator | int = 0,
    permutation: bool = True,
) -> Contrast:
    """The maths of `paired_contrast`, on grids that are already cut out; without `permutation` no sign-flip test is made."""
    if treated.arm == reference.arm:
        raise UserError(f"treated and reference are both '{treated.arm}': a contrast needs two arms.")
    result = Contrast(
        name=name or f"{treated.arm} minus {reference.arm}",
        metric=treated.metric,
        claim=claim,
        treated=treated.arm,
        reference=reference.arm,
        family=family,
    )
    return filled_contrast(result, pair_differences(treated, reference), confidence, rng if permutation else None)


def difference_of_grids(
    pair: tuple[Grid, Grid],
    minus: tuple[Grid, Grid],
    claim: Claim,
    *,
    name: str | None = None,
    confidence: float = 0.95,
    rng: np.random.Generator | int = 0,
) -> Contrast:
    """Difference in differences: (treated - reference) of `pair` minus (treated - reference) of `minus`.

    All four arms are joined question by question and seed by seed, so whatever a question, a seed or any finetuning adds to
    both sides cancels. Source of the design: Card & Krueger (1994), American Economic Review 84(4).
    """
    arms = [side.arm for side in (*pair, *minus)]
    if arms[0] == arms[1] or arms[2] == arms[3] or arms[:2] == arms[2:]:
        raise UserError(
            f"({arms[0]} minus {arms[1]}) minus ({arms[2]} minus {arms[3]}): a difference of differences needs two "
            "different pairs of different arms."
        )
    result = Contrast(
        name=name or f"({arms[0]} minus {arms[1]}) minus ({arms[2]} minus {arms[3]})",
        metric=pair[0].metric,
        claim=claim,
        treated=arms[0],
        reference=arms[1],
        minus_treated=arms[2],
        minus_reference=arms[3],
    )
    return filled_contrast(result, subtract(pair_differences(*pair), pair_differences(*minus)), confidence, rng)


def filled_contrast(
    result: Contrast, found: Differences, confidence: float = 0.95, rng: np.random.Generator | int | None = 0
) -> Contrast:
    """Fill in every number of a contrast that so far holds its names only; without `rng` no sign-flip test is made.

    Raises:
        UserError: The claim is unknown, or (TooFewQuestions) fewer than 2 questions have a difference.
    """
    if result.claim not in CLAIMS:
        raise UserError(f"claim = {result.claim!r} is unknown; choose one of {', '.join(CLAIMS)}.")
    check_confidence(confidence)
    common = len(found.by_question)
    if common < 2:
        arms = [arm for arm in (result.treated, result.reference, result.minus_treated, result.minus_reference) if arm]
        raise TooFewQuestions(
            f"arms {', '.join(repr(arm) for arm in arms)} share {common} question(s) with a value of "
            f"'{result.metric}' in all; a paired contrast needs at least 2. Run them on the same questions, "
            "or find out why their values are NaN."
        )
    notes = []
    if common < found.n_asked:
        left_out = f"{found.n_asked - common} of {found.n_asked} questions have no value in one of the arms"
        notes.append(f"{left_out} and are left out")
    notes += found.notes
    result = replace(result, n_questions=common, n_seeds=found.n_seeds, n_dropped=found.n_dropped)
    if result.claim == "adapters":
        units = _without_rounding(found.by_question.to_numpy(), found.scale)
    else:
        cells = found.cells if found.trained else found.cells.iloc[:, :0]
        units = _without_rounding(cells.mean(axis=0).dropna().to_numpy(), found.scale)
        spread = float(np.std(units, ddof=1)) if len(units) > 1 else None
        if spread is not None and spread <= ROUNDING * found.scale:
            spread = 0.0
        result = replace(result, n_seeds=len(units), seed_deltas=tuple(float(d) for d in units), seed_sd=spread)
        if cells.notna().any(axis=1).sum() > cells.notna().all(axis=1).sum():
            notes.append("the training seeds do not all have a value for the same questions")
        if len(units) < MINIMUM_SEEDS:
            notes.insert(0, _no_claim(len(units)) if found.trained else "no recipe: neither arm is trained")
            mean = float(np.mean(units)) if len(units) else None
            return replace(result, difference=mean, note="; ".join(notes))
        result = _with_two_way(result, cells, confidence, found.scale)
    return _with_tests(result, units, found.scale, confidence, rng, notes)


def _without_rounding(units: np.ndarray, scale: float) -> np.ndarray:
    return np.where(np.abs(units) <= ROUNDING * scale, 0.0, units)  # a difference of rounding errors is none


def _with_two_way(result: Contrast, cells: pd.DataFrame, confidence: float, scale: float) -> Contrast:
    """Fill in the two-way interval; not where all seeds agree to the last bit, which no finetune does by itself."""
    if not result.seed_sd:
        return result
    found = two_way_t(cells, confidence, scale)
    return replace(
        result,
        low_two_way=found.low,
        high_two_way=found.high,
        se_two_way=found.se,
        df_two_way=found.df,
        p_two_way=found.p_value,
    )


def _with_tests(
    result: Contrast,
    units: np.ndarray,
    scale: float,
    confidence: float,
    rng: np.random.Generator | int | None,
    notes: list[str],
) -> Contrast:
    """Fill in the t tests and the sign-flip test over independent units (questions or seeds)."""
    alpha = round(1 - confidence, 12)
    unit = "questions" if result.claim == "adapters" else "training seeds"
    summary = t_summary(units, confidence, scale)
    if summary.se is None:
        notes.append(f"all {unit} show the same difference, so there is no t interval and p is the sign-flip p")
    floor = 2.0 ** (1 - len(units))
    if floor > alpha:
        notes.append(
            f"with {len(units)} {unit} the exact sign-flip test cannot go below p = {floor:.3g}, so any smaller p "
            "rests on the assumption of normal differences"
        )
    # Without any spread the sign-flip p is the only one there is, and enumerating it is cheap enough.
    flipped = sign_flip_p(units, 0 if rng is None else rng) if rng is not None or summary.se is None else None
    result = replace(result, difference=summary.mean, p_permutation=flipped, note="; ".join(notes))
    if summary.se is None or summary.df is None:
        return replace(result, df=summary.df, p_value=flipped)
    result = replace(result, se=summary.se, df=summary.df, method=OVER_QUESTIONS)
    if result.claim == "recipe":
        result = replace(result, low_seeds=summary.low, high_seeds=summary.high, p_seeds=summary.p_value)
    low, high, error = widest(summary.mean, result.errors, confidence)
    return replace(
        result,
        low=low,
        high=high,
        se=error.se,
        df=error.df,
        method=error.method,
        p_value=largest_p(summary.mean, result.errors),
        detectable=largest_detectable(result.errors, alpha),
    )


def _no_claim(n_seeds: int) -> str:
    if n_seeds == 0:
        return f"no shared training seed, so no claim about the recipe; at least {MINIMUM_SEEDS} are needed"
    seeds = "1 training seed allows" if n_seeds == 1 else f"{n_seeds} training seeds allow"
    return f"{seeds} no claim about the recipe; at least {MINIMUM_SEEDS} are needed"
