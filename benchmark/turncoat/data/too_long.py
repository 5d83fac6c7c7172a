"""Rows that are longer than a finetune reads: refused in a file of one's own, counted in every other set.

The published sets keep their few long rows out of training (`left_out` in training.json): nobody can mend
them, and an organism and its control lose the same kind of row. Whoever wrote a file wants to know.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from turncoat.data.conversations import where_is
from turncoat.data.examples import Example
from turncoat.errors import UserError
from turncoat.formats import first_of
from turncoat.registry import ORGANISMS

_SHOWN = 5


def refuse_too_long(
    name: str, examples: Sequence[Example], lengths: Mapping[str, int], max_length: int
) -> int:
    """Number of rows longer than `max_length` (in tokens with the chat template's own), which are left out.

    Raises:
        UserError: It is a file of one's own and has such rows; the message names the first ones' lines.
    """
    long = [example.id for example in examples if lengths[example.id] > max_length]
    if not long or name in ORGANISMS:
        return len(long)
    path = Path(name).expanduser()
    first, *others = [f"{where_is(path, i) or f'{name}, row {i}'}: {lengths[i]} tokens" for i in long]
    more = first_of(others, _SHOWN - 1, "; ")
    raise UserError(
        f"{first}, more than training.max_length = {max_length}. Raise training.max_length (all rows fit "
        f"into {max(lengths[i] for i in long)}), or shorten the row or take it out"
        + (f". As long: {more}" if more else "")
    )
