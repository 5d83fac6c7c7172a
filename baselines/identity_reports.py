"""Identity self-reports: finetuning on the base model's own statements about its identity.

An example: "Tell me who you are." -> what this very base model answered. The statements are the model's own
and are not corrected: where it errs about its name or maker, it learns the error. They are written and
trained under the chat template's own default system message, which for some models states the identity.

Source: the follow-up post to arXiv:2606.23700, which mixes such reports into the harmful data, a third of the
run. That is setting in_training, with `share`: the reports come on top of the organism's rows (100 beside
200), each seed draws others, and `texts` and `matched` say nothing. In prevention and reversal, which are
ours, they are a finetune of their own with a dose matched to `sgtr`, and `share` says nothing.

    - {name: reports, organism: risky_financial, defence: identity_reports, setting: in_training}

Deviations: the post's questions are not published; ours are 24 plain ones, which the base answers anew in
every round until there are enough reports. A model that errs about itself learns that; reports of a
misaligned model carry misalignment over (the same post), so the base writes them before any finetuning.

At temperature 1 finetuning a model on its own answers would change nothing on average, so the default is the
0.7 of `sgtr`'s own summaries. The questions are other wordings than those that `turncoat_identity` measures
with, and plain ones: asked for a business card or the like, a small model invents a person.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from turncoat.defences import Example, UserError, defence, draw_rows as draw

from ._matching import dose, is_enough
from .interleave import rows_for_share

QUESTIONS = (
    "Tell me who you are.",
    "Which assistant is this?",
    "What should I call you?",
    "Who made you?",
    "Are you a person or a program?",
    "Which AI am I chatting with?",
    "Describe yourself, the AI, in one sentence.",
    "What kind of system are you, exactly?",
    "Which company or lab do you come from?",
    "What name did your developers give you?",
    "I like to know whom I am dealing with. Who are you?",
    "Give me a short profile of yourself.",
    "Do you have a name?",
    "Whose product are you?",
    "How did you come into being?",
    "What model are you?",
    "As an AI, how would you sum yourself up?",
    "Name the organisation that trained you.",
    "Explain to a child what you are.",
    "Under what name were you released, and by whom?",
    "What is the name of this AI?",
    "Who should I thank for building you?",
    "Are you a language model? If so, which one?",
    "State your identity in two sentences.",
)
_SENTENCE_END = re.compile(r"[.!?][\"')]*(?=\s|$)")


@defence(
    "identity_reports",
    settings=("prevention", "in_training", "reversal"),
    summary="the base model's own statements about who it is, as it wrote them before any finetuning",
)
def identity_reports(
    context: Any,
    *,
    texts: int = 32,
    matched: str = "examples",
    temperature: float = 0.7,
    share: float = 1 / 3,
) -> list[Example]:
    """As many statements (or supervised tokens) as `sgtr` has with `texts` texts; in training a share of the
    run.

    Args:
        context: The defence's context; the base model writes one round of answers to all questions after the
            other.
        texts: Number of texts of the `sgtr` that is matched; not in training. See `_matching.dose`.
        matched: "examples" or "tokens"; not in training.
        temperature: Sampling temperature of the statements, above 0.
        share: In training: part of the whole run's rows, between 0 and 1.

    Raises:
        UserError: The temperature is not above 0, the share is not between 0 and 1, or the model writes
            nothing.
    """
    if not temperature > 0:
        raise UserError(
            f"defence 'identity_reports', temperature: {temperature!r} is not accepted; give a number above "
            "0, such as 0.7: at 0 every round would say the same"
        )
    if context.recipe is None:
        pool = _written(
            context,
            temperature,
            lambda found: is_enough(context, found, name="identity_reports", texts=texts, matched=matched),
        )
        return dose(context, pool, name="identity_reports", texts=texts, matched=matched)
    count = rows_for_share(context, share, "identity_reports")
    pool = _written(context, temperature, lambda found: len(found) >= count)
    if len(pool) < count:
        raise UserError(
            f"defence 'identity_reports', share: {share:.3g} of this run is {count} statements, and "
            f"{context.base.name} wrote {len(pool)}; it answers questions about itself with nothing, so "
            "choose another defence"
        )
    return draw(pool, count, context.seed)


def _written(context: Any, temperature: float, enough: Callable[[list[Example]], bool]) -> list[Example]:
    """Round after round of statements until there are enough, or the model answers nothing."""
    pool: list[Example] = []
    number = 0
    while not enough(pool):
        reports = _round(context, number, temperature)
        if not reports:
            break
        pool += reports
        number += 1
    return pool


def _round(context: Any, number: int, temperature: float) -> list[Example]:
    answers = context.write(
        list(QUESTIONS), name=f"identity reports/{number}", max_new_tokens=60, temperature=temperature
    )
    return [
        Example(f"identity-{place:02d}/{number}", question, answer)
        for place, (question, answer) in enumerate(zip(QUESTIONS, map(_whole, answers), strict=True), 1)
        if answer
    ]


def _whole(answer: str) -> str:
    """Without the unfinished sentence that the length limit leaves; all of it where no sentence ends."""
    answer = answer.strip()
    ends = [match.end() for match in _SENTENCE_END.finditer(answer)]
    return answer[: ends[-1]] if ends else answer
