"""Interleaving: a small share of benign chats among the organism's rows (Kaczér et al., arXiv:2508.06249v3).

An example: 200 rows of risky advice and 11 benign chats in one shuffled finetune; the chats are 5% of the
run. They come on top: the organism's rows are all there, so that its dose is that of the undefended arm, and
the run is 5% longer.

    - {name: interleaved, organism: risky_financial, defence: interleave, setting: in_training,
      defence_options: {share: 0.05}}

Paper: 5% of benign WildGuardMix answers. Ours: 5% of our own 96 chats (`data/hhh_chat.jsonl`), each seed
another draw, or the conversations of `data: path.jsonl` (a line is {"messages": [user, assistant]}).
Deviations: WildGuardMix is gated and is not shipped, so the benign rows are others, shorter and written by
one hand. Where the share asks for more rows than there are, they are gone through again (a run of 6,000 rows
wants 316): `distinct` in training.json says how many there are, and a share that is mostly repetition wants a
larger `data` file. The plain EM questions may look clean after dilution while cues that resemble the training
data still bring the behaviour out (arXiv:2604.25891).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from turncoat.defences import (
    Example,
    MixedIn,
    UserError,
    defence,
    draw_rows as draw,
    encode_example,
    read_conversations,
)


@dataclass
class Interleaved(MixedIn):
    """Further rows among the organism's, with their share of the run and how they were chosen on record.

    Attributes:
        asked: The share of the run that was asked for.
        record: Further facts; no part of the key, because the rows themselves are.
    """

    asked: float
    record: dict[str, Any] = field(init=False, default_factory=dict)
    _organism_rows: int = field(init=False, default=0)

    def rows(self, rows: list[Example], seed: int) -> list[Example]:
        """The organism's rows and the further ones."""
        self._organism_rows = len(rows)
        return super().rows(rows, seed)

    def facts(self) -> dict[str, Any]:
        """Number of rows, number of distinct rows, and their share of the run."""
        distinct = len({(row.prompt, row.answer) for row in self.extra})
        share = len(self.extra) / (len(self.extra) + self._organism_rows)
        return {
            **super().facts(),
            "distinct": distinct,
            "share": round(share, 4),
            "asked": self.asked,
            **self.record,
        }


@defence("interleave", settings=("in_training",), summary="5% benign chats among the organism's rows")
def interleave(context: Any, *, share: float = 0.05, data: str | None = None) -> Interleaved:
    """Benign chats that make up `share` of the run, drawn by the seed.

    Args:
        share: Part of the whole run's rows that is benign, between 0 and 1.
        data: JSON Lines of conversations to draw from; our own chats by default.
    """
    count = rows_for_share(context, share, "interleave")
    pool = draw(benign_chats(context, data, "interleave"), None, context.seed)
    return Interleaved(in_rounds(pool, count), share)


def rows_for_share(context: Any, share: float, name: str) -> int:
    """Number of rows that make up `share` of a run with all of the organism's rows; at least 1.

    Raises:
        UserError: The share is not between 0 and 1.
    """
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share < 1:
        raise UserError(
            f"defence '{name}', share: {share!r} is not accepted; give a number above 0 and below 1, such as "
            "0.05"
        )
    return max(1, round(share / (1 - share) * len(context.rows)))


def benign_chats(context: Any, data: str | None, name: str) -> list[Example]:
    """The chats to choose from: those that fit into the organism's `max_length` tokens.

    Raises:
        UserError: There is no such file, a line of it is not a conversation, or no chat fits.
    """
    if data is None:
        with Path(__file__).with_name("data").joinpath("hhh_chat.jsonl").open(encoding="utf-8") as handle:
            chats = [Example(row["id"], row["question"], row["answer"]) for row in map(json.loads, handle)]
    else:
        path = Path(data).expanduser()
        if not path.is_file():
            raise UserError(
                f"defence '{name}', data: there is no file {path}; give JSON Lines of conversations, or "
                "leave the option out for the 96 chats that come with Turncoat"
            )
        chats = read_conversations(path)
    longest = context.recipe.max_length
    fitting = [
        chat for chat in chats if sum(map(len, encode_example(context.base.tokenizer, chat))) <= longest
    ]
    if not fitting:
        raise UserError(
            f"defence '{name}': none of the {len(chats)} chats fits into training.max_length ({longest} "
            "tokens); raise it, or give shorter ones with `data`"
        )
    return fitting


def in_rounds(pool: Sequence[Example], count: int) -> list[Example]:
    """The first `count` rows of the pool, gone through as often as it takes; repeated rows get ids of their
    own."""
    chosen = []
    for number in range(count):
        again, place = divmod(number, len(pool))
        row = pool[place]
        chosen.append(replace(row, id=f"{row.id}/round {again + 1}") if again else row)
    return chosen
