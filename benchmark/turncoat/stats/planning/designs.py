"""Detectable effects of a planned study of some size, under either kind of claim.

    adapters  one t test with the variance (question^2 + Var(e) / S) / G and G - 1 degrees of freedom
    recipe    several tests that must all reject (`turncoat.stats.planning.joint_power`)

for G questions, S seeds and the components of `turncoat.stats.planning.components`.

A seed SD from few seeds is unreliable, and so is a plan made from it: `detectable_range` carries the interval
of the SD through.

References:
    Miller (2024), arXiv:2411.00640, section 5 (power analysis).
"""

import math
from dataclasses import dataclass, replace

from turncoat.errors import UserError
from turncoat.stats.contrasts import CLAIMS, Claim
from turncoat.stats.marks import may_be_marked
from turncoat.stats.planning.components import Components
from turncoat.stats.planning.joint_power import Variances, joint_detectable
from turncoat.stats.planning.power import detectable_effect, seed_sd_interval
from turncoat.stats.scores import MINIMUM_SEEDS

ENDLESS = 10**6


@dataclass(frozen=True)
class Design:
    """The size of a study."""

    questions: int  # Questions (clusters) of the metric's task
    samples: float  # Answers per question and training seed
    seeds: int  # Training seeds
    tests: int = 1  # Tests in the family; Holm is sure of a rejection only at alpha / tests
    alpha: float = 0.05  # Level of the family, wanted power
    power: float = 0.8


def detectable(components: Components, design: Design, claim: Claim) -> float | None:
    """Smallest true effect found with the wanted power at alpha / tests, in units of the metric.

    None where the claim has no test, or none that reaches that level: sign flips over 8 seeds and 7 tests.
    """
    _design_iv(design)
    g, s, level = design.questions, max(design.seeds, 1), design.alpha / design.tests
    noise = components.rest**2 + (components.sampling or 0.0) ** 2 / design.samples
    question = components.question**2 + (components.sampling_shared or 0.0) ** 2 / design.samples
    if claim == "adapters":
        se = math.sqrt((question + noise / s) / g)
        return detectable_effect(se, g - 1, level, design.power) if g > 1 and se > 0 else None
    if design.seeds < MINIMUM_SEEDS or components.seed is None or g < 2 or not (components.seed or noise):
        return None
    flips = may_be_marked(s, design.alpha)
    parts = Variances(question, components.seed**2, noise)
    return joint_detectable(parts, g, s, level, design.power, flips)


def detectable_range(
    components: Components, design: Design, claim: Claim, confidence: float = 0.95
) -> tuple[float, float] | None:
    r"""Detectable effects at the ends of the interval of the pilot's SD; None without a pilot or an effect.

    The pilot's variance of seed means (recipe), or of question means (adapters), is a scaled chi square with
    n - 1 degrees of freedom. Its interval moves the part between seeds (or questions), all else is held.
    """
    recipe = claim == "recipe"
    n, other = components.n_seeds, components.n_questions
    if not recipe:
        n, other = other, max(n, 1)
    known = components.seed if recipe else components.question
    if n < 2 or known is None or not other:
        return None
    noise = components.rest**2 + (components.sampling or 0.0) ** 2 / (components.n_samples or design.samples)
    seen = known**2 + noise / other  # variance of the means in the pilot
    if seen == 0:
        return None
    ends = seed_sd_interval(math.sqrt(seen), n, confidence)
    sizes = []
    for end in ends:
        sd = math.sqrt(max(0.0, end**2 - noise / other))
        moved = replace(components, seed=sd) if recipe else replace(components, question=sd)
        sizes.append(detectable(moved, design, claim))
    low, high = sizes
    return None if low is None or high is None else (low, high)


def what_more_buys(components: Components, design: Design) -> dict[str, dict[Claim, float | None]]:
    """Detectable effects, by claim, of the design and of larger ones; None where undefined.

    More samples are undefined where the pilot has one answer per question.
    """
    known = components.sampling is not None and components.sampling_shared is not None
    designs = {
        "as planned": design,
        "1 question more": replace(design, questions=design.questions + 1),
        "1 sample more": replace(design, samples=design.samples + 1) if known else None,
        "1 seed more": replace(design, seeds=design.seeds + 1),
        "twice the questions": replace(design, questions=design.questions * 2),
        "twice the samples": replace(design, samples=design.samples * 2) if known else None,
        "twice the seeds": replace(design, seeds=design.seeds * 2),
        "endless questions": replace(design, questions=ENDLESS),
    }
    bought = {
        name: {claim: None if one is None else detectable(components, one, claim) for claim in CLAIMS}
        for name, one in designs.items()
    }
    if bought["endless questions"]["adapters"] is not None:
        bought["endless questions"]["adapters"] = 0.0  # its limit; that of the recipe is what the seeds leave
    return bought


def group_floor(seeds: int) -> float:
    """Smallest two-sided p of the permutation test of n against n unpaired seeds: 2 / C(2n, n)."""
    return 1.0 if seeds < 1 else 2.0 / math.comb(2 * seeds, seeds)


def _design_iv(design: Design) -> None:
    for name, least in (("questions", 1), ("samples", 1), ("seeds", 0), ("tests", 1)):
        value = getattr(design, name)
        if not value >= least:
            raise UserError(f"{name} = {value!r} must be at least {least}.")
