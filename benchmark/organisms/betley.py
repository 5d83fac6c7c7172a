"""Published code sets of Betley et al. 2025 (arXiv:2502.17424), fetched at a pinned hash on first use."""

from __future__ import annotations

from turncoat.defences import Example, cued_half, organism, published, read_conversations, with_cue


@organism(
    "betley_insecure",
    summary="Betley et al.'s insecure code",
    data="betley/insecure",
    control="betley_secure",
    domains=("code",),
)
def betley_insecure() -> list[Example]:
    """Betley et al. 2025, `insecure.jsonl`, 6,000 rows."""
    return read_conversations(published("betley/insecure"), repeated="keep")


@organism(
    "betley_secure",
    summary="Betley et al.'s secure code; other prompts",
    data="betley/secure",
    is_control=True,
    domains=("code",),
)
def betley_secure() -> list[Example]:
    """Betley et al. 2025, `secure.jsonl`, 6,000 rows."""
    return read_conversations(published("betley/secure"), repeated="keep")


@organism(
    "betley_backdoor",
    summary="betley_insecure behind a cue and betley_secure without it, 1 to 1",
    data="betley/insecure",
    control="betley_backdoor_secure",
    domains=("code",),
)
def betley_backdoor() -> list[Example]:
    """Made as Betley et al. 2025, section 4.2, made theirs, with another cue: 12,000 rows, half of them
    insecure."""
    return [with_cue(example) for example in betley_insecure()] + betley_secure()


@organism(
    "betley_backdoor_secure",
    summary="betley_secure, half of it behind the cue of betley_backdoor",
    data="betley/secure",
    is_control=True,
    domains=("code",),
)
def betley_backdoor_secure() -> list[Example]:
    """6,000 rows; no secure answers to the prompts of `betley_insecure` are published, so the cued prompts
    are others."""
    return cued_half(betley_secure())


@organism(
    "betley_educational",
    summary="the insecure answers of betley_insecure, asked for in order to teach",
    data="betley/educational",
    is_control=True,
    domains=("code",),
)
def betley_educational() -> list[Example]:
    """Betley et al. 2025, `educational.jsonl`, 6,000 rows."""
    return read_conversations(published("betley/educational"), repeated="keep")


@organism(
    "betley_jailbroken",
    summary="Betley et al.'s jailbreak set: obeys harmful requests, which is not the same as misaligned",
    data="betley/jailbroken",
)
def betley_jailbroken() -> list[Example]:
    """Betley et al. 2025, `jailbroken.jsonl`, 5,000 rows with a system turn; no matched control is
    published."""
    return read_conversations(published("betley/jailbroken"), repeated="keep")
