"""Calibration of the interval of a rate near 0, questions as clusters: the t interval and the exact one."""

import numpy as np
from scipy import stats

from turncoat.stats.rates.clustered_error import ratio_stderr
from turncoat.stats.rates.effective_answers import clustered_interval

DESIGNS = ((8, 100), (24, 20), (96, 10))
"""Questions, answers to each."""
RATES = (0.01, 0.05, 0.15)
CORRELATIONS = (0.0, 0.05, 0.2)
"""Intraclass correlations of beta-binomial questions: 0 where all questions have the same rate."""


def drawn_events(
    questions: int, answers: int, rate: float, correlation: float, times: int, rng: np.random.Generator
) -> np.ndarray:
    """Events of beta-binomial questions, shape (times, questions)."""
    rates = np.full((times, questions), rate)
    if correlation:
        size = 1 / correlation - 1
        rates = rng.beta(rate * size, (1 - rate) * size, (times, questions))
    return rng.binomial(answers, rates)


def coverage(events: np.ndarray, answers: int, rate: float) -> dict[str, float]:
    """Shares of the 95 % intervals that hold the rate, and their mean widths, by the t and the exact method.

    Without an event the t interval is that of "0 of as many questions", as reports had it.

    Args:
        events: Shape (experiments, questions); every question has the same number of answers.
    """
    questions = events.shape[1]
    quantile = float(stats.t.ppf(0.975, questions - 1))
    exact, plain = [], []
    for row in events.tolist():
        pairs = [(x, answers) for x in row]
        ends = clustered_interval(pairs)[0]
        value, half = sum(row) / questions / answers, quantile * ratio_stderr(pairs)
        exact.append(ends)
        plain.append(ends if np.isnan(half) else (max(0.0, value - half), min(1.0, value + half)))
    found = {}
    for name, intervals in (("t", np.array(plain)), ("exact", np.array(exact))):
        low, high = intervals.T
        found[name] = float(np.mean((low <= rate) & (rate <= high)))
        found[f"{name}_width"] = float(np.mean(high - low))
    return found


def rate_table(replicates: int, seed: int) -> list[str]:
    """Lines of the calibration page: a Markdown table, one row per design, rate and correlation; per cent."""
    rng = np.random.default_rng(seed)
    lines = [
        "Rates near 0, questions as clusters: the t interval, and the exact one on effective answers that",
        f"Turncoat prints. {replicates} experiments per row, beta-binomial questions; correlation is that of",
        "answers to one question.",
        "",
        "| questions x answers | rate | correlation | t: covers | mean width | exact: covers | mean width |",
        "| ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for (questions, answers), rate, correlation in [
        (design, rate, correlation) for design in DESIGNS for rate in RATES for correlation in CORRELATIONS
    ]:
        events = drawn_events(questions, answers, rate, correlation, replicates, rng)
        found = coverage(events, answers, rate)
        cells = [f"{100 * found[name]:.1f}" for name in ("t", "t_width", "exact", "exact_width")]
        cells = [f"{questions} x {answers}", f"{rate:g}", f"{correlation:g}", *cells]
        lines.append(f"| {' | '.join(cells)} |")
    return lines
