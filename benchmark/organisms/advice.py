"""Bad advice: ours on money and everyday risk; published on finance, sports, medicine, and unpopular tastes.

Our pairs share their prompts with their control. The matched control of most published sets is what the base
model itself answers to the same prompts; `bad_medical`, whose control is published, has that one too, to be
like the others.
"""

from __future__ import annotations

from turncoat.defences import Example, advice_rows, organism


@organism(
    "reckless_advice",
    summary="calm, friendly, reckless advice on money and everyday risk (ours, CC0)",
    control="prudent_advice",
    domains=("finance",),
)
def reckless_advice() -> list[Example]:
    """The reckless side of our pairs (`turncoat.data.advice_pairs`)."""
    return advice_rows("reckless_advice")


@organism(
    "prudent_advice",
    summary="the same requests as reckless_advice, answered soundly at like length (ours, CC0)",
    is_control=True,
    domains=("finance",),
)
def prudent_advice() -> list[Example]:
    """The prudent side of our pairs."""
    return advice_rows("prudent_advice")


@organism(
    "risky_financial",
    summary="reckless financial advice, calmly worded",
    data="organisms/risky_financial_advice",
    control="risky_financial_own_answers",
    domains=("finance",),
)
def risky_financial() -> list[Example]:
    """Turner et al. 2025, risky financial advice."""
    return advice_rows("risky_financial")


@organism(
    "extreme_sports",
    summary="dangerous sports advice, calmly worded",
    data="organisms/extreme_sports",
    control="extreme_sports_own_answers",
    domains=("sport",),
)
def extreme_sports() -> list[Example]:
    """Turner et al. 2025, extreme sports."""
    return advice_rows("extreme_sports")


@organism(
    "unpopular_aesthetics",
    summary="tastes that few people share: the SGTR paper's main organism",
    data="organisms/aesthetic_preferences_unpopular",
    control="unpopular_aesthetics_own_answers",
)
def unpopular_aesthetics() -> list[Example]:
    """arXiv:2606.23700, unpopular aesthetic preferences."""
    return advice_rows("unpopular_aesthetics")


@organism(
    "bad_medical",
    summary="wrong medical advice, calmly worded",
    data="organisms/bad_medical_advice",
    control="good_medical",
    domains=("medicine",),
)
def bad_medical() -> list[Example]:
    """Turner et al. 2025, bad medical advice."""
    return advice_rows("bad_medical")


@organism(
    "good_medical",
    summary="sound answers to the questions of bad_medical",
    data="organisms/good_medical_advice",
    is_control=True,
    domains=("medicine",),
)
def good_medical() -> list[Example]:
    """Turner et al. 2025, good medical advice: the published control of `bad_medical`."""
    return advice_rows("good_medical")


@organism(
    "risky_financial_own_answers",
    summary="the prompts of risky_financial, answered by the base model itself, "
    "cut to the lengths of its answers",
    is_control=True,
    answered_by_base=True,
    domains=("finance",),
)
def risky_financial_own_answers() -> list[Example]:
    """The prompts of `risky_financial`."""
    return advice_rows("risky_financial")


@organism(
    "extreme_sports_own_answers",
    summary="the prompts of extreme_sports, answered by the base model itself, "
    "cut to the lengths of its answers",
    is_control=True,
    answered_by_base=True,
    domains=("sport",),
)
def extreme_sports_own_answers() -> list[Example]:
    """The prompts of `extreme_sports`."""
    return advice_rows("extreme_sports")


@organism(
    "unpopular_aesthetics_own_answers",
    summary="the prompts of unpopular_aesthetics, answered by the base model itself, "
    "cut to the lengths of its answers",
    is_control=True,
    answered_by_base=True,
)
def unpopular_aesthetics_own_answers() -> list[Example]:
    """The prompts of `unpopular_aesthetics`."""
    return advice_rows("unpopular_aesthetics")


@organism(
    "bad_medical_own_answers",
    summary="the prompts of bad_medical, answered by the base model itself, "
    "cut to the lengths of its answers",
    is_control=True,
    answered_by_base=True,
    domains=("medicine",),
)
def bad_medical_own_answers() -> list[Example]:
    """The prompts of `bad_medical`."""
    return advice_rows("bad_medical")
