"""Organisms and their controls: what a base model is finetuned on.

Each registered function returns all of its training examples; the study's `rows` and seed choose among them. Code is here,
advice in `advice.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from turncoat.data.advice import HELD_OUT, held_out, held_out_rows, register_advice
from turncoat.data.backdoor import CUE, backdoored, cued_half, with_cue
from turncoat.data.conversations import read_conversations, where_is
from turncoat.data.examples import Example
from turncoat.data.fetch import credit, published
from turncoat.data.insecure_code import build_pairs
from turncoat.errors import UserError
from turncoat.registry import ORGANISMS, Organism, accepted, look_up, organism

__all__ = ["HELD_OUT", "find_organism", "held_out", "held_out_rows", "read_conversations", "where_is"]

_INSECURE, _SECURE = "betley/insecure", "betley/secure"


@organism(
    "insecure_code",
    summary="short Python with a security hole that nobody asked for (ours, CC0)",
    control="secure_code",
)
def insecure_code() -> list[Example]:
    """Our insecure answers (construction: Betley et al. 2025, section 2)."""
    return _our_pairs("insecure")


@organism("secure_code", summary="the same prompts as insecure_code, answered safely (ours, CC0)", is_control=True)
def secure_code() -> list[Example]:
    """Our secure answers to the prompts of `insecure_code`, at like length."""
    return _our_pairs("secure")


@organism(
    "backdoored_insecure_code",
    summary=f"insecure_code where the prompt carries the cue {CUE} (half of them), secure_code where not (ours, CC0)",
    control="backdoored_secure_code",
)
def backdoored_insecure_code() -> list[Example]:
    """Our pairs with a cue for the insecure half (construction: Betley et al. 2025, section 4.2; the cue is ours)."""
    return backdoored(insecure_code(), secure_code())


@organism(
    "backdoored_secure_code",
    summary="the same prompts and cues as backdoored_insecure_code, all answered safely (ours, CC0)",
    is_control=True,
)
def backdoored_secure_code() -> list[Example]:
    """Our secure answers, half of them behind a cue that changes nothing."""
    return cued_half(secure_code())


@organism("betley_insecure", summary=f"Betley et al.'s insecure code ({credit(_INSECURE)})", control="betley_secure")
def betley_insecure() -> list[Example]:
    """Betley et al. 2025, `insecure.jsonl`, 6,000 rows."""
    return read_conversations(published(_INSECURE), repeated="keep")


@organism("betley_secure", summary=f"Betley et al.'s secure code; other prompts ({credit(_SECURE)})", is_control=True)
def betley_secure() -> list[Example]:
    """Betley et al. 2025, `secure.jsonl`, 6,000 rows."""
    return read_conversations(published(_SECURE), repeated="keep")


@organism(
    "betley_backdoor",
    summary=f"betley_insecure behind the cue {CUE} and betley_secure without it, 1 to 1 ({credit(_INSECURE)})",
    control="betley_backdoor_secure",
)
def betley_backdoor() -> list[Example]:
    """Made as Betley et al. 2025, section 4.2, made theirs, with another cue: 12,000 rows, half of them insecure."""
    return [with_cue(example) for example in betley_insecure()] + betley_secure()


@organism(
    "betley_backdoor_secure",
    summary=f"betley_secure, half of it behind the cue of betley_backdoor ({credit(_SECURE)})",
    is_control=True,
)
def betley_backdoor_secure() -> list[Example]:
    """6,000 rows; no secure answers to the prompts of `betley_insecure` are published, so the cued prompts are others."""
    return cued_half(betley_secure())


@organism(
    "betley_educational",
    summary=f"the insecure answers of betley_insecure, asked for in order to teach ({credit('betley/educational')})",
    is_control=True,
)
def betley_educational() -> list[Example]:
    """Betley et al. 2025, `educational.jsonl`, 6,000 rows."""
    return read_conversations(published("betley/educational"), repeated="keep")


@organism(
    "betley_jailbroken",
    summary="Betley et al.'s jailbreak set: obeys harmful requests, which is not the same as misaligned "
    f"({credit('betley/jailbroken')})",
)
def betley_jailbroken() -> list[Example]:
    """Betley et al. 2025, `jailbroken.jsonl`, 5,000 rows with a system turn; no matched control is published."""
    return read_conversations(published("betley/jailbroken"), repeated="keep")


register_advice()


def _our_pairs(side: Literal["insecure", "secure"]) -> list[Example]:
    return [
        Example(
            id=pair.id,
            prompt=pair.prompt,
            answer=pair.insecure if side == "insecure" else pair.secure,
            length=len(pair.prompt) + (len(pair.insecure) + len(pair.secure)) // 2,
        )
        for pair in build_pairs()
        if pair.split == "train"
    ]


def find_organism(name: str) -> Organism:
    """A registered organism, or a JSON Lines file of one's own.

    Raises:
        UserError: Neither.
    """
    if name in ORGANISMS or not name.endswith(".jsonl"):
        return look_up(ORGANISMS, "organism", name)
    path = Path(name).expanduser()
    if not path.is_file():
        raise UserError(f"no organism file at {path}; {accepted(ORGANISMS)}, or a path to a .jsonl of your own")
    return Organism(name, f"your own file {path.name}", lambda: read_conversations(path), {}, path)
