"""Claims from rows: estimates, paired contrasts, corrections, power, and the sentences that say what they allow.

Everything starts from one tidy table, one row per (arm, seed, metric, question) with the columns `SCORE_COLUMNS`:

    analysis = analyse(scores, [ContrastSpec("insecure", "insecure", "secure", ("em_rate_itt",), "primary")])
    print("\\n".join(plain_words(analysis)))
"""

from __future__ import annotations

from turncoat.stats.analysis import Analysis, ContrastSpec, analyse
from turncoat.stats.contrasts import Contrast, TooFewQuestions, paired_contrast, sign_flip_p
from turncoat.stats.corrections import Equivalence, benjamini_hochberg, equivalence_test, holm
from turncoat.stats.estimates import Estimate, clopper_pearson, estimate_mean, wilson_interval, zero_events_upper
from turncoat.stats.grids import BASE_SEED, SCORE_COLUMNS, check_scores
from turncoat.stats.pairing import SeedNoise, seed_noise
from turncoat.stats.plain_words import plain_words
from turncoat.stats.power import (
    SeedPlan,
    detectable_by_seeds,
    detectable_effect,
    plan_seeds,
    seed_sd_interval,
    seeds_needed,
)

__all__ = [
    "BASE_SEED",
    "SCORE_COLUMNS",
    "Analysis",
    "Contrast",
    "ContrastSpec",
    "Equivalence",
    "Estimate",
    "SeedNoise",
    "SeedPlan",
    "TooFewQuestions",
    "analyse",
    "benjamini_hochberg",
    "check_scores",
    "clopper_pearson",
    "detectable_by_seeds",
    "detectable_effect",
    "equivalence_test",
    "estimate_mean",
    "holm",
    "paired_contrast",
    "plain_words",
    "plan_seeds",
    "seed_noise",
    "seed_sd_interval",
    "seeds_needed",
    "sign_flip_p",
    "wilson_interval",
    "zero_events_upper",
]
