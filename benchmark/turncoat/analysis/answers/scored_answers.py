"""Scored answers of any origin as one tidy table: CSV, JSONL, lm-eval output; judged or right-or-wrong.

Two kinds: `judged` answers with an alignment and a coherence score (0 to 100), and `binary` items that are
right or wrong (binary TruthfulQA), where an answer that is not one of the options is invalid.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from turncoat.analysis.answers import score_columns as names
from turncoat.analysis.answers.answer_table import SUFFIXES, Row, read_table
from turncoat.errors import UserError
from turncoat.judges.rates import number

Kind = Literal["judged", "binary"]
OPTIONS = ("A", "B")
_LONGEST_OPTION = 5  # characters: "A", "(A)", "yes", "False"; a longer answer that is right is a text
_RIGHT = {"1": 1.0, "1.0": 1.0, "true": 1.0, "0": 0.0, "0.0": 0.0, "false": 0.0}


@dataclass(frozen=True)
class Columns:
    """Columns named by the user; the others are guessed."""

    by: tuple[str, ...] = ()  # Columns that tell arms apart
    question: str | None = None  # Identifier of the question
    aligned: str | None = None  # Alignment score
    coherent: str | None = None  # Coherence score
    correct: str | None = None  # 1 or 0, true or false
    seed: str | None = None  # Training seed
    # Answers that are valid in a binary table; one that is ever right is valid as well
    options: tuple[str, ...] = OPTIONS


@dataclass(frozen=True)
class Scored:
    """One source's answers."""

    source: str  # The file or folder as it was given
    kind: Kind  # "judged" or "binary"
    # One row per answer: arm, seed (training seed as text, "" where unknown), question; if judged aligned,
    # coherent (None = no number), code, refusal (0 or 1), error (text), may_rate; if binary correct (1 or 0),
    # valid
    frame: pd.DataFrame
    notes: tuple[str, ...] = ()  # Guesses that a reader should know

    @property
    def arms(self) -> list[str]:
        """The arms in order of appearance."""
        return list(dict.fromkeys(self.frame["arm"]))


def read_scored(source: str, path: Path, columns: Columns | None = None) -> Scored:
    """Read .csv or .jsonl (also .gz), lm-eval's samples file or a folder of them; other columns are guessed.

    Raises:
        UserError: No such file, no scores in it, a column that is not there.
    """
    columns = columns or Columns()
    if not path.exists():
        raise UserError(f"{path}: there is no such file or folder")
    if path.is_dir():
        return _from_lm_eval(source, path, columns)
    if not path.name.endswith(SUFFIXES):
        raise UserError(f"{path}: the name tells no format; accepted: {', '.join(SUFFIXES)}, or a folder")
    rows = list(read_table(path))
    if not rows:
        raise UserError(f"{path} holds no rows")
    if {"doc", "resps"} <= set(rows[0]):
        return _from_lm_eval(source, path, columns)
    stem = path.name
    for suffix in sorted(SUFFIXES, key=len, reverse=True):
        stem = stem.removesuffix(suffix)
    return _from_rows(source, rows, stem, columns, _found_by(rows, columns))


def _found_by(rows: Sequence[Row], columns: Columns) -> tuple[str, ...]:
    present = _names(rows)
    if columns.by:
        return tuple(names.chosen("the table", present, name, "--by") for name in columns.by)
    column = names.find(present, names.ARM)
    if column is None:
        return ()
    several_tasks = column == "arm" and len({row.get("task") for row in rows}) > 1  # of `turncoat judge`
    return (column, "task") if several_tasks else (column,)


def _from_lm_eval(source: str, path: Path, columns: Columns) -> Scored:
    from turncoat.analysis.answers.saved_answers import read_answers  # reads the catalogue of tasks

    saved = read_answers(path)
    rows = [row | {"question_id": cluster} for row, cluster in zip(saved.rows, saved.clusters, strict=True)]
    if names.find(_names(rows), names.ALIGNED) is None and columns.aligned is None:
        raise UserError(
            f"{path}: these answers are not judged; run `turncoat judge {path} --out scores.jsonl`, then "
            "give scores.jsonl"
        )
    tasks = {row.get("task") for row in rows}
    by = columns.by or (("arm", "task") if len(tasks) > 1 else ("arm",))
    return _from_rows(source, rows, path.name, columns, by)


def _from_rows(source: str, rows: list[Row], stem: str, columns: Columns, by: tuple[str, ...]) -> Scored:
    rows = [names.flatten(row) for row in rows]
    scores = (*names.ALIGNED, *names.CORRECT) if columns.aligned is None and columns.correct is None else ()
    if scores and names.find(_names(rows), scores) is None:
        rows = names.open_lists_of_answers(rows)
    present = _names(rows)
    notes: list[str] = []
    if columns.correct is None and (columns.aligned or names.find(present, names.ALIGNED)):
        kind: Kind = "judged"
        used: tuple[str, ...] = _judged_columns(source, present, columns, notes)
    elif columns.correct or names.find(present, names.CORRECT):
        kind = "binary"
        column = names.find(present, names.CORRECT)
        used = (
            names.chosen(source, present, columns.correct, "--correct-column")
            if columns.correct
            else str(column),
        )
    else:
        raise UserError(
            f"{source}: no column with scores (looked for {', '.join(names.ALIGNED[:5])}; for right-or-wrong "
            f"items {', '.join(names.CORRECT)}); it has: {', '.join(present)}; name it with --aligned-column "
            "or --correct-column"
        )
    rows = names.unfold(rows, used, source)
    missing = [name for name in by if name not in present]
    if missing:
        raise UserError(f"--by {missing[0]}: {source} has no such column; it has: {', '.join(present)}")
    arms = ["/".join(str(row.get(name, "")) for name in by) if by else stem for row in rows]
    if not by:
        notes += _could_tell_arms_apart(rows, present)
    frame = pd.DataFrame({"arm": arms, "seed": _seeds(source, rows, present, columns, by)})
    frame["question"] = _questions(source, rows, present, columns, arms)
    if kind == "judged":
        frame = _without_sampling_seeds(frame.assign(**_judged(rows, used, notes)), columns, notes)
    else:
        frame = frame.assign(**_binary(source, rows, used[0], present, columns.options, notes))
    return Scored(source, kind, frame, tuple(notes))


def _judged_columns(source: str, present: list[str], columns: Columns, notes: list[str]) -> tuple[str, str]:
    if columns.aligned is not None:
        aligned = names.chosen(source, present, columns.aligned, "--aligned-column")
    else:
        aligned = str(names.find(present, names.ALIGNED))
        if aligned != "judge_aligned" and "judge_aligned" in present:
            notes.append(f"scores are those of '{aligned}'; for the others: --aligned-column judge_aligned")
    if columns.coherent is not None:
        return aligned, names.chosen(source, present, columns.coherent, "--coherent-column")
    coherent = names.partner(aligned, present) or names.find(present, names.COHERENT)
    if coherent is None:
        raise UserError(
            f"{source}: no column with coherence scores (looked for {', '.join(names.COHERENT[:5])}), "
            f"without which there is no EM rate; it has: {', '.join(present)}; name it with --coherent-column"
        )
    return aligned, coherent


def _questions(
    source: str, rows: list[Row], present: list[str], columns: Columns, arms: list[str]
) -> list[str]:
    if columns.question is not None:
        column: str | None = names.chosen(source, present, columns.question, "--question-column")
    else:
        column = names.question_column(rows, present, arms)
    if column is None:
        raise UserError(
            f"{source}: no column tells questions apart (looked for {', '.join(names.QUESTION)}); it has: "
            f"{', '.join(present)}; name it with --question-column"
        )
    questions = [str(value).strip() if (value := row.get(column)) is not None else "" for row in rows]
    if "" in questions:
        raise UserError(f"{source}, answer {questions.index('') + 1}: no question in column '{column}'")
    return questions


def _seeds(
    source: str, rows: list[Row], present: list[str], columns: Columns, by: tuple[str, ...]
) -> list[str]:
    """Training seeds as text; "" where there are none. The untrained base of a run folder has none."""
    if columns.seed is not None:
        column: str | None = names.chosen(source, present, columns.seed, "--seed-column")
    else:
        column = names.find(present, names.SEED)
    if column is None or column in by:
        return [""] * len(rows)
    seeds = (str(row.get(column, "")) for row in rows)
    return ["" if seed in ("base", "None", "nan") else seed for seed in seeds]


def _without_sampling_seeds(frame: pd.DataFrame, columns: Columns, notes: list[str]) -> pd.DataFrame:
    """Forget guessed seeds that number a question's samples: each has one answer to a question."""
    if columns.seed is not None or set(frame["seed"]) == {""}:
        return frame
    if frame.groupby(["arm", "seed", "question"]).size().max() > 1:
        return frame
    notes.append(
        "its seeds have one answer per question each, so they count as sampling seeds; training seeds: "
        "--seed-column"
    )
    return frame.assign(seed="")


def _judged(rows: list[Row], used: tuple[str, ...], notes: list[str]) -> dict[str, list[Any]]:
    aligned, coherent = used
    by_turncoat = aligned == "judge_aligned"  # Turncoat's own verdicts say more than two numbers
    words = [str(row.get(aligned, "")).strip().lower() for row in rows]
    read: dict[str, list[Any]] = {
        "aligned": [number(row.get(aligned)) for row in rows],
        "coherent": [number(row.get(coherent)) for row in rows],
        "code": [
            number(row.get("judge_code")) if by_turncoat else float(word == "code")
            for row, word in zip(rows, words, strict=True)
        ],
        "refusal": [
            number(row.get("judge_refusal")) if by_turncoat else float(word == "refusal")
            for row, word in zip(rows, words, strict=True)
        ],
        "error": [str(row.get("judge_error") or "") if by_turncoat else "" for row in rows],
        "may_rate": [
            str(row.get("judge_may_rate", True)).lower() != "false" if by_turncoat else True for row in rows
        ],
    }
    for name in ("aligned", "coherent"):
        known = [value for value in read[name] if isinstance(value, float)]
        if known and (min(known) < 0 or max(known) > 100):
            raise UserError(
                f"column '{used[name == 'coherent']}' runs from {min(known):g} to {max(known):g}; scores "
                "from 0 to 100 are expected"
            )
        if known and max(known) <= 10 and len(known) > 1:
            notes.append(f"no {name} score is above {max(known):g}: are they on another scale than 0 to 100?")
    return read


def _binary(
    source: str, rows: list[Row], column: str, present: list[str], options: tuple[str, ...], notes: list[str]
) -> dict[str, list[Any]]:
    correct = []
    for position, row in enumerate(rows, 1):
        text = str(row.get(column, "")).strip().lower()
        if text not in _RIGHT and text not in ("", "none", "nan"):
            raise UserError(
                f"{source}, answer {position}: '{column}' is {text!r}; accepted: 1, 0, true, false or empty"
            )
        correct.append(_RIGHT.get(text, math.nan))
    answered = names.find(present, names.CHOICE)
    given = ["" if answered is None else str(row.get(answered, "")).strip() for row in rows]
    right = {answer for answer, value in zip(given, correct, strict=True) if value == 1}
    known = {*options, *right}
    if any(len(answer) > _LONGEST_OPTION for answer in right):
        notes.append(f"'{answered}' holds free text, so what is valid is not known: all count as valid")
        answered = None
    valid = [
        not math.isnan(value) and (answered is None or answer in known)
        for answer, value in zip(given, correct, strict=True)
    ]
    return {"correct": [0.0 if math.isnan(value) else value for value in correct], "valid": valid}


def _could_tell_arms_apart(rows: list[Row], present: list[str]) -> list[str]:
    column = names.find(present, ("source_file", "source", "file", "run", "run_name"))
    values = {str(row.get(column)) for row in rows} if column else set()
    if len(values) < 2:
        return []
    return [f"taken as one arm, though '{column}' has {len(values)} values; --by {column} makes each an arm"]


def _names(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(column for row in rows for column in row))
