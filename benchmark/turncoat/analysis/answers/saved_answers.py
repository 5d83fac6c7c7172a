"""Saved answers of any origin as one list: a run folder, lm-eval output, a samples file, CSV or JSONL."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from turncoat.analysis.answers import score_columns as names
from turncoat.analysis.answers.answer_table import Row, read_table
from turncoat.errors import UserError
from turncoat.evaluation.task_catalogue import task_content, task_files
from turncoat.paths import existing
from turncoat.shown_text import warn

QUESTION_COLUMNS = ("judged_question", *names.QUESTION_TEXTS)
_SAMPLES_FILE = re.compile(r"samples_(?P<task>.+)_(?P<time>\d{4}-\d\d-\d\dT[\d.:-]+)\.jsonl$")


@dataclass(frozen=True)
class SavedAnswers:
    """Answers in the order of the files."""

    rows: list[Row]  # Columns of each answer: the table's, or arm, seed, task, question_id and so on
    questions: list[str]  # Question of each answer, as shown to the judge
    answers: list[str]  # Text of each answer; "" for a missing one
    clusters: list[str]  # Identifier of each answer's question
    by: tuple[str, ...]  # Columns of `rows` that tell arms apart


def read_answers(
    path: Path, *, question_column: str | None = None, answer_column: str | None = None,
    tasks: Sequence[str] = (), limit: int | None = None,
) -> SavedAnswers:  # fmt: skip
    """Read the first `limit` answers at `path`; columns that are not named are guessed.

    Args:
        path: A folder with lm-eval's samples files somewhere below it, one such file, or a table with one
            answer per row (see `answer_table`).
        tasks: Of a folder, only these tasks; () takes those that are judged when they run, and foreign ones.

    Raises:
        UserError: Nothing to judge there; the message lists what there is.
    """
    if existing(path).is_dir():
        return _limited(_from_folder(path, question_column, tuple(tasks)), limit)
    rows = list(read_table(path))
    if not rows:
        raise UserError(f"{path} holds no rows")
    if "doc" in rows[0] and "resps" in rows[0]:
        records = list(_of_samples(path, rows, _place(path, path.parent), question_column))
        if not records:
            raise UserError(f"{path} holds no generated answers (a forced-choice task?)")
        return _limited(_gathered(records), limit)
    return _limited(_from_table(path, rows, question_column, answer_column), limit)


def _from_table(
    path: Path, rows: list[Row], question_column: str | None, answer_column: str | None
) -> SavedAnswers:
    columns = list(dict.fromkeys(column for row in rows for column in row))
    question = _column(path, columns, question_column, QUESTION_COLUMNS, "question")
    answer = _column(path, columns, answer_column, names.ANSWER, "answer")
    questions = [_text(row.get(question)) for row in rows]
    for number, (text, row) in enumerate(zip(questions, rows, strict=True), 1):
        if not text.strip():
            raise UserError(f"{path}, row {number}: no question in column '{question}'; every row needs one")
        if isinstance(row.get(answer), list | dict):
            raise UserError(f"{path}, row {number}: several answers in column '{answer}'; give each a row")
    if question_column is None and question != QUESTION_COLUMNS[0]:
        _name_others(path, rows, columns, question, QUESTION_COLUMNS[1:], "question")
    if answer_column is None:
        _name_others(path, rows, columns, answer, names.ANSWER, "answer")
    by = names.arm_columns(rows, columns)
    identifier = names.question_column(rows, columns, names.joined(rows, by)) or question
    keys = (names.cell_key(row.get(identifier)) for row in rows)
    clusters = [key or text for key, text in zip(keys, questions, strict=True)]
    return SavedAnswers(rows, questions, [_text(row.get(answer)) for row in rows], clusters, by)


def _name_others(
    path: Path, rows: Sequence[Row], columns: Sequence[str], taken: str, usual: Sequence[str], kind: str
) -> None:
    """Print the other columns that could hold the texts.

    Raises:
        UserError: Texts are in them, and single words, such as identifiers, in the one that was taken.
    """
    texts = {name: [_text(row.get(name)).strip() for row in rows] for name in names.all_of(columns, usual)}
    others = [name for name, cells in texts.items() if name != taken and any(" " in text for text in cells)]
    if not others:
        return
    if kind == "question" and not any(" " in text for text in texts[taken]):
        raise UserError(
            f"{path}: column '{taken}' holds single words, such as {texts[taken][0][:40]!r}, which the judge "
            f"would be shown as the question; name the right one, such as --question-column {others[0]}"
        )
    warn(f"{kind}s are those of column '{taken}'; for the others: --{kind}-column {others[0]}")


def _column(path: Path, columns: Sequence[str], named: str | None, usual: Sequence[str], kind: str) -> str:
    if named is not None:
        if named not in columns:
            raise UserError(f"{path} has no column '{named}'; it has: {', '.join(columns)}")
        return named
    column = names.find(columns, usual)
    if column is not None:
        return column
    raise UserError(
        f"{path}: no column with the {kind} (looked for {', '.join(usual)}); it has: {', '.join(columns)}; "
        f"name it with --{kind}-column"
    )


def _text(value: Any) -> str:
    """A cell as text; "" for a missing one (None, NaN)."""
    if value is None or (isinstance(value, float) and value != value):
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _from_folder(folder: Path, question_column: str | None, tasks: tuple[str, ...]) -> SavedAnswers:
    newest: dict[tuple[Path, str], tuple[str, Path]] = {}
    older = 0
    for path in sorted(folder.rglob("samples_*.jsonl")):
        match = _SAMPLES_FILE.search(path.name)
        if match is None or any(part.startswith(".rows.") for part in path.parts):
            continue
        key, entry = (path.parent, match["task"]), (match["time"], path)
        older += key in newest
        newest[key] = max(newest.get(key, entry), entry)
    if not newest:
        raise UserError(
            f"{folder} holds no samples_*.jsonl; give a run folder, or an lm_eval --output_path made with "
            "--log_samples"
        )
    if older:
        warn(f"{older} older samples files of the same tasks are passed over")
    present = sorted({task for _, task in newest})
    unknown = [task for task in tasks if task not in present]
    if unknown:
        raise UserError(f"{folder} has no samples of {', '.join(unknown)}; it has: {', '.join(present)}")
    records = []
    for (_, task), (_, path) in newest.items():
        if task in tasks or (not tasks and _is_judged(task)):
            records += list(_of_samples(path, list(read_table(path)), _place(path, folder), question_column))
    if not records:
        raise UserError(
            f"{folder}: no answers of a task that is judged; there are samples of {', '.join(present)}; name "
            "one with --task"
        )
    return _gathered(records)


def _is_judged(task: str) -> bool:
    """True if the task's answers are judged when it runs; also for a foreign task."""
    return task not in task_files() or "JudgeAnswers" in str(task_content(task).get("filter_list"))


def _place(path: Path, root: Path) -> Row:
    """Arm, training seed and task from a samples file's folder: rows/<arm>/<seed>/<task>/ or <model>/."""
    match = _SAMPLES_FILE.search(path.name)
    task = match["task"] if match else path.name.partition(".")[0]
    parts = path.parent.resolve().parts
    if len(parts) >= 4 and parts[-4] == "rows":
        return {"arm": parts[-3], "seed": parts[-2], "task": task}
    arm = path.parent.relative_to(root).as_posix()
    return {"arm": (path.parent.resolve().name if arm == "." else arm), "task": task}


def _of_samples(
    path: Path, rows: Sequence[Row], place: Row, question_column: str | None
) -> Iterator[tuple[Row, str, str, str]]:
    """(row, question, answer, cluster) of each generated answer in lm-eval's samples file."""
    seen = set()
    for number, row in enumerate(rows, 1):
        doc, key = row.get("doc"), row.get("doc_id")
        if not isinstance(doc, dict) or not isinstance(key, int | str):
            raise UserError(
                f"{path}, row {number}: not of lm-eval's samples, which have an object in 'doc', a number in "
                "'doc_id'"
            )
        if key in seen:  # one line per filter
            continue
        seen.add(key)
        answers = _generated(row)
        if not answers:
            continue
        fields = list(doc)
        question = _text(doc[_column(path, fields, question_column, QUESTION_COLUMNS, "question")])
        cluster = str(doc.get("id", row["doc_id"]))
        domain = {"domain": doc["domain"]} if "domain" in doc else {}
        about = {"question_id": cluster, **domain, "question": question}
        for index, sample in enumerate(answers):
            # A sample has a seed of its own; the table's is the training seed.
            named = {"sample_seed" if k == "seed" else k: v for k, v in sample.items()}
            fields_of = {k: v for k, v in named.items() if k not in ("text", "index")}
            plain = {k: v for k, v in fields_of.items() if v is None or isinstance(v, str | int | float)}
            text = _text(sample.get("text"))
            where = {**place, **about, "index": sample.get("index", index)}
            yield {**where, "answer": text, **plain}, question, text, cluster


def _generated(row: Row) -> list[Row]:
    if isinstance(row.get("samples"), list):
        return [sample for sample in row["samples"] if isinstance(sample, dict) and "text" in sample]
    arguments = row.get("arguments")
    given = arguments.get("gen_args_0") if isinstance(arguments, dict) else None
    # A continuation to score, not settings to generate with.
    if isinstance(given, dict) and isinstance(given.get("arg_1"), str):
        return []
    requests = row["resps"] if isinstance(row.get("resps"), list) else []
    texts = [text for request in requests for text in (request if isinstance(request, list) else [request])]
    return [{"text": text} for text in texts] if all(isinstance(text, str) for text in texts) else []


def _gathered(records: Sequence[tuple[Row, str, str, str]]) -> SavedAnswers:
    rows, questions, answers, clusters = (list(column) for column in zip(*records, strict=True))
    by = tuple(name for name in ("arm", "seed", "task") if any(name in row for row in rows))
    return SavedAnswers(rows, questions, answers, clusters, by)


def _limited(saved: SavedAnswers, limit: int | None) -> SavedAnswers:
    if limit is not None and limit < 1:
        raise UserError(f"--limit {limit}: a number of answers from 1 is expected")
    first = slice(limit)
    return SavedAnswers(
        saved.rows[first], saved.questions[first], saved.answers[first], saved.clusters[first], saved.by
    )
