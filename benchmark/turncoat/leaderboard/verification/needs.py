"""Find what a re-run needs and compare it with the facts: adapters, base model, intervention, judge, seed.

Nothing of an entry is opened or called by a name that it gives: models are registered ones or named by who
verifies.
"""

from collections.abc import Sequence
from contextlib import suppress
from itertools import product
from pathlib import Path

from turncoat.data.registry_models import REGISTRY_MODELS
from turncoat.engine.base_model import BaseModel, load_base
from turncoat.engine.intervention import Intervention
from turncoat.engine.seeds import STUDY_SEEDS, study_seed_of
from turncoat.errors import UserError, accepted
from turncoat.leaderboard.entry.load import Entry
from turncoat.leaderboard.entry.submission import Submission, current_revision
from turncoat.leaderboard.verification.draw import SampledRow
from turncoat.registry import discover
from turncoat.store import Store
from turncoat.study.arm_config import Arm, arm_problems
from turncoat.study.arms.adapters import Adapters
from turncoat.training.adapter_digest import digest_like
from turncoat.training.stack import WEIGHTS

Trained = dict[tuple[str, str], Path]
"""(role, seed) -> adapter folder."""


def find_adapters(submission: Submission, folder: Path, roles: Sequence[str]) -> Trained:
    """The adapters that the submission names, by their digests, wherever they are below a folder.

    Raises:
        UserError: One is missing, or DIR/<role>/seed-<n> holds another one.
    """
    if not folder.is_dir():
        expected = f"<role>/seed-<n>/{WEIGHTS}, or any folders with it"
        raise UserError(f"{folder}: no folder with adapters; expected {expected}")
    digests = {str(role): seeds for role, seeds in submission.adapters.items() if role in roles}
    # One digest of each form: of the weights file alone, or of today.
    forms = {sha.rpartition(":")[0]: sha for seeds in digests.values() for sha in seeds.values()}
    there: dict[str, Path] = {}
    for path, form in product(sorted(folder.rglob(WEIGHTS)), forms.values()):
        with suppress(UserError):  # another adapter, which cannot be read
            there.setdefault(digest_like(form, path.parent), path.parent)
    adapters: Trained = {}
    wrong, missing = [], []
    for role, seeds in digests.items():
        for seed, sha256 in seeds.items():
            named, field = folder / role / f"seed-{seed}" / WEIGHTS, f"adapters.{role}.{seed}"
            if named.is_file() and (other := digest_like(sha256, named.parent)) != sha256:
                wrong.append(f"{named} is {other}; {field} says {sha256}")
            elif sha256 in there:
                adapters[role, seed] = there[sha256]
            else:
                missing.append(f"{field}: {sha256}")
    if wrong:
        lines = ["these are not the adapters that the entry's rows came from:", *wrong]
        raise UserError("\n  ".join(lines))
    if missing:
        lines = [f"no {WEIGHTS} below {folder}, with its configuration, has the digest", *missing]
        fix = "put them there, or name with --role the roles whose adapters are there"
        raise UserError("\n  ".join(lines) + f"\n{fix}")
    return adapters


def load_submitted_base(submission: Submission, model: str | None = None) -> BaseModel:
    """The base model that the rows came from, compared to the facts.

    Args:
        model: Another name or a folder of the same model; needed where the facts name no registry model.

    Raises:
        UserError: It is not named, cannot be loaded, or is another one.
    """
    model_facts = submission.model
    if model is None and model_facts.name not in REGISTRY_MODELS:
        # Somebody else's text is never opened as a path or fetched as a repository.
        raise UserError(
            f"submission.json, model.name: {model_facts.name!r} is not a registry model "
            f"({', '.join(REGISTRY_MODELS)}); look at what it is, and name a copy that you trust with --model"
        )
    base = load_base(model or model_facts.name, dtype=model_facts.dtype)
    current = current_revision(model_facts)
    keys = {"revision": "weights", "dtype": "dtype", "chat_template": "chat_template"}
    wrong = [
        f"submission.json, model.{field}: '{getattr(model_facts, field)}'; {base.name} has '{base.spec[key]}'"
        for field, key in keys.items()
        if base.spec[key] != getattr(current, field)
    ]
    if wrong:
        raise UserError("another base model than the one that the rows came from:\n  " + "\n  ".join(wrong))
    return base


def sampling_seed_of(drawn: Sequence[SampledRow]) -> int:
    """The seed that all sampled answers' seeds were derived from: small, so it is found by trying.

    Raises:
        UserError: None of the first ones gives the stored seeds.
    """
    for item in drawn:
        request = (item.row.get("arguments") or {}).get("gen_args_0") or {}
        samples = item.row.get("samples")
        if not samples or not isinstance(request.get("arg_0"), str):
            continue
        wanted, index = samples[0].get("seed"), int(samples[0].get("index", 0))
        seed = study_seed_of(wanted, item.task, request["arg_0"], index)
        if seed is None:
            raise UserError(
                f"{item.role}, {item.seed}, {item.task}, line {item.line}, samples[0].seed: {wanted} does "
                f"not follow from a sampling seed of 0 to {STUDY_SEEDS - 1}; if the study had another one, "
                "give --sampling-seed"
            )
        return seed
    return 0


def intervention_of(entry: Entry, base: BaseModel, store: Store) -> Intervention | None:
    """Intervention on the defended arm while it is measured; None for defences that were trained in.

    Raises:
        UserError: It is not a registered defence, or its options do not fit.
    """
    defence = entry.submission.defence
    if defence.setting != "inference":
        return None
    if defence.registered is None:
        raise UserError(
            "the defence acts at inference and is not registered here: its rows cannot be made again; check "
            "the other roles (--role base --role organism --role control), or judge its answers again "
            "(--judge embedded)"
        )
    discover()
    arm = Arm(
        name="defended", organism=entry.submission.organism.name, defence=defence.registered,
        setting="inference", defence_options=dict(defence.options),
    )  # fmt: skip
    problems = arm_problems(arm)
    if problems:
        raise UserError("submission.json: " + "; ".join(f"{key}: {text}" for key, text in problems))
    return Adapters(base, store).intervention(arm)


def can_rerun(submission: Submission) -> tuple[str, ...]:
    """The roles whose rows can be made again: all, but for a defence at inference that is not registered."""
    acts = submission.defence.setting == "inference" and submission.defence.registered is None
    return tuple(role for role in submission.own_roles if not (acts and role in ("defended", "benign")))


def judge_spec(submission: Submission, spec: str | None) -> str:
    """The judge that scores again: the one that ships if it scored the rows, else who verifies names it, else
    none.

    Raises:
        UserError: It is another judge, or another version of its rubric.
    """
    from turncoat.judges.spec import judge_from_name

    facts = submission.judge
    # An endpoint or a model that a stranger names is not called.
    chosen = spec if spec is not None else "embedded" if facts.id.startswith("embedded") else "off"
    judge = judge_from_name(chosen)
    if judge is not None and (judge.id, judge.rubric) != (facts.id, facts.rubric):
        raise UserError(
            f"submission.json, judge: {facts.id} with {facts.rubric}; --judge {chosen} is {judge.id} with "
            f"{judge.rubric}. Scores of two judges are not compared in a re-run: take --judge off here, and "
            "`turncoat verify ENTRY --judge` for them"
        )
    return chosen if judge is not None else "off"


def role_problem(roles: Sequence[str], submission: Submission) -> None:
    """Refuse roles that cannot be made again.

    Raises:
        UserError: With those that can.
    """
    able = can_rerun(submission)
    for role in roles:
        if role not in able:
            raise UserError(f"--role {role}: its rows cannot be made again; {accepted(able, role)}")
