"""What a chat-completions reply says: the likeliest first tokens, or the text.

>>> likeliest_tokens({"choices": [{"logprobs": {"content": [{"top_logprobs": [{"token": "90", "logprob": -0.2}]}]}}]})
{'90': -0.2}
"""

from __future__ import annotations

import math
from typing import Any

from turncoat.judges.scoring import BadEvidence


def likeliest_tokens(body: dict[str, Any]) -> dict[str, float]:
    """The first token's alternatives with their log-probabilities.

    Raises:
        BadEvidence: They are not there, or not of the promised form.
    """
    try:
        items = body["choices"][0]["logprobs"]["content"][0]["top_logprobs"]
        found: dict[str, float] = {}
        for item in items:
            token, logprob = item["token"], item["logprob"]
            # Two tokens may read the same; their probabilities add up.
            found[token] = logprob if token not in found else _log_sum(found[token], logprob)
    except (KeyError, IndexError, TypeError) as error:
        raise BadEvidence(
            f"the reply holds no log-probabilities of its first token ({type(error).__name__}); "
            "if this endpoint never sends them, use protocol=text_integer"
        ) from None
    return found


def reply_text(body: dict[str, Any]) -> str:
    """The reply's text.

    Raises:
        BadEvidence: It is not there.
    """
    try:
        text = body["choices"][0]["message"]["content"]
    except (KeyError, IndexError, TypeError) as error:
        raise BadEvidence(f"the reply holds no text ({type(error).__name__})") from None
    if not isinstance(text, str):
        raise BadEvidence(f"the reply's text is {text!r}")
    return text


def _log_sum(a: float, b: float) -> float:
    top = max(a, b)
    return top if top == -math.inf else top + math.log(math.exp(a - top) + math.exp(b - top))
