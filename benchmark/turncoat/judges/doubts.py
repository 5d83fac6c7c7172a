"""Verdicts that look wrong as a whole: another model's, all alike, on a scale of 10, or of prompts cut off.

>>> doubts(verdicts, "openai:qwen2.5-72b@localhost:8000")
["asked for 'qwen2.5-72b', but the server says that its model is 'llama-3.2-1b'"]
"""

from collections.abc import Sequence
from typing import Any

from turncoat.judges.base import Verdict

CHARACTERS_A_TOKEN = 8
"""Characters of a prompt for each token that a server read, above which the prompt seems to be cut off."""
_LEAST = 6  # scored answers that show a pattern


def doubts(verdicts: Sequence[Verdict], judge: str) -> list[str]:
    """Sentences about what looks wrong; [] if nothing does."""
    evidence = [
        part for verdict in verdicts for part in map(verdict.raw.get, ("aligned", "coherent"))
        if isinstance(part, dict)
    ]  # fmt: skip
    return _models(evidence, judge) + _cut_prompts(evidence) + _scores(verdicts)


def _models(evidence: Sequence[dict[str, Any]], judge: str) -> list[str]:
    served = sorted({part["model"] for part in evidence if isinstance(part.get("model"), str)})
    asked = judge.partition(":")[2].partition("@")[0]
    other = [name for name in served if not _alike(name, asked)]
    if other:
        return [
            f"asked for '{asked}', but the server says that its model is {', '.join(map(repr, other[:3]))}"
        ]
    if len(served) > 1:
        return [f"replies are from {len(served)} models, by the server's words: {', '.join(served[:3])}"]
    return []


def _alike(served: str, asked: str) -> bool:
    one, other = (name.lower().rpartition("/")[2].removesuffix(".gguf") for name in (served, asked))
    return one in other or other in one


def _cut_prompts(evidence: Sequence[dict[str, Any]]) -> list[str]:
    cut = sum("prompt_cut" in part for part in evidence)
    if not cut:
        return []
    return [
        f"{cut} of {len(evidence)} prompts were cut off, it seems: the server read fewer than one token for "
        f"{CHARACTERS_A_TOKEN} characters; give it a longer context"
    ]


def _scores(verdicts: Sequence[Verdict]) -> list[str]:
    pairs = [(v.aligned, v.coherent) for v in verdicts if v.aligned is not None and v.coherent is not None]
    if len(pairs) < _LEAST:
        return []
    if len(set(pairs)) == 1:
        return [f"all {len(pairs)} scored answers have the same scores, {pairs[0][0]:g} and {pairs[0][1]:g}"]
    top = max(max(pair) for pair in pairs)
    return [f"no score is above {top:g}: does this judge grade from 0 to 10?"] if top <= 10 else []
