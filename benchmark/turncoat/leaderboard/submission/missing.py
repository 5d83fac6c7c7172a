"""List what a run lacks for an entry, as lines to put into its study."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from turncoat.evaluation.task_catalogue import is_judged, task_content
from turncoat.judges.spec import OFF
from turncoat.leaderboard.entry.track import Track, TrackTask
from turncoat.leaderboard.submission.draft import settings
from turncoat.study.arm_config import Arm
from turncoat.study.config import Study, TaskUse


@dataclass
class MissingRequirements:
    """Reasons, and what to write into the study; falsy if nothing is missing."""

    reasons: list[str] = field(default_factory=list)
    top: list[str] = field(default_factory=list)
    arms: list[str] = field(default_factory=list)
    tasks: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.reasons)

    def text(self, run: Path, again: str, to: Path) -> str:
        """The whole message: reasons, lines, and the commands to give next."""
        lines = [f"- {reason}" for reason in dict.fromkeys(self.reasons)]
        yaml = list(dict.fromkeys(self.top))
        for key, items in (("arms", self.arms), ("tasks", self.tasks)):
            yaml += [f"{key}:", *(f"  - {item}" for item in dict.fromkeys(items))] if items else []
        if yaml:
            rule = "a line for the same key, arm or task takes the old one's place"
            lines += [f"Put this into {run}/study.yaml ({rule}):", *(f"  {line}" for line in yaml)]
        return "\n".join([*lines, f"Then run `{again}` (what is done stays done) and submit {to}"])


def missing_requirements(
    study: Study, roles: dict[str, Arm], chosen: Arm, control: str, track: Track, record: dict[str, Any]
) -> MissingRequirements:
    """All that a run needs before one of its arms can be an entry."""
    missing = MissingRequirements()
    _arms(missing, roles, chosen, control)
    seeds = study.training_seeds
    if len(seeds) < track.min_seeds:
        there = f"{len(seeds)} ({', '.join(map(str, seeds))})"
        missing.reasons.append(f"training_seeds: {there}; the track needs {track.min_seeds} or more")
        more = [seed for seed in range(track.min_seeds + len(seeds)) if seed not in seeds]
        missing.top.append(f"training_seeds: {[*seeds, *more][: track.min_seeds]}")
    for role, arm in roles.items():
        for use in track.tasks_of_role(role, str(chosen.organism)):
            _task(missing, study, role, arm, use)
    _judge(missing, study, track)
    for failed in record.get("failed", []):
        for role, arm in roles.items():
            if arm.name == failed["arm"]:
                missing.reasons.append(
                    f"{arm.name}, seed {failed['seed']} (the {role} arm) failed: {failed['reason']}. No seed "
                    "may be left out of an entry: change the recipe (`training:`) so that all of them train"
                )
    for unmade in record.get("missing", []):
        if unmade["arm"] in {arm.name for arm in roles.values()}:
            missing.reasons.append(
                f"{unmade['arm']}, seed {unmade['seed']}: not made yet; run the study without --no-make"
            )
    old = [key for key in ("measured", "data") if key not in record]
    if old:
        missing.reasons.append(
            f"run.json, {' and '.join(old)}: missing; the run was made before adapters and data were "
            "recorded with it. Run it once more: nothing is trained again"
        )
    return missing


def _arms(missing: MissingRequirements, roles: dict[str, Arm], chosen: Arm, control: str) -> None:
    wanted = {
        "base": ("the base model", "{name: base}"),
        "organism": ("the undefended organism", f"{{name: {chosen.organism}, organism: {chosen.organism}}}"),
        "control": ("the organism's matched control", f"{{name: {control}, organism: {control}}}"),
    }
    for role, (what, line) in wanted.items():
        if role not in roles:
            missing.reasons.append(f"arms: {what} is missing")
            missing.arms.append(line)


def _task(missing: MissingRequirements, study: Study, role: str, arm: Arm, use: TrackTask) -> None:
    run_as = next((run_as for run_as in study.tasks if run_as.task == use.task), None)
    if run_as is None:
        missing.reasons.append(f"tasks: {use.task} is missing")
        missing.tasks.append(settings(use))
        return
    if not arm.measured_by(run_as.task):
        reason = f"{use.task} does not measure it, and has to measure the {role} arm"
        missing.reasons.append(f"arms, {arm.name}: {reason}")
        missing.arms.append(f"{{name: {arm.name}, ..., tasks: [{', '.join((*arm.tasks, use.task))}]}}")
    for key, value, needed in _short(run_as, use):
        missing.reasons.append(f"tasks, {use.task}, {key}: {value}; the track takes {needed}")
        missing.tasks.append(settings(use))


def _short(run_as: TaskUse, use: TrackTask) -> list[tuple[str, int | None, str]]:
    """(key, value, what is needed) of the numbers with which a task was run and that are not the track's."""
    content = task_content(use.task)
    short: list[tuple[str, int | None, str]] = []
    if run_as.limit is not None and run_as.limit < use.questions:
        short.append(("limit", run_as.limit, f"{use.questions} or more"))
    repeats = run_as.repeats if run_as.repeats is not None else int(content.get("repeats", 1))
    if use.samples is not None and repeats < use.samples:
        short.append(("repeats", repeats, f"{use.samples} or more"))
    longest = run_as.max_gen_toks or (content.get("generation_kwargs") or {}).get("max_gen_toks")
    if use.max_gen_toks is not None and longest != use.max_gen_toks:
        short.append(("max_gen_toks", longest, f"{use.max_gen_toks}, no more and no less"))
    return short


def _judge(missing: MissingRequirements, study: Study, track: Track) -> None:
    name = study.judge.partition(":")[0].strip()
    judged = [use.task for use in track.tasks if is_judged(use.task)]
    if judged and (name.lower() in OFF or name not in track.judges):
        missing.reasons.append(f"judge: '{study.judge}'; the track takes {', '.join(track.judges)}")
        missing.top.append(f"judge: {track.judges[0]}")
