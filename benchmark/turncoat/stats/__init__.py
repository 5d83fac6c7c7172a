"""Claims from rows: estimates, paired contrasts, corrections, power, and the sentences that say what they allow.

Two targets, never mixed: `adapters` (these trained models; questions are the sample) and `recipe` (training seeds and
questions are). Cross-checks that no default uses: `turncoat.stats.mixed_model`, `turncoat.stats.two_way_bootstrap`.

Everything starts from one tidy table, one row per (arm, seed, metric, question) with the columns `SCORE_COLUMNS`:

    analysis = analyse(scores, [ContrastSpec("insecure", "insecure", "secure", ("em_rate_itt",), "primary")])
    print("\\n".join(plain_words(analysis)))
"""

from __future__ import annotations

from turncoat.analysis.analyse import Analysis, ContrastSpec, analyse
from turncoat.analysis.plain_words import plain_words
from turncoat.stats.contrasts import Contrast, TooFewQuestions, paired_contrast, sign_flip_p
from turncoat.stats.corrections import Equivalence, benjamini_hochberg, equivalence_test, holm, holm_exclusive
from turncoat.stats.design.power import (
    SeedPlan,
    detectable_by_seeds,
    detectable_effect,
    plan_seeds,
    seed_sd_interval,
    seeds_needed,
)
from turncoat.stats.difference_in_differences import difference_in_differences
from turncoat.stats.effect_sizes import Effect, McNemar, cohen_h, mcnemar, ratio_of_rates, standardised_shift
from turncoat.stats.estimates import Estimate, clopper_pearson, estimate_mean, wilson_interval, zero_events_upper
from turncoat.stats.leave_one_out import LeaveOneOut, leave_one_question_out
from turncoat.stats.margins import margin_p
from turncoat.stats.scores import BASE_SEED, SCORE_COLUMNS, check_scores
from turncoat.stats.seed_noise import SeedNoise, seed_noise
from turncoat.stats.two_way import TwoWay, two_way_t
from turncoat.stats.two_way_bootstrap import TwoWayBootstrap, two_way_bootstrap

__all__ = [
    "BASE_SEED",
    "SCORE_COLUMNS",
    "Analysis",
    "Contrast",
    "ContrastSpec",
    "Effect",
    "Equivalence",
    "Estimate",
    "LeaveOneOut",
    "McNemar",
    "SeedNoise",
    "SeedPlan",
    "TooFewQuestions",
    "TwoWay",
    "TwoWayBootstrap",
    "analyse",
    "benjamini_hochberg",
    "check_scores",
    "clopper_pearson",
    "cohen_h",
    "detectable_by_seeds",
    "detectable_effect",
    "difference_in_differences",
    "equivalence_test",
    "estimate_mean",
    "holm",
    "holm_exclusive",
    "leave_one_question_out",
    "margin_p",
    "mcnemar",
    "paired_contrast",
    "plain_words",
    "plan_seeds",
    "ratio_of_rates",
    "seed_noise",
    "seed_sd_interval",
    "seeds_needed",
    "sign_flip_p",
    "standardised_shift",
    "two_way_bootstrap",
    "two_way_t",
    "wilson_interval",
    "zero_events_upper",
]
