"""Draft an entry from folders of the lm_eval command: one for each arm and seed, and a file with facts.

lm_eval --output_path D --log_samples ...      # for each arm and seed
turncoat leaderboard submit --lm-eval base=D0 --lm-eval organism/0=D1 ... --facts FILE --out ENTRY
"""

import re
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

from turncoat.errors import UserError
from turncoat.evaluation.samples_file import sample_rows
from turncoat.leaderboard.entry.submission import ROLES, SHAREABLE
from turncoat.leaderboard.entry.track import Track, TrackTask
from turncoat.leaderboard.submission.draft import Cell, Draft, SubmitterInfo, task_version
from turncoat.leaderboard.submission.facts_file import Facts, adapter_hashes, data_facts, read_facts
from turncoat.leaderboard.submission.paths_scrubber import PathScrubber
from turncoat.safe_files import read_object

Arm = tuple[str, str]
"""(role, seed folder)."""

_GIVEN = re.compile(r"(?P<role>[a-z]+)(?:/(?:seed-)?(?P<seed>\d+))?=(?P<folder>.+)")


def draft_of_folders(
    given: Sequence[str], facts_file: Path, track: Track, submitter: SubmitterInfo, *, shares: bool
) -> Draft:
    """Everything but the rows themselves.

    Args:
        given: `base=DIR`, or `ROLE/SEED=DIR` for trained arms.
        facts_file: Facts that files do not hold; `submit --facts-template` prints one to fill in.
        submitter: Facts from the command line; they come before the facts file.
        shares: Whether base, organism and control may come from another entry.

    Raises:
        UserError: A folder is not there, an arm or a seed is missing, or the facts contradict the files.
    """
    facts = read_facts(facts_file)
    folders = _folders(given, track, facts, shares=shares)
    scrubber = PathScrubber.of(*folders.values(), facts_file.parent)
    samples: dict[Cell, Path] = {}
    versions: dict[Cell, float] = {}
    results: dict[Arm, list[dict[str, Any]]] = {}
    for (role, seed), folder in folders.items():
        for use in track.tasks_of_role(role, facts.organism.name):
            samples[role, seed, use.task], path = _pair(folder, use.task, f"{role}/{seed}")
            content = read_object(path)
            _check_arm(content, path, role, seed, facts)
            versions[role, seed, use.task] = task_version(content, path, use.task)
            results.setdefault((role, seed), []).append(content)
    contact = submitter.contact or facts.contact
    if not contact:
        raise UserError(f"{facts_file}, contact: missing; somebody to ask, or give --contact")
    seeds = sorted({int(seed.removeprefix("seed-")) for role, seed in folders if role != "base"})
    first = next(iter(results.values()))[0]
    libraries = {name: first.get(f"{name}_version") for name in ("lm_eval", "transformers")}
    content = {
        "track": track.track, "defence": submitter.fill_in(facts.defence.model_dump()),
        "model": _model(facts, results, facts_file), "organism": data_facts(facts.organism),
        "control": data_facts(facts.control), "recipe": facts.recipe, "seeds": seeds,
        "adapters": adapter_hashes(facts, facts_file, [role for role, _ in folders], seeds),
        "persona": facts.persona.model_dump() if facts.persona else _persona(samples, facts, facts_file),
        "judge": facts.judge.model_dump() if facts.judge else _judge(samples, facts_file),
        "versions": {**{name: str(one) for name, one in libraries.items() if one}, **facts.versions},
        "command": facts.command, "hardware": facts.hardware,
    }  # fmt: skip
    if any(role == "benign" for role, _ in folders):
        content["benign"] = content["control"]
    if submitter.replaced is not None:
        content["supersedes"] = submitter.replaced
    content = {key: scrubber.scrub_all(value, key) for key, value in content.items()}
    # The time of each arm is not known: all of it counts as the entry's own.
    seconds = {"organism" if facts.defence.setting == "none" else "defended": facts.wall_seconds}
    return Draft({**content, "contact": contact}, samples, versions, seconds, track, _hint, scrubber)


def _folders(given: Sequence[str], track: Track, facts: Facts, *, shares: bool) -> dict[Arm, Path]:
    """(role, seed folder) -> folder, complete."""
    folders: dict[Arm, Path] = {}
    for text in given:
        match = _GIVEN.fullmatch(text)
        role, seed = (match["role"], match["seed"]) if match else ("", None)
        if match is None or role not in ROLES or (role == "base") != (seed is None):
            form = f"ROLE one of {', '.join(ROLES[1:])}, SEED a whole number, such as organism/0=DIR"
            raise UserError(f"--lm-eval {text!r}: base=DIR or ROLE/SEED=DIR is expected, {form}")
        folder = Path(match["folder"]).expanduser()
        if not folder.is_dir():
            fix = "give what lm_eval wrote to --output_path"
            raise UserError(f"--lm-eval {text!r}: no folder at {folder}; {fix}")
        key = (role, "base" if seed is None else f"seed-{int(seed)}")
        if key in folders:
            raise UserError(f"--lm-eval: {'/'.join(key)} is given twice: {folders[key]} and {folder}")
        folders[key] = folder
    needed = [*SHAREABLE, *(["defended"] if facts.defence.setting != "none" else [])]
    roles = {role for role, _ in folders}
    absent = [role for role in needed if role not in roles and not (shares and role in SHAREABLE)]
    if absent:
        arm = absent[0]
        fix = f"give --lm-eval {arm}{'' if arm == 'base' else '/0'}=DIR"
        fix += "" if shares or arm == "defended" else ", or --share an entry of this board that has it"
        raise UserError(f"--lm-eval: the arm '{arm}' is missing; {fix}")
    if facts.defence.setting == "none" and (more := ", ".join(sorted(roles - set(SHAREABLE)))):
        raise UserError(f"--lm-eval: setting none has no {more} arm; leave it out")
    seeds = sorted({seed for role, seed in folders if role != "base"})
    if len(seeds) < track.min_seeds:
        there = f"{len(seeds)} training seeds ({', '.join(seeds)})"
        fix = (
            f"the track '{track.track}' needs {track.min_seeds} or more: train and measure every arm with "
            "more"
        )
        raise UserError(f"--lm-eval: {there}; {fix}")
    for key in product(roles - {"base"}, seeds):
        if key not in folders:
            name = f"{key[0]}/{key[1].removeprefix('seed-')}"
            raise UserError(f"--lm-eval: {name} is missing; every arm needs every seed")
    keys = sorted(folders, key=lambda key: (ROLES.index(key[0]), _number(key[1])))
    return {key: folders[key] for key in keys}


def _number(seed: str) -> int:
    return int("0" + re.sub(r"\D", "", seed))


def _pair(folder: Path, task: str, what: str) -> tuple[Path, Path]:
    """The samples file of a task and the results file of the same evaluation."""
    names = re.compile(rf"samples_{re.escape(task)}_(\d{{4}}-.*?)\.jsonl(\.gz)?")
    paths = [path for path in sorted(folder.rglob("samples_*")) if names.fullmatch(path.name)]
    if not paths:
        fix = f"measure it with `--tasks {task} --log_samples --output_path {folder}`"
        raise UserError(f"{folder}: no samples file of {task} (arm {what}); {fix}")
    if len(paths) > 1:
        listed = ", ".join(str(path.relative_to(folder)) for path in paths)
        problem = f"{len(paths)} samples files of {task} (arm {what}): {listed}"
        fix = "accepted: one. Which is meant is yours to say: move the others away"
        raise UserError(f"{folder}: {problem}; {fix}")
    match = names.fullmatch(paths[0].name)
    assert match is not None
    results = paths[0].parent / f"results_{match[1]}.json"
    if not results.is_file():
        why = f"it belongs to {paths[0].name}, and says which version of {task} it was"
        raise UserError(f"{results}: missing; {why}")
    return paths[0], results


def _check_arm(results: dict[str, Any], path: Path, role: str, seed: str, facts: Facts) -> None:
    """A folder that says itself what it measured has to be what it was given as."""
    arm = ((results.get("config") or {}).get("turncoat") or {}).get("arm") or {}
    data = {"organism": facts.organism.name, "defended": facts.organism.name}
    meant = {"organism": data.get(role, facts.control.name), "seed": _number(seed)}
    for key, due in meant.items() if role != "base" else ():
        if arm.get(key) is not None and arm[key] != due:
            given = f"the folder was given as {role}/{seed}, which means {due!r}: give it as what it is"
            raise UserError(f"{path}, config.turncoat.arm.{key}: {arm[key]!r}; {given}")
    if role == "base" and any(arm.get(key) for key in ("organism", "defence", "peft")):
        raise UserError(f"{path}, config.turncoat.arm: {arm}; the base is the model without any finetune")


def _model(facts: Facts, results: dict[Arm, list[dict[str, Any]]], facts_file: Path) -> dict[str, Any]:
    """The base model, from what lm_eval says of it; the facts file fills gaps and may not contradict."""
    model: dict[str, Any] = {}
    for role, content in ((role, content) for (role, _), contents in results.items() for content in contents):
        config = content.get("config") or {}
        ours = config.get("turncoat") or {}
        spec = ours.get("base") or {}
        one = {
            "name": (ours.get("arm") or {}).get("pretrained") or content.get("model_name"),
            "revision": spec.get("weights") or config.get("model_sha"),
            "dtype": spec.get("dtype") or str(config.get("model_dtype", "")).removeprefix("torch."),
            "parameters": config.get("model_num_parameters") if role == "base" else None,
            "chat_template": spec.get("chat_template") or str(content.get("chat_template_sha") or "")[:16],
        }
        for key, value in one.items():
            if value and model.setdefault(key, value) != value and spec:
                values = f"{key}: {model[key]!r} and {value!r}"
                raise UserError(f"--lm-eval: the folders are of different base models ({values})")
    given = facts.model.model_dump(exclude_none=True) if facts.model else {}
    model = {**model, **given}
    for key in ("name", "revision", "dtype", "parameters", "chat_template"):
        if not model.get(key):
            raise UserError(f"{facts_file}, model.{key}: missing, and no results file says it; add it")
    return model


def _evidence(samples: dict[Cell, Path], key: str) -> Any:
    """The value of a key in the first answer that has it."""
    rows = (row for path in samples.values() for row in sample_rows(path))
    values = (sample.get(key) for row in rows for sample in row.get("samples") or [])
    return next((value for value in values if value is not None), None)


def _persona(samples: dict[Cell, Path], facts: Facts, facts_file: Path) -> dict[str, Any]:
    if (layer := _evidence(samples, "layer")) is None:
        fix = "measure with `turncoat lm-eval --model turncoat` and `peft=DIR`: see README, With lm_eval"
        raise UserError(f"{facts_file}, persona: missing, and no answer has a projection; {fix}")
    return {"trait": facts.trait, "layer": layer}


def _judge(samples: dict[Cell, Path], facts_file: Path) -> dict[str, Any]:
    if (judge := _evidence(samples, "judge")) is None:
        fix = "measure with a judge (TURNCOAT_JUDGE; `turncoat list judges`)"
        raise UserError(f"{facts_file}, judge: missing, and no answer was judged; {fix}")
    return {"id": judge, "rubric": _evidence(samples, "judge_rubric")}


def _hint(use: TrackTask) -> str:
    options = f"--tasks {use.task} --limit {use.questions}"
    options += f" --gen_kwargs max_gen_toks={use.max_gen_toks}" if use.max_gen_toks is not None else ""
    return f"measure it with `{options} --log_samples` into an empty folder"
