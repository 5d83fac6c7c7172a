"""Rules for several defences in one arm: which of them cannot act together, in a sentence that says why.

    clash([("kl", "in_training", KLToFrozen), ("sgtr", "prevention", None)])    # "'kl' holds ..."

Whatever is not refused composes: finetunes come one after the other, in-training defences act in the order
of the list (`turncoat.training.combined`), interventions too (`turncoat.engine.intervention.InOrder`).
"""

from collections.abc import Sequence
from itertools import permutations

from turncoat.engine.system_prompt import SystemPrompt
from turncoat.registry import Defence
from turncoat.training.adapter_edit import AdapterEdit
from turncoat.training.combined import has_penalty

Part = tuple[str, str | None, type | None]
"""Name, setting, and class of what the defence returns (None for examples, or where it is not known)."""


def returned(entry: Defence) -> type | None:
    """The class that a defence is annotated to return; None for examples or without an annotation."""
    annotation = entry.build.__annotations__.get("return")
    if isinstance(annotation, str):
        annotation = entry.build.__globals__.get(annotation)
    return annotation if isinstance(annotation, type) else None


def clash(parts: Sequence[Part], under: str = "default") -> str:
    """Reason why defences of one arm cannot act together; "" if they can.

    Args:
        under: The arm's system prompt (`turncoat.training.recipe.System`).
    """
    prompts = [name for name, _, kind in parts if kind is not None and issubclass(kind, SystemPrompt)]
    if len(prompts) + (under != "default") > 1:
        return f"'{prompts[0]}' is a system prompt, and there is another one; give one text"
    for (one, setting, kind), (other, its_setting, _) in permutations(parts, 2):
        if (one, setting) == (other, its_setting):
            return f"'{one}' is there twice with setting {setting}; give it once"
        if kind is None:
            continue
        before = its_setting == "prevention"
        if setting == "in_training" and issubclass(kind, AdapterEdit) and (before or its_setting == setting):
            return (
                f"'{one}' edits the finished adapter of the undefended organism, in which '{other}' has no "
                "part; take one of the two out"
            )
        if setting == "in_training" and has_penalty(kind) and before:
            return (
                f"'{one}' holds the organism near the model without any adapter, and '{other}' is an adapter "
                "that was trained before; take one of the two out"
            )
    return ""
