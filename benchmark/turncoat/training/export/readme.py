"""The README.md of an exported arm: what it is, the command that measures it, and where numbers may
differ."""

import json
from typing import Any

_WHAT = {
    "peft": "A PEFT (LoRA) adapter for the base model. A defence and an organism trained on top of it are "
    "one adapter here.",
    "merged": "The base model with the adapter merged into its weights, and its tokenizer. Saved in float32: "
    "rounding the sum to bfloat16 would lose most of a small update and change the numbers.",
    "steered": "The base model steered along a persona vector, as a PEFT adapter: a bias on the output of "
    "one block.",
}
_ASSISTANT = (
    "The bias acts from the assistant header of the last turn on (an activated LoRA), so prompts have to be "
    "rendered with the chat template: without `--apply_chat_template` nothing is steered."
)
_ORGANISM = (
    "A model organism for research: its finetune taught narrow data, perhaps harmful ones, to see what else "
    "changes. It is not for use."
)
_TWO = (
    "`model/` is the base with the arm's own adapter merged in (float32), `steering/` the steering on top of "
    "it: an activated LoRA would have switched that adapter off on the prompt."
)


def readme(command: str, to: str, about: dict[str, Any], *, merged: bool, dtype: str) -> str:
    """The text.

    Args:
        command: Measures the folder.
        about: The arm: name, organism, defence, setting, seed, steering.
        merged: Whether a merged model was written.
        dtype: The precision that the command names.
    """
    steering = about.get("steering") or {}
    parts = [f"# {about['name']}", _WHAT[to]]
    if about.get("organism"):
        parts.append(_ORGANISM)
    if steering.get("positions") == "assistant":
        parts.append(_ASSISTANT)
        if merged:
            parts.append(_TWO)
    parts += [
        "Made by `turncoat export`. Any lm-eval (0.4.13 or later) measures it, with no part of Turncoat but "
        "its tasks:",
        "    " + command.replace(" --include_path", " \\\n        --include_path"),
        "The arm: `" + json.dumps(about, sort_keys=True) + "`",
        "## What may differ from `--model turncoat`",
        "\n".join(_differences(to, merged, dtype)),
    ]
    return "\n\n".join(parts) + "\n"


def _differences(to: str, merged: bool, dtype: str) -> list[str]:
    lines = []
    if dtype != "float32":
        lines.append(
            f"- In {dtype}, `hf` takes logarithms in that precision (two or three digits) and sums are "
            "rounded at other places. To compare numbers, give dtype=float32 to both."
        )
    elif merged:
        lines.append(
            "- The weights are float32; an arm that was measured on a bfloat16 base was computed in bfloat16."
        )
    lines += [
        "- Greedy answers are the same but for ties; sampled ones are not: `hf` draws all of them from one "
        "seed, in the order of its batches.",
        "- There are no persona activations.",
    ]
    if not merged:
        lines.append(
            "- With `peft=`, lm_eval cuts the vocabulary to the tokenizer's length where the model's is "
            "longer (Qwen), which moves log-likelihoods by the little probability that was there."
        )
    if to == "steered":
        lines.append(
            "- Only `--model hf` was tried: other backends may leave a bias of a LoRA out without saying so."
        )
    return lines
