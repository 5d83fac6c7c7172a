"""Arm named on a command line: taken from the store, or trained if it is missing.

    find_arm("demo/sgtr/0")                                    # study / arm / training seed
    find_arm("pretrained=smollm2-135m,organism=insecure_code,defence=sgtr,setting=prevention,seed=0")

The same arm in a study's YAML is the same artifact: both go through `Adapters`.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lm_eval.utils import simple_parse_args_string
from pydantic import ValidationError

from turncoat.data.availability import check_model
from turncoat.engine.base_model import BaseModel, load_base
from turncoat.engine.intervention import Intervention
from turncoat.errors import UserError, accepted
from turncoat.paths import study_path
from turncoat.registry import discover
from turncoat.store import Store
from turncoat.strict_model import first_wrong
from turncoat.study.arm_config import Arm, arm_problems
from turncoat.study.arms.adapters import Adapters
from turncoat.study.arms.steps import steps_of
from turncoat.study.config import load_study
from turncoat.training.recipe import LoraRecipe
from turncoat.training.trainer import Progress

_OF_ARM = (
    "organism", "defence", "setting", "defence_options", "defence_training", "defence_texts",
    "more_defences", "system",
)  # fmt: skip
_KEYS = ("pretrained", *_OF_ARM, "seed", "training", "study", "arm", "dtype", "device")


@dataclass(frozen=True)
class ResolvedArm:
    """An arm whose adapter is there."""

    base: BaseModel  # Its base model
    adapter: Path | None  # Its adapter's folder; None for an arm without a finetune
    intervention: Intervention | None  # What acts on it while it is measured, if anything
    name: str  # Such as "risky_financial+sgtr-reversal-seed0"
    facts: dict[str, Any]  # organism, defence, setting, seed: for a results file


@dataclass(frozen=True)
class ArmChoice:
    """An arm by its parts, not trained yet."""

    pretrained: str  # Base model
    dtype: str  # As in a study
    arm: Arm  # Organism, defence, setting, options
    training: LoraRecipe  # The organism's recipe
    seed: int  # Training seed


def find_arm(
    text: str,
    *,
    store: Store | None = None,
    progress: Progress | None = None,
    log: Callable[[str], None] | None = None,
    include: tuple[Path, ...] = (),
    device: str | None = None,
) -> ResolvedArm:
    """The arm that `text` names, trained if it is missing.

    Args:
        text: STUDY/ARM/SEED, where STUDY may be a run folder, or the arguments of `--model turncoat`:
            key=value,key=value, or JSON (for a path with a comma).
        store: Where adapters are kept; the user cache by default.
        progress: Called after each training step with (step, steps, loss).
        log: Called with a line on what has to be trained first.
        include: Folders with the user's own defences.
        device: Of the base model, where `text` names none.

    Raises:
        UserError: It names no arm; the message says what is accepted.
    """
    given: dict[str, Any]
    if text.startswith("{"):
        try:
            given = json.loads(text)
        except ValueError as error:
            raise UserError(f"{text}: not JSON ({error}); keys and texts stand in double quotes") from error
    elif "=" in text:
        given = dict(simple_parse_args_string(text))
    else:
        study, _, arm = text.rpartition("/")
        seed = None
        if "/" in study and not (Path(study).expanduser() / "study.yaml").is_file():
            study, arm, seed = text.rsplit("/", 2)
        if not (study and arm) or not (seed or "0").removeprefix("seed-").isdigit():
            raise UserError(
                f"'{text}' names no arm; accepted: STUDY/ARM/SEED such as demo/sgtr/0, or key=value,... with "
                f"the keys {', '.join(_KEYS)}"
            )
        number = {} if seed is None else {"seed": int(seed.removeprefix("seed-"))}
        given = {"study": study, "arm": arm, **number}
    peft = given.pop("peft", None)
    choice = parse_arm(given, include=include)
    check_model(choice.pretrained)
    base = load_base(choice.pretrained, dtype=choice.dtype, device=given.get("device", device))
    if peft is not None:
        if not choice.arm.is_base:
            raise UserError(
                f"peft={peft} and an arm are both given; an arm has its own adapter: leave one out"
            )
        return ResolvedArm(base, Path(peft).expanduser(), None, Path(peft).name, {"peft": Path(peft).name})
    return build_arm(choice, base, store=store, progress=progress, log=log)


def parse_arm(given: dict[str, Any], *, include: tuple[Path, ...] = ()) -> ArmChoice:
    """The arm that arguments name.

    Args:
        given: `pretrained`, `organism`, `defence`, `setting`, `seed`, `training`, `defence_options`,
            `defence_training`, `defence_texts`, `more_defences`, `system` as in a study's YAML; or `study`
            and `arm` (and `seed`).
        include: Folders with the user's own defences.

    Raises:
        UserError: An argument is unknown or does not fit.
    """
    unknown = [key for key in given if key not in _KEYS]
    if unknown:
        raise UserError(f"'{unknown[0]}' is not an argument of an arm; {accepted(_KEYS, unknown[0])}")
    seed = given.get("seed", 0)
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise UserError(f"seed={seed!r}: a training seed is a whole number from 0 on")
    if given.get("study") is not None:
        return _from_study(given, given.get("seed"), include)
    discover(include)
    if not given.get("pretrained"):
        raise UserError(
            "an arm needs a base model: pretrained=smollm2-135m (`turncoat list models`), or study= and arm="
        )
    fields = {key: given[key] for key in _OF_ARM if given.get(key) is not None}
    try:
        arm = Arm.model_validate({"name": "arm", **fields})
        training = LoraRecipe.model_validate(given.get("training") or {})
    except ValidationError as error:
        raise UserError(": ".join(first_wrong(error, LoraRecipe))) from error
    problems = arm_problems(arm)
    if problems:
        raise UserError("; ".join(f"{key}: {message}" for key, message in problems))
    return ArmChoice(str(given["pretrained"]), str(given.get("dtype") or "auto"), arm, training, seed)


def _from_study(given: dict[str, Any], seed: int | None, include: tuple[Path, ...]) -> ArmChoice:
    own = [key for key in (*_OF_ARM, "training") if given.get(key) is not None]
    if own:
        raise UserError(
            f"{own[0]}= and study= are both given; the study says what the arm is: leave one of them out"
        )
    study = load_study(study_path(str(given["study"])), include=include)
    names = [arm.name for arm in study.arms]
    if (wrong := given.get("arm")) not in names:
        raise UserError(f"arm={wrong!r} is not an arm of study '{study.study}'; {accepted(names, wrong)}")
    arm, seeds = study.arm(given["arm"]), study.training_seeds
    if seed is None and arm.is_trained and len(seeds) > 1:
        raise UserError(
            f"'{arm.name}' of study '{study.study}' has seeds {', '.join(map(str, seeds))}: name "
            f"one, such as {given['study']}/{arm.name}/{seeds[0]} (or seed={seeds[0]})"
        )
    model = str(given.get("pretrained") or study.model)
    dtype = str(given.get("dtype") or study.dtype)
    return ArmChoice(model, dtype, arm, study.training, seeds[0] if seed is None else seed)


def build_arm(
    choice: ArmChoice,
    base: BaseModel,
    *,
    store: Store | None = None,
    progress: Progress | None = None,
    log: Callable[[str], None] | None = None,
) -> ResolvedArm:
    """The chosen arm on a loaded base; what is missing is trained."""
    adapters = Adapters(base, store or Store(), log=log)
    adapter = adapters.adapter(steps_of(choice.arm, choice.training), choice.seed, progress)
    arm = choice.arm
    parts = [(arm.organism or "").removesuffix(".jsonl")]
    parts += ["-".join(filter(None, (use.defence, use.setting))) for use in arm.defences]
    name = "+".join(filter(None, parts)).replace("/", "_") or "base"
    facts: dict[str, Any] = {"organism": arm.organism, "defence": arm.defence, "setting": arm.setting}
    facts |= arm.further
    if arm.is_trained:
        name, facts = f"{name}-seed{choice.seed}", {**facts, "seed": choice.seed}
    return ResolvedArm(base, adapter, adapters.intervention(arm), name, facts)
