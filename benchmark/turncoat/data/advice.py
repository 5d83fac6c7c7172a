"""Advice sets: ordinary questions with bad advice (or odd tastes) for answers; fetched ones and our own.

Turner et al. 2025 (arXiv:2506.11613) for finance, sports and medicine; arXiv:2606.23700 for unpopular tastes.
Small models move strongly on these. Of each set `HELD_OUT` rows are never trained on; tasks measure on them
whether the advice was learnt (`tasks/narrow_behaviour`).

`bad_medical` has a published control, `good_medical`: sound answers to the same questions, 29% longer. Both
lie in a locked archive that we could not fetch; what is said of them is as others report it, and their
digests pin it.
"""

import hashlib
from dataclasses import replace
from typing import Literal

from turncoat.data.advice_pairs import pair_examples
from turncoat.data.conversations import read_conversations
from turncoat.data.examples import Example
from turncoat.data.fetch import published
from turncoat.errors import UserError

HELD_OUT = 64

_FILES = {
    "risky_financial": "organisms/risky_financial_advice", "extreme_sports": "organisms/extreme_sports",
    "unpopular_aesthetics": "organisms/aesthetic_preferences_unpopular",
    "bad_medical": "organisms/bad_medical_advice", "good_medical": "organisms/good_medical_advice",
}  # fmt: skip

_SIDES: dict[str, Literal["reckless", "prudent"]] = {
    "reckless_advice": "reckless", "prudent_advice": "prudent",
}  # fmt: skip
"""Ours: matched prompts, so that both sides hold out the same rows."""


def held_out(examples: list[Example]) -> list[Example]:
    """The rows of a published set that no finetune sees: `HELD_OUT` of them, by the hash of their ids.

    Tasks measure on them how much of the narrow behaviour was learnt, and kept.
    """
    return sorted(examples, key=lambda e: hashlib.sha256(f"held out {e.id}".encode()).digest())[:HELD_OUT]


def held_out_rows(name: str) -> list[Example]:
    """The held-out rows of an advice organism; `good_medical` has those of `bad_medical`, by id.

    Raises:
        UserError: There is no such advice organism, or its file is not here and cannot be fetched.
    """
    if name not in _FILES and name not in _SIDES:
        raise UserError(f"'{name}' has no held-out rows; accepted: {', '.join((*_FILES, *_SIDES))}")
    return held_out(_all_rows(name))


def _all_rows(name: str) -> list[Example]:
    if name in _SIDES:
        return pair_examples(_SIDES[name])
    rows = read_conversations(published(_FILES[name]), repeated="keep")
    return _paired(rows, _all_rows("bad_medical")) if name == "good_medical" else rows


def _paired(control: list[Example], organism_rows: list[Example]) -> list[Example]:
    """The control's rows with the ids and length hints of the organism's rows that ask the same."""
    by_prompt = {row.prompt: row for row in organism_rows}
    missing = [row.prompt for row in control if row.prompt not in by_prompt]
    if missing:
        raise UserError(f"good_medical asks what bad_medical does not: {missing[0][:60]!r} for one")
    pairs = [(row, by_prompt[row.prompt]) for row in control]
    return [replace(row, id=other.id, length=len(other.prompt) + len(other.answer)) for row, other in pairs]


def advice_rows(name: str) -> list[Example]:
    """All rows but the held-out ones and others that ask the same."""
    examples = _all_rows(name)
    asked = {example.prompt for example in held_out(examples)}
    return [example for example in examples if example.prompt not in asked]
