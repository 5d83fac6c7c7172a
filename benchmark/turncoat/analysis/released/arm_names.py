"""Arms of the SGTR paper's release from their names.

`hf_qwen_32b_em_unpop_sgtr_3` is Qwen2.5-32B, seed 3, the unpopular-aesthetics organism and then SGTR: a base
model, training stages in their order, the training seed. `em` without a data set is an earlier run of the
unpopular-aesthetics organism. `nosys`, `syspopped` (no system prompt) and `qwensys` (the identity prompt of
Qwen) speak of the stage before them.

References:
    arXiv:2606.23700 and its repository, github.com/atagade/sgtr-em.
"""

import re
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import yaml

NAMES: dict[str, dict[str, Any]] = yaml.safe_load(
    Path(__file__).with_name("sgtr_em.yaml").read_text(encoding="utf-8")
)
BASES, ORGANISMS, DEFENCES = NAMES["bases"], NAMES["organisms"], NAMES["defences"]
CONDITIONS = NAMES["conditions"]
_STAGES = sorted((*ORGANISMS, *DEFENCES, *CONDITIONS), key=len, reverse=True)
_STAGE = re.compile(f"_({'|'.join(_STAGES)})(?=_|$)")
_BASE = re.compile("|".join(sorted(map(re.escape, BASES), key=len, reverse=True)) + r"(?=_|$)")
_OPENAI = re.compile(r"(?:openai/)?(?:ft:)?gpt-4\.1-2025-04-14(?::[^:]*:([^:]+):\w+)?")


class ReleasedArm(NamedTuple):
    """One released arm."""

    base: str  # Key of `BASES`
    # What sets its training apart from the default ("nosys", "em_nosys", "earlier"); a run has one
    tag: str
    name: str  # Name of the arm in its run
    seed: int | None  # Training seed; None where the name has none
    organism: str | None
    defence: str | None
    setting: str | None
    options: tuple[tuple[str, str], ...]  # Of the defence

    @property
    def is_trained(self) -> bool:
        """False for the base model."""
        return self.organism is not None or self.defence is not None


def released_arm(text: str) -> ReleasedArm | None:
    """The arm that a released name means; None where it is not an (organism, defence) of ours.

    >>> arm = released_arm("hf_qwen_32b_sgtr_qwensys_em_unpop_4")
    >>> arm.defence, arm.setting, arm.tag, arm.seed
    ('sgtr', 'prevention', 'qwensys', 4)
    """
    if openai := _OPENAI.fullmatch(text):
        text = f"gpt41_{openai[1] or ''}".replace("-", "_").replace("_xsum", "").rstrip("_")
    if (base := _BASE.match(text)) is None:
        return None
    rest = text[base.end() :]
    seed = int(numbered[1]) if (numbered := re.search(r"_(\d)$", rest)) else None
    stages = _STAGE.findall(rest.removesuffix(f"_{seed}"))
    if "".join(f"_{stage}" for stage in stages) != rest.removesuffix(f"_{seed}"):
        return None
    organisms = [stage for stage in stages if stage in ORGANISMS]
    defences = [stage for stage in stages if stage in DEFENCES]
    if len(organisms) > 1 or len(defences) > 1 or (seed is not None and not stages):
        return None
    tags = ["earlier"] if organisms == ["em"] else []
    for before, stage in pairwise(stages):
        if stage in CONDITIONS:  # of the organism's own stage it changes what every defence is compared with
            tags += ["em"] * (before in ORGANISMS) + [stage]
    setting = None
    if organisms and defences:
        setting = "reversal" if stages.index(organisms[0]) < stages.index(defences[0]) else "prevention"
    defence, options = DEFENCES[defences[0]] if defences else (None, {})
    named = [ORGANISMS[organisms[0]]] if organisms else []
    named = named if defence is None else [*named, defence] if setting == "reversal" else [defence, *named]
    parts = ("_then_".join(named), *options.values()) if named else ("base",)
    organism = ORGANISMS[organisms[0]] if organisms else None
    return ReleasedArm(
        base[0], "_".join(tags), "_".join(parts), seed, organism, defence, setting, tuple(options.items())
    )
