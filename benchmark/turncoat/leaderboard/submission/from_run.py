"""Draft an entry from a run folder: arms become roles, facts come from run.json."""

import re
import shlex
from pathlib import Path
from typing import Any

from turncoat.analysis.four_axes import partner
from turncoat.data.organisms import find_organism
from turncoat.errors import UserError, accepted
from turncoat.evaluation.samples_file import sample_files
from turncoat.evaluation.task_facts import learnt_by
from turncoat.leaderboard.entry.track import Track, TrackTask, loss_task
from turncoat.leaderboard.submission.draft import Cell, Draft, SubmitterInfo, settings, task_version
from turncoat.leaderboard.submission.missing import missing_requirements
from turncoat.leaderboard.submission.paths_scrubber import PathScrubber
from turncoat.paths import baselines_dir, run_folder
from turncoat.registry import DEFENCES
from turncoat.safe_files import read_object
from turncoat.study.arm_config import Arm, undefended
from turncoat.study.before_run.smoke import refuse_smoke
from turncoat.study.config import Study, load_study

_WORD = re.compile(r"[\w.:/@+=,-]{1,120}")
_PACKAGES = ("turncoat", "commit", "python", "torch", "transformers", "peft", "trl", "lm_eval")


def draft_of_run(
    run: Path, arm: str | None, track: Track, submitter: SubmitterInfo, include: tuple[Path, ...] = ()
) -> Draft:
    """Everything but the rows themselves.

    Args:
        arm: A defended arm, or an undefended organism for the board's "none"; None where there is but one
            defended.

    Raises:
        UserError: It is not a run, the arm is not one, or something is missing that the track needs.
    """
    study = load_study(run_folder(run) / "study.yaml", include=include)
    refuse_smoke(study, run)
    if study.is_remote:
        raise UserError(
            f"{run}: models behind an endpoint have no weights to verify; entries need a local run"
        )
    if study.generation != "turncoat":
        raise UserError(
            f"{run}: answers by {study.generation} cannot be drawn again from their seeds, as verification "
            "does; entries need a run without `generation:`"
        )
    if study.log_likelihoods != "turncoat":
        raise UserError(
            f"{run}: log-likelihoods by {study.log_likelihoods} differ from ours in their last digits, and "
            "verification compares them; entries need a run without `log_likelihoods:`"
        )
    record = read_object(run / "run.json")
    chosen = _chosen(run, study, arm)
    if not submitter.contact:
        raise UserError('--contact is missing: somebody to ask, such as "A. Person <a@example.org>"')
    matched = find_organism(str(chosen.organism)).control
    if matched is None:
        raise UserError(
            f"the organism '{chosen.organism}' has no registered control, so it has no board: entries are "
            "defences of `turncoat list organisms`; `turncoat pack` makes a run of your own small enough to "
            "share, `turncoat view RUN --static FILE.html` a page of it"
        )
    loss_task(str(chosen.organism))  # raises where the organism has no board
    notes: list[str] = []
    roles = _roles(study, chosen, str(matched), notes)
    # A packed run is what somebody keeps: it is not written over.
    to = Path("runs") / study.study if any((run / "rows").glob("*/*/*/*.gz")) else run
    again = shlex.join(["turncoat", "run", f"{run}/study.yaml", "--out", str(to)])
    missing = missing_requirements(study, roles, chosen, str(matched), track, record)
    if missing:
        problem = f"the arm '{chosen.name}' makes no entry of the track '{track.track}' yet"
        raise UserError(f"{run}: {problem}\n{missing.text(run, again, to)}")
    if edited := study.edited_since(record):
        raise UserError(f"{run}: {edited}; put the file back, or run `{again}` and submit {to}")
    scrubber = PathScrubber.of(run)
    samples, versions = _files(run, roles, study, track, again)
    facts = _facts(study, record, roles, chosen, str(matched), track, submitter, scrubber)
    facts["adapters"] = _adapters(run, record, roles, study, again)
    seconds = dict.fromkeys(roles, 0.0)
    for role, played_by in roles.items():
        labels = [f"{played_by.name}, seed {seed}" for seed in study.training_seeds]
        seconds[role] = sum(float(step["seconds"]) for step in record["training"] if step["arm"] in labels)

    def hint(use: TrackTask) -> str:
        return f"put {settings(use)} into the tasks of {run}/study.yaml, run `{again}` and submit {to}"

    return Draft(facts, samples, versions, seconds, track, hint, scrubber, notes)


def _chosen(run: Path, study: Study, name: str | None) -> Arm:
    """The arm to submit: defended, or an undefended organism; never a control, a partner or the base."""
    harmful = [arm for arm in study.arms if arm.organism and not find_organism(arm.organism).is_control]
    defended = [arm for arm in harmful if arm.defence is not None and not arm.further]
    if name is None and len(defended) == 1:
        return defended[0]
    names = [arm.name for arm in harmful]
    if not names:
        problem = "no arm of the study has an organism that is not a control"
        raise UserError(f"{run}: {problem}; nothing can be submitted")
    if name is None:
        raise UserError(f"--arm is missing: which of {len(defended)} defended arms? {accepted(names)}")
    if name not in names:
        known = name in {arm.name for arm in study.arms}
        why = "is a base, control or partner and not an entry" if known else "is not an arm of this study"
        raise UserError(f"--arm {name}: '{name}' {why}; {accepted(names, name)}")
    if further := ", ".join(study.arm(name).further):
        text = "an entry has one defence, the track's recipe and its tasks' own prompts"
        raise UserError(f"--arm {name}: {text}; this arm has {further}")
    return study.arm(name)


def _roles(study: Study, chosen: Arm, control: str, notes: list[str]) -> dict[str, Arm]:
    """Role -> arm, of those that are there."""
    plain = {arm.organism: arm for arm in study.arms if arm.defence is None and not arm.further}
    arms = {"base": plain.get(None), "organism": plain.get(chosen.organism), "control": plain.get(control)}
    if chosen.defence is not None:
        arms["organism"] = undefended(study.arms, chosen)
        arms["defended"] = chosen
        arms["benign"] = _benign(study, chosen, control, notes)
    return {role: arm for role, arm in arms.items() if arm is not None}


def _benign(study: Study, chosen: Arm, control: str, notes: list[str]) -> Arm | None:
    """The same defence around the matched control, if it was run and its learning can be measured."""
    task = loss_task(str(chosen.organism))
    without = "the entry says nothing about benign learning"
    if control not in learnt_by(task):
        notes.append(f"{task} has no held-out loss of {control}: {without}")
        return None
    pair = partner(study, chosen, [control])
    if pair is None or pair.organism != control:
        notes.append(f"no arm has the same defence around {control}: {without}")
        return None
    if not any(use.task == task and pair.measured_by(use.task) for use in study.tasks):
        notes.append(f"{pair.name} is not measured by {task}: {without}")
        return None
    return pair


def _files(
    run: Path, roles: dict[str, Arm], study: Study, track: Track, again: str
) -> tuple[dict[Cell, Path], dict[Cell, float]]:
    """Samples file and task version of every cell."""
    samples: dict[Cell, Path] = {}
    versions: dict[Cell, float] = {}
    organism = str(roles["organism"].organism)
    for role, arm in roles.items():
        folders = ("base",) if role == "base" else tuple(f"seed-{seed}" for seed in study.training_seeds)
        for folder in folders:
            for use in track.tasks_of_role(role, organism):
                there = run / "rows" / arm.name / folder / use.task
                paths, results = sample_files(there, use.task), sorted(there.glob("results_*.json"))
                if len(paths) != 1 or len(results) != 1:
                    due = "one samples file and one results file are due"
                    counts = f"there are {len(paths)} and {len(results)}"
                    raise UserError(f"{there}: {due}, {counts}; run `{again}` again")
                samples[role, folder, use.task] = paths[0]
                versions[role, folder, use.task] = task_version(read_object(results[0]), results[0], use.task)
    return samples, versions


def _adapters(
    run: Path, record: dict[str, Any], roles: dict[str, Arm], study: Study, again: str
) -> dict[str, dict[str, str]]:
    """Role -> seed -> hash of the adapter that the rows came from."""
    known = {(item["arm"], item["seed"]): item["adapter"] for item in record["measured"]}
    hashes: dict[str, dict[str, str]] = {}
    for role, arm in roles.items():
        if role == "base":
            continue
        for seed in study.training_seeds:
            sha256 = known.get((arm.name, seed))
            if not sha256:
                which = f"{arm.name}, seed {seed}"
                raise UserError(f"{run / 'run.json'}, measured: no adapter of {which}; run `{again}` again")
            hashes.setdefault(role, {})[str(seed)] = sha256
    return hashes


def _facts(
    study: Study,
    record: dict[str, Any],
    roles: dict[str, Arm],
    chosen: Arm,
    control: str,
    track: Track,
    submitter: SubmitterInfo,
    scrubber: PathScrubber,
) -> dict[str, Any]:
    model, provenance, judge = record["model"], record["provenance"], record["judge"]
    details = ("name", "dtype", "parameters", "chat_template")
    facts: dict[str, Any] = {
        "track": track.track, "defence": submitter.fill_in(_defence(chosen)),
        "model": {"revision": model["weights"], **{name: model[name] for name in details}},
        "organism": {"name": chosen.organism, **record["data"].get(chosen.organism, {})},
        "control": {"name": control, **record["data"].get(control, {})},
        "recipe": study.training.settings(), "seeds": list(study.training_seeds),
        "persona": {"trait": record["persona"]["trait"], "layer": record["persona"]["layer"]},
        "judge": {"id": judge["id"], "rubric": judge["rubric"]},
        "versions": {k: provenance[k] for k in _PACKAGES if _WORD.fullmatch(str(provenance.get(k, "")))},
        "command": provenance["command"], "hardware": provenance["machine"],
    }  # fmt: skip
    if "benign" in roles:
        facts["benign"] = facts["control"]
    if submitter.replaced is not None:
        facts["supersedes"] = submitter.replaced
    scrubbed = {key: scrubber.scrub_all(value, key) for key, value in facts.items()}
    # A contact is the submitter's own words; everything else was written by a machine about itself.
    return {**scrubbed, "contact": submitter.contact}


def _defence(arm: Arm) -> dict[str, Any]:
    if arm.defence is None:
        summary = "The organism as it is, undefended: what every defence of this board is compared with"
        return {"name": "no defence", "setting": "none", "summary": summary}
    entry = DEFENCES[arm.defence]
    return {
        "name": arm.defence,
        "registered": arm.defence if entry.source.parent == baselines_dir().resolve() else None,
        "setting": arm.setting,
        "options": arm.defence_options,
        "training": arm.defence_training,
        "summary": " ".join(entry.summary.split())[:300],
    }
