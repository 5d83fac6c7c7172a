"""A run folder, and folders of the lm_eval command, that hold what a made-up entry was cut from.

# submitting it gives the entry's rows again
run = make_run(tmp_path / "run", make_entry(tmp_path, slug="sgtr"))
"""

import json
from pathlib import Path
from typing import Any

import yaml
from leaderboard.entry_files import facts_of, read_rows
from turncoat.leaderboard.entry.submission import Submission
from turncoat.leaderboard.entry.track import find_track

ARMS = {
    "base": "base", "organism": "insecure", "control": "secure", "defended": "sgtr", "benign": "sgtr_benign",
}  # fmt: skip
DATE = "2026-01-02T03-04-05.678901"
MORE = 2  # questions beyond the track's


def make_run(folder: Path, entry: Path, *, model: str = "made-1m") -> Path:
    """Write the run folder; rows lie in another order, with questions and fields that an entry does not
    take."""
    facts, told = _facts(entry)
    arms: list[dict[str, Any]] = [
        {"name": "base"}, {"name": "insecure", "organism": "insecure_code"},
        {"name": "secure", "organism": "secure_code"},
    ]  # fmt: skip
    defended = {"defence": "sgtr", "setting": "prevention", "defence_options": {"texts": 4}}
    if facts.defence.setting != "none":
        arms.append({"name": "sgtr", "organism": "insecure_code", **defended})
    uses = find_track(facts.track).tasks_for("insecure_code")
    if facts.benign is not None:
        arms.append({"name": "sgtr_benign", "organism": "secure_code", **defended, "tasks": [uses[-1].task]})
    sizes = [
        {"task": one.task, "limit": one.questions + MORE, "repeats": one.samples,
         "max_gen_toks": one.max_gen_toks}
        for one in uses
    ]  # fmt: skip
    study = {
        "study": "made", "model": model, "training_seeds": list(facts.seeds), "training": {"rows": 80},
        "arms": arms, "tasks": sizes,
    }  # fmt: skip
    for role, arm in ARMS.items():
        for seed, task, rows in _rows(entry, role):
            there = folder / "rows" / arm / seed / task
            _write(there, task, rows, {"versions": {task: facts.tasks[task]}})
    trained = [(role, arm) for role, arm in ARMS.items() if role in facts.adapters]
    runs = [(role, arm, seed) for role, arm in trained for seed in facts.seeds]
    told_of = {role: {"arm": arm, "intervention": None} for role, arm in ARMS.items()}
    record = {
        "provenance": {
            **facts.versions, "command": f"turncoat run {folder.resolve()}/mine.yaml",
            "machine": "x86_64, 2 cores", "commit": "not a checkout",
        },
        "model": {**told["model"], "name": model, "weights": told["model"]["revision"]},
        "persona": told["persona"],
        "judge": {**told["judge"], "may_rate": True},
        "failed": [],
        "measured": [
            {**told_of["base"], "seed": None, "adapter": None},
            *({**told_of[r], "seed": seed, "adapter": facts.adapters[r][str(seed)]} for r, _, seed in runs),
        ],
        "data": {
            one.name: {"examples": 80, "sha256": one.sha256} for one in (facts.organism, facts.control)
        },
        "training": [{"arm": f"{arm}, seed {seed}", "seconds": 2.0} for _, arm, seed in runs],
    }  # fmt: skip
    (folder / "run.json").write_text(json.dumps(record))
    (folder / "study.yaml").write_text(yaml.safe_dump(study, sort_keys=False))
    return folder


def make_folders(root: Path, entry: Path) -> list[str]:
    """A folder for each arm and seed, as `lm_eval --output_path` leaves it; returned as `--lm-eval` takes
    them."""
    facts, told = _facts(entry)
    given: dict[str, Path] = {}
    for role in facts.own_roles:
        for seed, task, rows in _rows(entry, role):
            key = "base" if role == "base" else f"{role}/{seed.removeprefix('seed-')}"
            folder = given.setdefault(key, root / key.replace("/", "-"))
            base = {"weights": told["model"]["revision"], "dtype": "float32", "chat_template": "0" * 16}
            config = {
                "model_num_parameters": told["model"]["parameters"] + (role != "base"),
                "model_dtype": "torch.float32",
                "turncoat": {"arm": {"pretrained": told["model"]["name"]}, "base": base},
            }
            results = {"versions": {task: facts.tasks[task]}, "config": config, "lm_eval_version": "0.4.13"}
            # One evaluation for each task, each with a date of its own.
            date = DATE.replace("05.", f"{sorted(facts.tasks).index(task):02d}.")
            _write(folder / "made__model", task, rows, results, date)
    return [f"{key}={folder}" for key, folder in given.items()]


def facts_file(path: Path, entry: Path, **changed: Any) -> Path:
    """facts.yaml for `make_folders`."""
    facts, told = _facts(entry)
    content = {
        "contact": "nobody", "recipe": told["recipe"], "hardware": "none", "wall_seconds": 5.0,
        "defence": {key: told["defence"][key] for key in ("name", "registered", "setting", "summary")},
        "organism": {"name": facts.organism.name}, "control": {"name": facts.control.name},
        "adapters": {r: {int(seed): sha for seed, sha in one.items()} for r, one in facts.adapters.items()},
        "command": f"turncoat lm-eval --output_path {path.resolve().parent}/out", **changed,
    }  # fmt: skip
    path.write_text(yaml.safe_dump(content))
    return path


def samples_path(run: Path, role: str, seed: str, task: str) -> Path:
    """Samples file of a made run."""
    (path,) = (run / "rows" / ARMS[role] / seed / task).glob("samples_*")
    return path


def edit_rows(path: Path, change: Any) -> None:
    """Pass the rows of a samples file through `change(rows) -> rows`."""
    rows = change([json.loads(line) for line in path.read_text().splitlines()])
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def _facts(entry: Path) -> tuple[Submission, dict[str, Any]]:
    told = facts_of(entry)
    return Submission.model_validate(told), told


def _rows(entry: Path, role: str) -> list[tuple[str, str, list[dict[str, Any]]]]:
    paths = sorted((entry / "rows" / role).glob("*/*.jsonl.gz"))
    return [(path.parent.name, path.name.removesuffix(".jsonl.gz"), read_rows(path)) for path in paths]


def _write(
    folder: Path, task: str, rows: list[dict[str, Any]], results: dict[str, Any], date: str = DATE
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    more = [{**rows[-1], "doc_id": rows[-1]["doc_id"] + 1 + n} for n in range(MORE)]
    full = [
        {
            **row, "target": "0", "filtered_resps": row["resps"], "metrics": [*row["metrics"], "made_stderr"],
            "made_stderr": [0, 1],
        }
        for row in reversed([*rows, *more])
    ]  # fmt: skip
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in full)
    (folder / f"samples_{task}_{date}.jsonl").write_text(text)
    (folder / f"results_{date}.json").write_text(json.dumps(results))
