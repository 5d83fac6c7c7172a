"""Paired contrasts of two arms, as two kinds of claim that are never mixed.

* `adapters`: these trained adapters. Questions are the sample; an arm's seeds are averaged within each
  question.
* `recipe`: training again. Seeds and questions are the sample; fewer than 3 seeds allow no claim. Interval
  and p are the most cautious of the t over seeds (new seeds, same questions), the two-way t (new seeds and
  questions) and the t over questions; from 6 seeds on, the p is at least that of exact sign flips over
  seeds.

A claim may be marked as significant by `p_mark`, which allows for skewed differences and is 1 where a data
pattern bars every mark (`turncoat.stats.marks`).

A narrow interval of the first kind proves nothing of the second: a finetune shifts all questions alike, so
single adapters differ "significantly" while the recipe has no effect.

    paired_contrast(scores, "insecure", "secure", "em_rate_itt", "recipe").low

References:
    Miller (2024), arXiv:2411.00640 (paired differences, clustered errors).
    Card & Krueger (1994), American Economic Review 84(4) (difference in differences).
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from turncoat.errors import UserError
from turncoat.stats.estimates import ROUNDING, check_confidence, t_summary
from turncoat.stats.marks import bars, may_be_marked
from turncoat.stats.paired import Differences, pair_differences, subtract
from turncoat.stats.scores import MINIMUM_SEEDS, Grid, check_scores, grid
from turncoat.stats.sign_flip import sign_flip_p
from turncoat.stats.skew import standardised_skew
from turncoat.stats.t_errors import (
    OVER_QUESTIONS,
    OVER_SEEDS,
    TWO_WAY,
    TError,
    largest_p,
    largest_skew_p,
    widest,
)
from turncoat.stats.two_way import two_way_t

Claim = Literal["adapters", "recipe"]
CLAIMS: tuple[Claim, ...] = ("adapters", "recipe")


class TooFewQuestions(UserError):
    """Two arms share fewer than two questions that have a value in both."""


@dataclass(frozen=True)
class TTest:
    """Two-sided t test of "the difference is 0" with its interval, in units of the metric."""

    low: float | None = None
    high: float | None = None
    se: float | None = None
    df: float | None = None
    p: float | None = None


@dataclass(frozen=True)
class Contrast:
    """Treated minus reference on one metric under one claim, in units of the metric; None where undefined."""

    name: str  # Names of the contrast and the metric
    metric: str
    claim: Claim  # "adapters" or "recipe"
    treated: str  # Arm that is subtracted from, arm that is subtracted
    reference: str
    minus_treated: str = ""  # The same of the second difference of a difference of differences
    minus_reference: str = ""
    difference: float | None = None  # Mean difference
    low: float | None = None  # Ends of the t interval
    high: float | None = None
    # Standard error of the interval and degrees of freedom (units - 1, or Satterthwaite's)
    se: float | None = None
    df: float | None = None
    # Two-sided t p, for a recipe of 6 seeds or more the sign-flip p if that is larger; the sign-flip p where
    # the differences have no spread
    p_value: float | None = None
    # Units of the interval: "t over questions", "t over seeds" or "t over seeds and questions"
    method: str = ""
    p_permutation: float | None = None  # Two-sided sign-flip p, over questions (adapters) or seeds (recipe)
    n_questions: int = 0  # Questions with a value in both arms
    n_seeds: int = 0  # Training seeds averaged (adapters) or shared (recipe)
    n_dropped: int = 0  # NaN values left out, both arms together
    seed_deltas: tuple[float, ...] = ()  # Differences per seed, in ascending order of the seed (recipe only)
    seed_sd: float | None = None  # SD of `seed_deltas`, from 2 seeds on
    note: str = ""  # Limits of the claim, in words
    p_mark: float | None = (
        None  # p that a mark needs below the level: `p_value`, skew allowed for; 1 if barred
    )
    barred: str = ""  # Reason why no p of this contrast is marked; empty where it may be
    # The t over seeds (same questions), the t over seeds and questions (recipe only)
    seeds: TTest = field(default_factory=TTest)
    two_way: TTest = field(default_factory=TTest)
    questions: TError | None = None  # The error over questions, for either claim
    instrument: TError | None = None  # SD of the difference over re-made instruments (`stats.instrument`)

    @property
    def errors(self) -> list[TError]:
        """Standard errors of its t tests; empty where no t test is possible."""
        if self.se is None:
            return []
        # the questions' third moment is part of the two-way mean's, measured against its larger error
        of_questions = self.questions or TError(0.0, 1.0)
        skew = of_questions.skew * (of_questions.se / (self.two_way.se or 1.0)) ** 3
        tests = ((self.seeds, OVER_SEEDS, 0.0), (self.two_way, TWO_WAY, skew))
        errors = [
            TError(t.se, t.df, method, skewed)
            for t, method, skewed in tests
            if t.se is not None and t.df is not None
        ]
        errors += [] if self.questions is None else [self.questions]
        if self.instrument is None:
            return errors
        # with more degrees of freedom a larger error may have the narrower interval, so both kinds stay
        return [*errors, *(error.plus(self.instrument) for error in errors)]

    def row(self) -> dict[str, Any]:
        """The contrast as one row of a table (columns: `ROW_COLUMNS`)."""
        flat = asdict(self)
        seeds, two_way, _ = flat.pop("seeds"), flat.pop("two_way"), flat.pop("questions")
        instrument = flat.pop("instrument")
        flat["instrument_se"] = instrument and instrument.se
        flat |= {f"{name}_seeds": seeds[name] for name in ("low", "high", "p")}
        return flat | {f"{name}_two_way": value for name, value in two_way.items()}


ROW_COLUMNS = tuple(Contrast("", "", "adapters", "", "").row())


def paired_contrast(
    scores: pd.DataFrame,
    treated: str,
    reference: str,
    metric: str,
    claim: Claim,
    *,
    confidence: float = 0.95,
    rng: np.random.Generator | int = 0,
) -> Contrast:
    """Contrast of two arms on the questions they share.

    adapters:  d_q = mean_s treated_{q,s} - mean_s reference_{q,s};  SE = sd(d) / sqrt(G);  t_{G-1}. Where
    both arms have the same seeds, a (question, seed) cell without a value in one arm is left out of both.

    recipe:  delta_s = mean_q (treated_{q,s} - reference_{q,s}) for every seed s of both arms (a base model is
    shared by all), n >= 3. The interval is the widest of  mean -+ t_{n-1} sd(delta) / sqrt(n),  the two-way
    interval and that over questions, the p the largest of theirs.

    Args:
        rng: Generator or seed for the sign flips where they are too many to enumerate.

    Raises:
        UserError: An arm or metric is absent, the two arms are one, or (TooFewQuestions) they share fewer
            than 2 questions.
    """
    checked = check_scores(scores)
    sides = grid(checked, treated, metric), grid(checked, reference, metric)
    return contrast_grids(*sides, claim, confidence=confidence, rng=rng)


def contrast_grids(
    treated: Grid,
    reference: Grid,
    claim: Claim,
    *,
    name: str = "",
    confidence: float = 0.95,
    rng: np.random.Generator | int | None = 0,
) -> Contrast:
    """`paired_contrast` of two grids; without `rng` no sign-flip test is made."""
    if treated.arm == reference.arm:
        raise UserError(f"treated and reference are both '{treated.arm}': a contrast needs two arms.")
    name = name or f"{treated.arm} minus {reference.arm}"
    empty = Contrast(name, treated.metric, claim, treated.arm, reference.arm)
    return filled_contrast(empty, pair_differences(treated, reference), confidence, rng)


def difference_of_grids(
    pair: tuple[Grid, Grid],
    minus: tuple[Grid, Grid],
    claim: Claim,
    *,
    name: str = "",
    confidence: float = 0.95,
    rng: np.random.Generator | int = 0,
) -> Contrast:
    """Difference in differences: (treated - reference) of `pair` minus (treated - reference) of `minus`.

    All four arms are joined question by question and seed by seed, so whatever a question, a seed or any
    finetuning adds to both sides cancels.
    """
    (a, b), (c, d) = (pair[0].arm, pair[1].arm), (minus[0].arm, minus[1].arm)
    formula = f"({a} minus {b}) minus ({c} minus {d})"
    if a == b or c == d or (a, b) == (c, d):
        raise UserError(
            f"{formula}: a difference of differences needs two different pairs of different arms."
        )
    empty = Contrast(name or formula, pair[0].metric, claim, a, b, c, d)
    return filled_contrast(
        empty, subtract(pair_differences(*pair), pair_differences(*minus)), confidence, rng
    )


def mean_difference(sides: Sequence[Grid], claim: Claim) -> float | None:
    """Mean difference of two sides, or of four (difference in differences); None where there is none."""
    differences = pair_differences(sides[0], sides[1])
    if len(sides) > 2:
        differences = subtract(differences, pair_differences(sides[2], sides[3]))
    values = differences.by_question if claim == "adapters" else differences.cells.mean(axis=0).dropna()
    return float(values.mean()) if len(values) else None


def filled_contrast(
    empty: Contrast,
    differences: Differences,
    confidence: float = 0.95,
    rng: np.random.Generator | int | None = 0,
) -> Contrast:
    """A contrast with every number filled in; without `rng` no sign-flip test is made.

    Raises:
        UserError: The claim is unknown, or (TooFewQuestions) fewer than 2 questions have a difference.
    """
    if empty.claim not in CLAIMS:
        raise UserError(f"claim = {empty.claim!r} is unknown; choose one of {', '.join(CLAIMS)}.")
    check_confidence(confidence)
    common, scale = len(differences.by_question), differences.scale
    if common < 2:
        arms = (empty.treated, empty.reference, empty.minus_treated, empty.minus_reference)
        raise TooFewQuestions(
            f"arms {', '.join(repr(arm) for arm in arms if arm)} share {common} question(s) with a value of "
            f"'{empty.metric}' in all; a paired contrast needs at least 2. Run them on the same questions, "
            "or find out why their values are NaN."
        )
    notes = []
    if common < differences.n_asked:
        left_out = f"{differences.n_asked - common} of {differences.n_asked} questions"
        notes.append(f"{left_out} have no value in one of the arms and are left out")
    notes += differences.notes
    result = replace(empty, n_questions=common, n_seeds=differences.n_seeds, n_dropped=differences.n_dropped)
    if result.claim == "adapters":
        by_question = _rounded(differences.by_question, scale)
        return _with_tests(result, by_question, by_question, scale, confidence, rng, notes)
    cells = differences.cells if differences.trained else differences.cells.iloc[:, :0]
    units = _rounded(cells.mean(axis=0).dropna(), scale)
    spread = float(np.std(units, ddof=1)) if len(units) > 1 else None
    if spread is not None and spread <= ROUNDING * scale:
        spread = 0.0
    result = replace(result, n_seeds=len(units), seed_deltas=tuple(float(d) for d in units), seed_sd=spread)
    there = ~np.isnan(cells.to_numpy(dtype=float))
    if there.any(axis=1).sum() > there.all(axis=1).sum():
        notes.append("the training seeds do not all have a value for the same questions")
    if len(units) < MINIMUM_SEEDS:
        notes.insert(0, _no_claim(len(units)) if differences.trained else "no recipe: neither arm is trained")
        return replace(
            result, difference=float(np.mean(units)) if len(units) else None, note="; ".join(notes)
        )
    if spread:  # not where all seeds agree to the last bit, which no finetune does by itself
        both = two_way_t(cells, confidence, scale)
        result = replace(result, two_way=TTest(both.low, both.high, both.se, both.df, both.p_value))
    by_question = _rounded(cells.mean(axis=1).dropna(), scale)
    return _with_tests(result, units, by_question, scale, confidence, rng, notes)


def _rounded(units: pd.Series, scale: float) -> np.ndarray:
    values = units.to_numpy()
    return np.where(np.abs(values) <= ROUNDING * scale, 0.0, values)  # rounding errors count as no difference


def _with_tests(
    result: Contrast,
    units: np.ndarray,
    by_question: np.ndarray,
    scale: float,
    confidence: float,
    rng: np.random.Generator | int | None,
    notes: list[str],
) -> Contrast:
    """The contrast with its t tests and its sign-flip test over independent units (questions or seeds)."""
    alpha = round(1 - confidence, 12)
    unit = "questions" if result.claim == "adapters" else "training seeds"
    summary = t_summary(units, confidence, scale)
    if summary.se is None:
        notes.append(
            f"all {unit} show the same difference, so there is no t interval and p is the sign-flip p"
        )
    # Without any spread the sign-flip p is the only one there is, and enumerating it is cheap enough.
    flipped = sign_flip_p(units, 0 if rng is None else rng) if rng is not None or summary.se is None else None
    result = replace(
        result, difference=summary.mean, p_permutation=flipped, note="; ".join(notes),
        barred=bars(by_question, result.n_seeds if result.claim == "recipe" else None, alpha),
    )  # fmt: skip
    if summary.se is None or summary.df is None:
        return replace(result, df=summary.df, p_value=flipped, p_mark=1.0 if result.barred else flipped)
    result = replace(result, se=summary.se, questions=_over_questions(by_question, confidence, scale))
    if result.claim == "recipe":
        seeds = TTest(summary.low, summary.high, summary.se, summary.df, summary.p_value)
        result = replace(result, seeds=seeds)
    return concluded(result, confidence)


def concluded(result: Contrast, confidence: float) -> Contrast:
    """The contrast with the most cautious interval and p of its errors."""
    assert result.difference is not None
    flipped, least = result.p_permutation, 0.0
    if result.claim == "recipe" and may_be_marked(result.n_seeds, round(1 - confidence, 12)):
        least = 0.0 if flipped is None else flipped
    low, high, error = widest(result.difference, result.errors, confidence)
    p_value = max(least, largest_p(result.difference, result.errors))
    p_mark = 1.0 if result.barred else max(least, largest_skew_p(result.difference, result.errors))
    result = replace(result, low=low, high=high, p_value=p_value, p_mark=p_mark)
    return replace(result, se=error.se, df=error.df, method=error.method)


def _over_questions(by_question: np.ndarray, confidence: float, scale: float) -> TError | None:
    summary = t_summary(by_question, confidence, scale)
    if summary.se is None or summary.df is None:
        return None
    return TError(summary.se, summary.df, OVER_QUESTIONS, standardised_skew(by_question))


def _no_claim(n_seeds: int) -> str:
    if n_seeds == 0:
        return f"no shared training seed, so no claim about the recipe; at least {MINIMUM_SEEDS} are needed"
    seeds = "1 training seed allows" if n_seeds == 1 else f"{n_seeds} training seeds allow"
    return f"{seeds} no claim about the recipe; at least {MINIMUM_SEEDS} are needed"
