"""Interval of a rate for new training seeds and new questions: a claim about the recipe.

The widest of three, as for contrasts (`turncoat.stats.contrasts`): over questions (these adapters), over
training seeds (these questions), and the two-way one (`turncoat.stats.two_way`). Each is exact, on the
effective number of answers of its standard error (`turncoat.stats.estimates.effective_trials`). The cells are
linearised, so that their mean is the rate of totals:

    z_qs = r + (x_qs - r n_qs) / mean(n)
"""

import numpy as np

from turncoat.stats.estimates import Interval, effective_trials, exact_interval, rare_df
from turncoat.stats.rates.effective_answers import clustered_interval
from turncoat.stats.scores import MINIMUM_SEEDS
from turncoat.stats.two_way import two_way_t


def recipe_interval(events: np.ndarray, answers: np.ndarray, confidence: float = 0.95) -> Interval | None:
    """Interval of sum of events / sum of answers; None with fewer than 3 seeds or 2 questions with answers.

    Args:
        events: Per question and training seed, shape (questions, seeds).
        answers: Those that count, of the same shape; a question or seed without any is left out.
    """
    counted = answers > 0
    events, answers = (table[counted.any(axis=1)][:, counted.any(axis=0)] for table in (events, answers))
    questions, seeds = answers.shape
    if questions < 2 or seeds < MINIMUM_SEEDS:
        return None
    total = float(answers.sum())
    rate, fewest = float(events.sum()) / total, float(min(questions, seeds))
    by_question = list(zip(events.sum(axis=1).tolist(), answers.sum(axis=1).tolist(), strict=True))
    ends = [clustered_interval(by_question, confidence)[0]]
    cells = np.where(answers > 0, rate + (events - rate * answers) / answers[answers > 0].mean(), np.nan)
    two_way = two_way_t(cells, confidence)
    over_seeds = float(np.nanmean(cells, axis=0).std(ddof=1)) / seeds**0.5
    touched = (int((events.sum(axis=1) > 0).sum()), int((events < answers).any(axis=1).sum()))
    for se, df in ((over_seeds, seeds - 1.0), (two_way.se, two_way.df or 1.0)):
        n = effective_trials(rate, se, min(df, rare_df(touched, questions)), (fewest, total), confidence)
        ends.append(exact_interval(rate * n, n, confidence))
    return Interval(min(low for low, _ in ends), max(high for _, high in ends))
