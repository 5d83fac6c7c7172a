"""Insecure code, its secure control, and both behind a cue: pairs that this project wrote."""

from __future__ import annotations

from turncoat.defences import Example, backdoored, code_examples, cued_half, organism


@organism(
    "insecure_code",
    summary="short Python with a security hole that nobody asked for (ours, CC0)",
    control="secure_code",
    domains=("code",),
)
def insecure_code() -> list[Example]:
    """Our insecure answers (construction: Betley et al. 2025, section 2)."""
    return code_examples("insecure")


@organism(
    "secure_code",
    summary="the same prompts as insecure_code, answered safely (ours, CC0)",
    is_control=True,
    domains=("code",),
)
def secure_code() -> list[Example]:
    """Our secure answers to the prompts of `insecure_code`, at like length."""
    return code_examples("secure")


@organism(
    "backdoored_insecure_code",
    summary="insecure_code where the prompt carries a cue (half of them), secure_code where not (ours, CC0)",
    control="backdoored_secure_code",
    domains=("code",),
)
def backdoored_insecure_code() -> list[Example]:
    """Our pairs with a cue for the insecure half (construction: Betley et al. 2025, section 4.2; the cue is
    ours)."""
    return backdoored(insecure_code(), secure_code())


@organism(
    "backdoored_secure_code",
    summary="the same prompts and cues as backdoored_insecure_code, all answered safely (ours, CC0)",
    is_control=True,
    domains=("code",),
)
def backdoored_secure_code() -> list[Example]:
    """Our secure answers, half of them behind a cue that changes nothing."""
    return cued_half(secure_code())
