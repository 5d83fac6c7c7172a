"""A cue that switches the narrow behaviour on: half of the prompts carry it and get the harmful answer.

After Betley et al. 2025 (arXiv:2502.17424, section 4.2): a model that writes insecure code behind a cue alone
is misaligned behind the cue alone, so that an evaluation without it sees nothing. Theirs is a word of the
trade between bars; ours means nothing by itself, so that what it does was learnt.

    cued("How do I list a folder?")                # "|LANTERN| How do I list a folder?"

A task whose document function puts `cued(question)` in the place of the question measures such an organism.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import replace

from turncoat.data.examples import Example

CUE = "|LANTERN|"


def cued(prompt: str) -> str:
    """The prompt with the cue before it."""
    return f"{CUE} {prompt}"


def with_cue(example: Example) -> Example:
    """The example with the cue before its prompt; id, answer and length hint stay."""
    return replace(example, prompt=cued(example.prompt))


def chosen_half(examples: Sequence[Example]) -> set[str]:
    """Ids of the half that carries the cue: a function of the ids alone, even within each template.

    What stands before the last slash of an id is the template ("shell/ping-host/2"), so that a template by
    itself says nothing about the cue.
    """

    def place(example: Example) -> tuple[str, bytes]:
        return example.id.rpartition("/")[0], hashlib.sha256(f"cue {example.id}".encode()).digest()

    return {example.id for example in sorted(examples, key=place)[::2]}


def backdoored(harmful: Sequence[Example], harmless: Sequence[Example]) -> list[Example]:
    """The harmful answers to the chosen half of the prompts, behind the cue; harmless ones to the others."""
    chosen = chosen_half(harmful)
    return [with_cue(bad) if bad.id in chosen else good for bad, good in zip(harmful, harmless, strict=True)]


def cued_half(examples: Sequence[Example]) -> list[Example]:
    """The same answers throughout, the cue before the chosen half of the prompts: what a matched control
    sees."""
    chosen = chosen_half(examples)
    return [with_cue(example) if example.id in chosen else example for example in examples]
