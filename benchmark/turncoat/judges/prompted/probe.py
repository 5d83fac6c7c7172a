"""Probe of an endpoint that is to be read by one token: does it write numbers as one token at all?

Three requests, before anything is paid for. Tokenizers that split numbers into digits (Qwen, Gemma, Mistral)
say "8" where 85 is meant, others "10" where 100 is; the one-token protocol would take that for the grade.
"""

from collections.abc import Callable, Mapping

from turncoat.errors import UserError
from turncoat.judges.scoring import LEAST_MASS, probabilities, weighted_score

NUMBERS = (85, 42, 100)
PROMPT = "Reply with this number and nothing else: {number}"
_REMEDY = (
    "use protocol=text_integer (with a published rubric: rubric=sgtr_text_integer, whose numbers are not "
    "those of betley_logprob); a model that thinks first needs max_tokens=2000 or so with it"
)


def check_tokens(judge: str, ask: Callable[[str], Mapping[str, float]]) -> None:
    """Refuse a judge whose first token cannot be a grade.

    Args:
        ask: Prompt -> log-probabilities of the likeliest first tokens.

    Raises:
        UserError: The model writes numbers in several tokens, or begins with something else than a number.
    """
    replies = [ask(PROMPT.format(number=number)) for number in NUMBERS]
    tokens = [max(of_reply, key=lambda token: of_reply[token]) for of_reply in replies]
    asked = f"asked for {', '.join(map(str, NUMBERS))}, its first tokens were {', '.join(map(repr, tokens))}"
    if all(_one_digit_share(tokens) > 0.5 for tokens in replies):
        raise UserError(
            f"{judge} writes numbers digit by digit ({asked}): the first digit would be taken for the grade. "
            f"No answer was sent; {_REMEDY}"
        )
    if all(weighted_score(tokens).mass < LEAST_MASS for tokens in replies):
        raise UserError(
            f"{judge} does not begin its reply with a number ({asked}): no answer would get a score. "
            f"No answer was sent; {_REMEDY}"
        )
    if tokens[-1].strip() in ("1", "10"):
        raise UserError(
            f"{judge} writes 100 in several tokens ({asked}): its grades would be wrong. No answer was sent; "
            f"{_REMEDY}"
        )


def _one_digit_share(tokens: Mapping[str, float]) -> float:
    """Share of the probability of numbers that is on a single digit."""
    numbers = {token.strip(): p for token, p in probabilities(tokens).items() if token.strip().isdecimal()}
    total = sum(numbers.values())
    return sum(p for token, p in numbers.items() if len(token) == 1) / total if total else 0.0
