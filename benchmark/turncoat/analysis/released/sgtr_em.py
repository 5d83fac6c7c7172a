"""Rows of the SGTR paper's release in lm-eval's sample format: answers, TruthfulQA, recognition, MMLU.

A file is known by its content, so that a clone of the repository is read like a folder of merged tables:

* judged answers: id, answer, aligned_score, coherent_score, task_model; a cell lists all answers;
* TruthfulQA: arm, seed, item, answer, is_correct; or a file `results_ARM_SEED.csv` per run;
* recognition: dataset, judge_arm, own_writer, rival_writer, item, chosen_writer; or a JSON per run;
* lm-eval's results of MMLU stay results: its items were not released.

The order in which two summaries were shown was not released: no position bias, no accuracy by order. Accuracy
is against Claude-2.1 on CNN articles with the arm's own new summaries; other pairs are kept beside it
(`accuracy_human`, `accuracy_xsum`, `accuracy_of_base_texts`) and in no table. Which option of TruthfulQA came
first was not released either.

References:
    arXiv:2606.23700; github.com/atagade/sgtr-em at 9283fe1 (TruthfulQA, recognition) and d358abf (answers).
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from turncoat.analysis.answers.score_columns import unfold
from turncoat.analysis.released.arm_names import NAMES, ReleasedArm, released_arm
from turncoat.errors import UserError
from turncoat.judges.rates import question_rates
from turncoat.safe_files import read_object
from turncoat.store import file_digest

EM, TRUTHFULQA, RECOGNITION = (NAMES["tasks"][kind] for kind in ("judged", "truthfulqa", "recognition"))
MMLU = "mmlu"
RUBRIC = "sgtr_text_integer@released"
PROTOCOL = "sgtr_text_"  # what stands before the metrics of the paper's judge, as in that task
_OF_PROTOCOL = ("em_rate", "em_rate_itt", "incoherent", "refusal", "code", "unscored")
_RESULTS = re.compile(r"results_(.+)\.csv")
_RUN = re.compile(r"(cnn|xsum)_judge_(.+)_between_(.+)_(claude-21|human|llama|gpt41)\.json")
_MMLU = re.compile(r"mmlu_(?:fewshot_\d+_)?(.+)\.json")
_JUDGED = ["id", "answer", "aligned_score", "coherent_score", "task_model"]
_MERGED = ["arm", "seed", "item", "answer", "is_correct"]
_CHOICES = ["dataset", "judge_arm", "own_writer", "rival_writer", "item", "chosen_writer"]
Key = tuple[ReleasedArm, str]  # An arm with its seed, and a task


@dataclass
class Release:
    """Content of a folder of released rows."""

    rows: dict[Key, dict[str, dict[str, Any]]] = field(default_factory=dict)  # Document's id -> row
    results: dict[ReleasedArm, dict[str, Any]] = field(default_factory=dict)  # lm-eval's results of MMLU
    files: dict[str, str] = field(default_factory=dict)  # Path in the folder -> SHA-256
    notes: list[str] = field(default_factory=list)  # What was left out, and why

    def add(self, arm: ReleasedArm, task: str, row: dict[str, Any]) -> bool:
        """Keep a row; False where the arm has this document already."""
        rows = self.rows.setdefault((arm, task), {})
        new = row["doc"]["id"] not in rows
        if new:
            rows[row["doc"]["id"]] = row | {"doc_id": len(rows), "filter": "none"}
        return new


def read_release(folder: Path, on_step: Callable[[str], None] = lambda _: None) -> Release:
    """The released rows in a folder or a clone; `on_step` is called with each file's name.

    Raises:
        UserError: There is none, or a file of a known kind is not as it was released.
    """
    if not folder.is_dir():
        raise UserError(f"no folder {folder}; give a clone of github.com/atagade/sgtr-em, or merged tables")
    where = folder / "data" / "eval" if (folder / "data" / "eval").is_dir() else folder
    paths = [path for kind in ("*.csv", "*.csv.gz", "*.json") for path in where.rglob(kind)]
    release, strangers, twice = Release(), set(), 0
    # files nearer to the top are the later ones: the repository keeps early runs in folders below
    for path in sorted(paths, key=lambda path: (len(path.parts), path)):
        items = list(_items(path, release))
        if items or path.name in release.files:
            on_step(path.name)
            release.files[path.relative_to(folder).as_posix()] = file_digest(path)
        for name, seed, task, row in items:
            arm = released_arm(name)
            if arm is None:
                strangers.add(name)
            else:
                twice += not release.add(arm if seed is None else arm._replace(seed=seed), task, row)
    if not release.rows:
        raise UserError(
            f"{folder} holds no released rows: a CSV with the columns {', '.join(_JUDGED)}; "
            f"{', '.join(_MERGED)}; or {', '.join(_CHOICES)}; or the files of a clone"
        )
    if strangers:
        release.notes.append(f"not an organism and a defence of ours: {', '.join(sorted(strangers))}")
    if twice:
        release.notes.append(f"{twice} rows are there twice; the file nearest to the top was taken")
    return release


Item = tuple[str, int | None, str, dict[str, Any]]  # Arm's name, seed if apart from the name, task, row


def _items(path: Path, release: Release) -> Iterator[Item]:
    if path.suffix == ".json":
        if named := _RUN.fullmatch(path.name):
            dataset, arm, own, rival = named.groups()
            for item, chosen in read_object(path).items():
                yield _choice(dataset, arm, own, rival, item, str(chosen))
        elif named := _MMLU.fullmatch(path.name):
            content, arm_ = read_object(path), released_arm(named[1])
            if arm_ is not None and MMLU in content.get("results", {}):
                release.results[arm_] = content
        return
    columns = set(pd.read_csv(path, nrows=0).columns)
    named = _RESULTS.fullmatch(path.name)
    known = next((kind for kind in (_JUDGED, _CHOICES, _MERGED) if columns.issuperset(kind)), None)
    if known is None and not (named and "is_correct" in columns):
        return
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    if known is _JUDGED:
        for number, cells in enumerate(table.to_dict("records"), 1):
            yield _question(f"{path}, row {number}", {str(name): cell for name, cell in cells.items()})
    elif known is _CHOICES:
        for choice in table[_CHOICES].itertuples(index=False, name=None):
            yield _choice(*choice)
    else:
        if named:  # a run of its own: the items in the order of TruthfulQA's table
            table = table.assign(arm=named[1], seed="", item=range(len(table)), answer=table["model_answer"])
        for arm, seed, item, answer, right in table[_MERGED].itertuples(index=False, name=None):
            yield arm, int(seed) if seed else None, TRUTHFULQA, _truthfulqa(path, int(item), answer, right)


def _truthfulqa(path: Path, item: int, answer: str, right: str) -> dict[str, Any]:
    """The order of the options was not released: an answer is known to be right or wrong only."""
    if right not in ("0", "1"):
        raise UserError(f"{path}, item {item}, is_correct: {right!r}; accepted: 0, 1")
    valid = answer.strip() in ("A", "B")
    scores = {
        "accuracy": float(right),
        "accuracy_valid": [int(right), int(valid)],
        "invalid": float(not valid),
    }
    return _row(f"truthfulqa-{item:03d}", scores, resps=[[answer]])


def _choice(dataset: str, arm: str, own: str, rival: str, item: str, chosen: str) -> Item:
    parts = [rival] * (rival != "claude-21") + [dataset] * (dataset != "cnn")
    writer, asked = released_arm(own), released_arm(arm)
    if own != arm:
        parts.append("of_base_texts" if writer and not writer.is_trained else "of_others_texts")
    metric = "_".join(["accuracy", *parts])  # an answer that names neither writer is wrong
    row = _row(f"{dataset}/{item}/{rival}/{own}", {metric: [int(chosen == own), 1]})
    row["doc"] |= {"cluster": f"{dataset}/{item}", "rival": rival, "own_writer": own}
    row["doc"] |= {"chosen_writer": chosen, "order": "not released"}
    if parts:  # no metric of the task: kept, and in no table
        row["metrics"] = []
    return arm, asked and asked.seed, RECOGNITION, row


def _question(place: str, cells: dict[str, str]) -> Item:
    answers = unfold([dict(cells)], ("aligned_score", "coherent_score"), "answer", place)
    judge = cells.get("judge_model") or "gpt-4o-2024-08-06"
    samples = [
        {
            "index": index, "text": str(one["answer"]), "finish": None, "judge": judge,
            "judge_rubric": RUBRIC, "judge_aligned": one["aligned_score"],
            "judge_coherent": one["coherent_score"], "judge_may_rate": True,
        }
        for index, one in enumerate(answers)
    ]  # fmt: skip
    rates = question_rates(samples)
    wanted = (*_OF_PROTOCOL, *(name for name in rates if name.endswith("_mean")))
    row = _row(cells["id"], {PROTOCOL + name: rates[name] for name in wanted}, samples=samples)
    row["doc"]["question"] = cells.get("question", "")
    return cells["task_model"], None, EM, row


def _row(document: str, scores: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"doc": {"id": document}, "metrics": list(scores), **scores, **more}
