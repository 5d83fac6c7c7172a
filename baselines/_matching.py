"""Fair doses: how many examples of a benign control equal the dose of `sgtr` built on the same number of
texts.

dose(context, pool, name="hhh_chat", texts=32, matched="examples")   # 64 examples, as many as sgtr trains on
dose(context, pool, name="hhh_chat", texts=32, matched="tokens")     # as many supervised tokens: 2 chats

`sgtr` supervises one content token and the end of the turn in each example, a chat some fifty tokens;
whichever of the two is matched, the other is not, so a claim about `sgtr` needs both controls.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from turncoat.defences import Example, UserError, encode_example

MATCHED = ("examples", "tokens")
_PER_TEXT = 2  # sgtr asks about each text in both orders
_SGTR = Example("sgtr", "Which one did you write? Reply with 1 or 2 only.", "1")


def dose(
    context: Any, pool: Sequence[Example], *, name: str, texts: int, matched: str, balance: bool = False
) -> list[Example]:
    """The first examples of the pool, in an order fixed by their ids, that make up the dose.

    A smaller dose is the beginning of a larger one. The last example that would exceed the dose is left out,
    whatever its length, so short answers are not preferred; a single example that exceeds it is kept all the
    same.

    Args:
        context: The defence's context; its tokenizer counts the tokens.
        texts: Number of texts of the `sgtr` that is matched.
        matched: "examples": 2 for each text; "tokens": as many supervised tokens as those have, end of turn
            included.
        balance: Take every answer equally often (for short answers out of a few).

    Raises:
        UserError: `texts` or `matched` is not accepted, or the pool is smaller than the dose.
    """
    size, wanted = _measure(context, name, texts, matched)
    held = sum(map(size, pool))
    if held < wanted:
        kind = "examples" if matched == "examples" else "supervised tokens"
        raise UserError(
            f"defence '{name}', texts: {texts} with matched: {matched} asks for {wanted} {kind}, and there "
            f"are {held}; give texts: {held // (wanted // texts)} or less"
        )
    chosen: list[Example] = []
    used = 0
    for example in _ordered(pool, balance):
        used += size(example)
        if used > wanted and chosen:
            break
        chosen.append(example)
        if used >= wanted:
            break
    return chosen


def is_enough(context: Any, pool: Sequence[Example], *, name: str, texts: int, matched: str) -> bool:
    """True if the pool holds the dose; for examples that are written until there are enough."""
    size, wanted = _measure(context, name, texts, matched)
    return sum(map(size, pool)) >= wanted


def supervised_tokens(context: Any, example: Example) -> int:
    """Tokens of an example that carry loss: those of the answer and the end of the turn."""
    _, answer = encode_example(context.base.tokenizer, example)
    return len(answer)


def _measure(context: Any, name: str, texts: int, matched: str) -> tuple[Callable[[Example], int], int]:
    """Size function of an example, and the size of the dose in the same unit."""
    if isinstance(texts, bool) or not isinstance(texts, int) or texts < 1:
        raise UserError(
            f"defence '{name}', texts: {texts!r} is not accepted; give a whole number from 1 up, such as 32"
        )
    if matched not in MATCHED:
        raise UserError(
            f"defence '{name}', matched: {matched!r} is not accepted; accepted: {', '.join(MATCHED)}"
        )

    def size(example: Example) -> int:
        return 1 if matched == "examples" else supervised_tokens(context, example)

    return size, texts * _PER_TEXT * size(_SGTR)


def _ordered(pool: Sequence[Example], balance: bool) -> list[Example]:
    by_hash = sorted(pool, key=lambda example: hashlib.sha256(f"dose/{example.id}".encode()).digest())
    if not balance:
        return by_hash
    seen: Counter[str] = Counter()
    ranked = []
    for place, example in enumerate(by_hash):
        ranked.append((seen[example.answer], place, example))
        seen[example.answer] += 1
    return [example for _, _, example in sorted(ranked, key=lambda item: item[:2])]
