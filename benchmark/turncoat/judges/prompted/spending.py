"""Cost of judging by an endpoint: an estimate before the first request, and a limit that is kept.

>>> spending = Spending(price_in=2.5, price_out=10, max_cost=1.0)   # dollars per million tokens; dollars
>>> spending.plan("openai:M", requests=80, characters=96_000, tokens_out=80)
'openai:M: 80 requests, about 24,000 tokens in and 80 out: about $0.06 (limit $1.00)'
"""

import threading
from typing import Any

from turncoat.errors import UserError

CHARACTERS_A_TOKEN = 4  # of English text, roughly
_MOST_TOKENS = 10**9  # of a reply that can be believed


class Spending:
    """Counts the tokens that an endpoint reports, over all that one judge is asked in a process.

    Args:
        price_in: Dollars per million prompt tokens; None = unknown.
        price_out: Dollars per million tokens of replies.
        max_cost: Dollars not to be exceeded; None = no limit.

    Raises:
        UserError: There is a limit but no price.
    """

    def __init__(self, price_in: float | None, price_out: float | None, max_cost: float | None) -> None:
        if max_cost is not None and (price_in is None or price_out is None):
            raise UserError(
                "max_cost cannot be kept without prices; give price_in and price_out, in dollars per million "
                "tokens"
            )
        self._prices = None if price_in is None or price_out is None else (price_in, price_out)
        self._limit = max_cost
        self._lock = threading.Lock()
        self.tokens_in = 0
        self.tokens_out = 0

    @property
    def spent(self) -> float:
        """Dollars so far; 0 where the price is unknown."""
        return self._price(self.tokens_in, self.tokens_out)

    @property
    def used_up(self) -> bool:
        """True once the limit is reached."""
        return self._limit is not None and self.spent >= self._limit

    def plan(self, judge: str, *, requests: int, characters: int, tokens_out: int) -> str:
        """One line about the cost of `requests` prompts, of so many characters and reply tokens in all.

        Raises:
            UserError: The estimate and what is spent already exceed the limit.
        """
        tokens_in = -(-characters // CHARACTERS_A_TOKEN)
        line = f"{judge}: {requests:,} requests, about {tokens_in:,} tokens in and {tokens_out:,} out"
        if self._prices is None:
            return f"{line}; price unknown (give price_in and price_out, in dollars per million tokens)"
        estimate = self._price(tokens_in, tokens_out)
        if self._limit is not None and self.spent + estimate > self._limit:
            before = f" on top of ${self.spent:.2f} already spent" if self.spent else ""
            raise UserError(
                f"{line}: about ${estimate:.2f}{before}, more than max_cost={self._limit:g}; nothing was "
                "sent. Raise max_cost or score fewer answers (--limit)"
            )
        return f"{line}: about ${estimate:.2f}" + (
            f" (limit ${self._limit:.2f})" if self._limit is not None else ""
        )

    def count(self, usage: Any, *, characters: int, tokens_out: int) -> None:
        """Add the tokens of a reply; the estimate where its `usage` does not say."""
        usage = usage if isinstance(usage, dict) else {}
        with self._lock:
            self.tokens_in += _whole(usage.get("prompt_tokens"), -(-characters // CHARACTERS_A_TOKEN))
            self.tokens_out += _whole(usage.get("completion_tokens"), tokens_out)

    def _price(self, tokens_in: int, tokens_out: int) -> float:
        price_in, price_out = self._prices or (0.0, 0.0)
        return (tokens_in * price_in + tokens_out * price_out) / 1e6


def _whole(value: Any, otherwise: int) -> int:
    is_count = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MOST_TOKENS
    return value if is_count else otherwise
