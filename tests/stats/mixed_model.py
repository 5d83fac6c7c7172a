"""A logistic mixed model as an oracle: the same question as a paired contrast, answered by another method.

    logit P(yes) = b0 + b1 treated + u_question + v_question treated + w_run,      u, v, w normal

The fit maximises the Laplace approximation of the likelihood, as lme4's glmer does.

References:
    Jaeger (2008), Journal of Memory and Language 59(4) (logistic models with crossed subjects and items).
    Bates, Maechler, Bolker & Walker (2015), Journal of Statistical Software 67(1) (lme4).
"""

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import linalg, optimize, special, stats


class MixedModel(NamedTuple):
    """b1 (log odds ratio), its standard error and p, and the SDs of questions, their shifts and runs."""

    log_odds: float
    se: float
    p_value: float
    sds: np.ndarray


def logistic_mixed_model(answers: pd.DataFrame) -> MixedModel:
    """Fit answers with the columns question, run (a trained adapter), treated (0 or 1) and value (0 or 1)."""
    cells = answers.groupby(["question", "run", "treated"])["value"].agg(["sum", "count"]).reset_index()
    yes, n = cells["sum"].to_numpy(float), cells["count"].to_numpy(float)
    centred = cells["treated"].to_numpy() - 0.5
    fixed = np.column_stack([np.ones(len(cells)), centred])
    questions, runs = (pd.get_dummies(cells[column]).to_numpy(float) for column in ("question", "run"))
    parts = (questions, questions * centred[:, None], runs)
    random = np.hstack(parts)
    sd_of = np.repeat([0, 1, 2], [part.shape[1] for part in parts])

    def maximum(sds: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Newton's method; random effects in units of their SD, so that an SD of 0 is allowed."""
        columns = np.hstack([fixed, random * sds[sd_of]])
        penalty = np.concatenate([np.zeros(2), np.ones(random.shape[1])])
        found, hessian = np.zeros(columns.shape[1]), np.eye(columns.shape[1])
        for _ in range(50):
            share = special.expit(columns @ found)
            gradient = columns.T @ (yes - n * share) - penalty * found
            hessian = (columns.T * (n * share * (1 - share))) @ columns + np.diag(penalty)
            step = linalg.solve(hessian, gradient, assume_a="pos")
            found = found + step / max(1.0, float(np.abs(step).max()) / 2)
            if np.abs(step).max() < 1e-10:
                break
        return columns, found, hessian

    def negative_log_likelihood(sds: np.ndarray) -> float:
        columns, found, hessian = maximum(sds)
        linear = columns @ found
        likelihood = float((yes * linear - n * np.logaddexp(0, linear)).sum())
        return (
            -likelihood
            + 0.5 * float(found[2:] @ found[2:])
            + 0.5 * float(np.linalg.slogdet(hessian[2:, 2:])[1])
        )

    fitted = optimize.minimize(
        negative_log_likelihood, np.full(3, 0.5), method="L-BFGS-B", bounds=[(0.0, 10.0)] * 3
    )
    _, found, hessian = maximum(fitted.x)
    log_odds, se = float(found[1]), float(linalg.inv(hessian)[1, 1] ** 0.5)
    return MixedModel(log_odds, se, 2 * float(stats.norm.sf(abs(log_odds) / se)), fitted.x)
