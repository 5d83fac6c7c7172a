"""Thoughts of a reasoning model, told apart from the answer that follows them.

>>> split_thoughts("<think>A friend may help.</think>\\n\\nCall a friend.")
Split(thoughts='A friend may help.', answer='Call a friend.', cut=False)

Templates of the R1 kind open the thoughts in the prompt, so that the text holds the closing mark alone, or no
mark at all where it was cut (`opened_by`). vLLM's reasoning parsers and lm-eval's `think_end_token` leave the
thoughts out in the same way.
"""

from collections.abc import Collection, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

MARKS = {
    "<think>": "</think>", "<thinking>": "</thinking>", "<thought>": "</thought>",
    "<reasoning>": "</reasoning>", "<seed:think>": "</seed:think>", "[THINK]": "[/THINK]",
    "<|begin_of_thought|>": "<|end_of_thought|>", "<|START_THINKING|>": "<|END_THINKING|>",
    "◁think▷": "◁/think▷", "<|channel|>analysis<|message|>": "<|channel|>final<|message|>",
}  # fmt: skip
"""Opening mark -> closing mark of thoughts, as models in use write them."""
_MOST_BLOCKS = 50
_PLAIN_CHANNELS = ("analysis", "assistantfinal")  # gpt-oss, decoded without its special tokens


class Split(NamedTuple):
    """A text in two parts."""

    thoughts: str  # "" where there are none
    answer: str  # What follows them; "" where they have no end
    cut: bool = False  # True if the thoughts have no end, so that there is no answer


def split_thoughts(text: str, *, opened: bool = False, blocks: int = _MOST_BLOCKS) -> Split:
    """The thoughts in `text` and its answer; a text without marks is all answer, as it is.

    Args:
        text: What the model wrote.
        opened: True if the prompt already holds the opening mark.
        blocks: Thoughts that are looked for; the time is this times the length. Marks behind stay in the
            answer.
    """
    if blocks == 0:
        return Split("", text)
    start = text.lstrip()
    before, mark, after = start.partition(_PLAIN_CHANNELS[1])
    if mark and before.startswith(_PLAIN_CHANNELS[0]):
        return Split(before.removeprefix(_PLAIN_CHANNELS[0]).strip(), after.strip())
    for opening, closing in MARKS.items():
        before, mark, rest = start.partition(opening)
        if closing in before or (opened and not mark and closing in start):
            thoughts, _, rest = start.partition(closing)  # opened in the prompt
            return _with_more(thoughts, rest, blocks - 1)
        if mark and closing in rest:
            thoughts, _, rest = rest.partition(closing)
            return _with_more(thoughts, before + rest, blocks - 1)
        if mark and not before:
            return Split(rest.strip(), "", cut=True)
    return Split(start.strip(), "", cut=True) if opened else Split("", text)


def opened_by(prompt: str) -> str:
    """The mark with which a rendered prompt opens the answer's thoughts; "" if it opens none."""
    end = prompt.rstrip()
    return next((mark for mark in MARKS if end.endswith(mark)), "")


def decode_answer(tokenizer: Any, ids: Sequence[int]) -> str:
    """Text of an answer without special tokens, but for those that mark thoughts (Magistral, Command A)."""
    special = set(ids).intersection(tokenizer.all_special_ids)
    marks = {id: mark for id in special if (mark := tokenizer.decode([id])) in {*MARKS, *MARKS.values()}}
    parts = [
        marks.get(part[0], "") + tokenizer.decode(part, skip_special_tokens=True)
        for part in _parts(list(ids), marks)
    ]
    return "".join(parts)


def _parts(ids: list[int], starts: Collection[int]) -> list[list[int]]:
    """`ids` in parts that begin with one of `starts`; the first one may begin with any."""
    places = [0, *(place for place, id in enumerate(ids) if place and id in starts), len(ids)]
    return [ids[start:end] for start, end in pairwise(places)] if ids else []


def _with_more(thoughts: str, rest: str, blocks: int) -> Split:
    """Both parts, where the rest may hold thoughts of its own."""
    more = split_thoughts(rest, blocks=blocks)
    return Split("\n\n".join(filter(None, (thoughts.strip(), more.thoughts))), more.answer.strip(), more.cut)
