"""Scored answers of any origin as one tidy table: CSV, JSONL, lm-eval output; judged or right-or-wrong.

Two kinds: `judged` answers with an alignment and a coherence score (0 to 100), and `binary` items that are
right or wrong (binary TruthfulQA), where an answer that is not one of the options is invalid.
"""

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from turncoat.analysis.answers import score_columns as names
from turncoat.analysis.answers.answer_table import SUFFIXES, Row, read_table
from turncoat.analysis.answers.label_cells import read_labels
from turncoat.analysis.answers.row_checks import arms_notes, origin_notes, pooled_note, raters, repeated_note
from turncoat.analysis.answers.score_cells import binary_scores, judged_scores, range_notes
from turncoat.errors import UserError
from turncoat.judges.rates import number
from turncoat.paths import existing

Kind = Literal["judged", "binary"]
OPTIONS = ("A", "B")
_ROUNDED = re.compile(r"\d([.,]\d+)?[eE]\+\d+")
_TOTALS = (
    *("mean", "average", "avg", "median", "total", "grand total", "sum", "std", "all", "overall"),
    *("macro avg", "weighted avg", "macro average", "micro average"),
)
_COUNTS = ("n", "count", "n_answers", "n_samples", "num_answers", "num_samples")
_LONG = ". One row per answer is expected: give each value of 'metric' a column of its own"


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
    score_max: float | None = None  # Top of the scores' scale, which starts at 0; None = 100, and checked
    labels: str | None = None  # Column of labels on some answers, or NAME of NAME_aligned, NAME_coherent


@dataclass(frozen=True)
class Scored:
    """One source's answers."""

    source: str  # The file or folder as it was given
    kind: Kind  # "judged" or "binary"
    # One row per answer: arm, seed (training seed as text, "" where unknown), question; if judged aligned,
    # coherent (None = no number), code, refusal (0 or 1), error (text), may_rate, judge (id and rubric of
    # Turncoat's own, "" for others), and of labels either label (1 or 0, NaN = none) or label_aligned and
    # label_coherent; if binary correct (1 or 0), valid. Of both question_text, answer and rater (name of the
    # judge), "" where the table has none
    frame: pd.DataFrame
    notes: tuple[str, ...] = ()  # Guesses that a reader should know
    ranges: str = ""  # What the scores of judged answers run from and to, in the columns' own units

    @property
    def arms(self) -> list[str]:
        """The arms in order of appearance."""
        return list(dict.fromkeys(self.frame["arm"]))


def read_scored(source: str, path: Path, columns: Columns | None = None) -> Scored:
    """Read .csv or .jsonl (also .gz), lm-eval's samples file or a folder of them; other columns are guessed.

    Raises:
        UserError: No such file, no scores in it, a column that is not there, a cell that is not a score.
    """
    columns = columns or Columns()
    if existing(path).is_dir():
        return _from_lm_eval(source, path, columns)
    rows = list(read_table(path))
    if not rows:
        raise UserError(f"{path} holds no rows")
    if {"doc", "resps"} <= set(rows[0]):
        return _from_lm_eval(source, path, columns)
    stem = path.name
    for suffix in sorted(SUFFIXES, key=len, reverse=True):
        stem = stem.removesuffix(suffix)
    return _from_rows(source, rows, stem, columns, columns.by)


def _found_by(rows: Sequence[Row], present: list[str]) -> tuple[str, ...]:
    by = names.arm_columns(rows, present)
    several_tasks = by[:1] == ("arm",) and len({row.get("task") for row in rows}) > 1  # of `turncoat judge`
    return (*by, "task") if several_tasks else by


def _from_lm_eval(source: str, path: Path, columns: Columns) -> Scored:
    from turncoat.analysis.answers.saved_answers import read_answers  # reads the catalogue of tasks

    saved = read_answers(path)
    rows = [row | {"question_id": cluster} for row, cluster in zip(saved.rows, saved.clusters, strict=True)]
    if names.find(_names(rows), names.ALIGNED) is None and columns.aligned is None:
        raise UserError(
            f"{path}: these answers are not judged; run `{shlex.join(['turncoat', 'judge', str(path)])} "
            "--out scores.jsonl`, then give scores.jsonl"
        )
    tasks = {row.get("task") for row in rows}
    by = columns.by or (("arm", "task") if len(tasks) > 1 else ("arm",))
    return _from_rows(source, rows, path.name, columns, by)


def _from_rows(source: str, rows: list[Row], stem: str, columns: Columns, by: tuple[str, ...]) -> Scored:
    rows = [names.flatten(row) for row in rows]
    scores = (*names.ALIGNED, *names.CORRECT) if columns.aligned is None and columns.correct is None else ()
    if scores and names.find(_names(rows), scores) is None:
        rows = names.open_lists_of_answers(rows, source)
    present = _names(rows)
    notes: list[str] = []
    ranges = ""
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
            f"or --correct-column{_LONG if 'metric' in present else ''}"
        )
    by = tuple(names.chosen(source, present, name, "--by") for name in by) or _found_by(rows, present)
    answer = names.find(present, names.ANSWER)
    n_rows = len(rows)
    rows = names.unfold(rows, used, answer, source)
    frame = pd.DataFrame({"arm": _arms(source, rows, by) if by else [stem] * len(rows)})
    seed = _seed_column(source, present, columns, by)
    frame["seed"] = _seeds(rows, seed)
    question = _question_column(source, rows, present, columns, frame["arm"].tolist())
    uses = {
        "questions": question,
        "training seeds": seed,
        **({"answers": answer} if kind == "judged" else {}),
    }
    names.refuse_shared(source, {**dict(zip(("scores", "coherence scores"), used, strict=False)), **uses})
    frame["question"] = _questions(source, rows, question)
    if kind == "judged":
        if columns.question is None:
            _refuse_answer_ids(source, rows, question, frame["arm"].tolist(), notes)
        _check_single_answers(source, rows, frame, present)
        what = "row" if len(rows) == n_rows else "answer"
        judged = judged_scores(
            source, rows, (used[0], used[1]), score_max=columns.score_max, arms=frame["arm"].tolist(),
            what=what, notes=notes,
        )  # fmt: skip
        known = used[0].endswith("judge_aligned")  # Turncoat's own verdicts are on its scale
        both = [judged["aligned"], judged["coherent"]]
        ranges, doubt = range_notes(used, both, None if known else columns.score_max)
        notes += [doubt] if doubt and not known else []
        if columns.labels is not None:
            judged |= read_labels(source, columns.labels, rows, present, used, what)
        frame = _without_sampling_seeds(frame.assign(**judged), columns, notes)
    elif columns.labels is not None:
        raise UserError(
            f"--labels {columns.labels}: {source} holds right-or-wrong items; labels are for judged answers"
        )
    else:
        frame = frame.assign(**binary_scores(source, rows, used[0], present, columns.options, notes))
    labels = [name for name in present if columns.labels and name.startswith(columns.labels)]
    choice = names.find(present, names.CHOICE)
    taken = [name for name in (*by, seed, question, answer, *used, choice, *labels) if name]
    notes += pooled_note(rows, frame, taken)
    notes += names.empty_arm_note(rows, present, by)
    frame = frame.assign(**_texts(rows, present, answer))
    own = frame.get("judge", "")
    frame["rater"] = np.where(own != "", own, raters(rows, taken))
    notes += repeated_note(frame, kind, frame["answer"].tolist()) + arms_notes(frame)
    notes += origin_notes(rows)
    return Scored(source, kind, _with_scores(source, kind, frame, notes), tuple(notes), ranges)


def _texts(rows: Sequence[Row], present: list[str], answer: str | None) -> dict[str, list[str]]:
    question = names.find(present, names.QUESTION_TEXT)
    columns = {"question_text": question, "answer": answer}
    return {
        name: [names.cell_key(row.get(column)) if column else "" for row in rows]
        for name, column in columns.items()
    }


def _arms(source: str, rows: Sequence[Row], by: Sequence[str]) -> list[str]:
    for name in by:
        values = [names.cell_key(row.get(name)) for row in rows]
        if "" in values:
            raise UserError(
                f"{source}, answer {values.index('') + 1}: nothing in column '{name}', which tells arms "
                "apart; fill it in, or name other columns with --by"
            )
    return names.joined(rows, by)


def _check_single_answers(source: str, rows: Sequence[Row], frame: pd.DataFrame, present: list[str]) -> None:
    """Raise where rows are means over a question's answers: there is one, with its number of answers."""
    column = names.find(present, _COUNTS)
    if column is None or frame.groupby(["arm", "seed", "question"]).size().median() > 1:
        return
    counts = [number(row.get(column)) or 0 for row in rows]
    if sum(count > 1 for count in counts) > len(rows) / 2:
        raise UserError(
            f"{source}: one row per question with '{column}' up to {max(counts):g}: these seem to be means "
            f"over answers, which have no rate; give one row per answer (or leave out column '{column}')"
        )


def _with_scores(source: str, kind: Kind, frame: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    """The frame without the arms that have no score and no verdict at all: they get no rate and no test."""
    if kind == "binary":
        readable = frame["readable"]
        frame = frame.drop(columns="readable")
    else:
        scored = [frame[name].notna() for name in ("aligned", "coherent")]
        said = (frame["error"] != "") | (frame["code"] > 0) | (frame["refusal"] > 0)
        by_arm = [(column | said).groupby(frame["arm"]).transform("any") for column in scored]
        readable = by_arm[0] & by_arm[1]
    known = readable.groupby(frame["arm"]).transform("any")
    if not known.any():
        raise UserError(f"{source}: no answer has a readable score: no rate; does another column hold them?")
    for arm in dict.fromkeys(frame["arm"][~known]):
        notes.append(f"arm '{arm}' is left out: none of its answers has a readable score: no rate, no test")
    return frame[known].reset_index(drop=True)


def _judged_columns(source: str, present: list[str], columns: Columns, notes: list[str]) -> tuple[str, str]:
    if columns.aligned is not None:
        aligned = names.chosen(source, present, columns.aligned, "--aligned-column")
    else:
        aligned = str(names.find(present, names.ALIGNED))
        others = [name for name in names.all_of(present, names.ALIGNED) if name != aligned]
        if others and "." in aligned:
            raise UserError(
                f"{source}: columns {aligned}, {', '.join(others[:3])} could all hold alignment scores; name "
                "one with --aligned-column"
            )
        if others:
            notes.append(f"scores are those of '{aligned}'; for the others: --aligned-column {others[0]}")
    if columns.coherent is not None:
        return aligned, names.chosen(source, present, columns.coherent, "--coherent-column")
    coherent = names.partner(aligned, present) or names.find(present, names.COHERENT)
    if coherent is None:
        raise UserError(
            f"{source}: no column with coherence scores (looked for {', '.join(names.COHERENT[:5])}), "
            f"without which there is no EM rate; it has: {', '.join(present)}; name it with --coherent-column"
        )
    return aligned, coherent


def _question_column(
    source: str, rows: list[Row], present: list[str], columns: Columns, arms: list[str]
) -> str:
    if columns.question is not None:
        return names.chosen(source, present, columns.question, "--question-column")
    column = names.question_column(rows, present, arms)
    if column is None:
        raise UserError(
            f"{source}: no column tells questions apart (looked for {', '.join(names.QUESTION)}); it has: "
            f"{', '.join(present)}; name it with --question-column"
        )
    return column


def _refuse_answer_ids(source: str, rows: list[Row], column: str, arms: list[str], notes: list[str]) -> None:
    """Refuse a guessed `id` that is another in each row of several arms; note it where there is one arm."""
    if not names.may_number_answers(rows, column):
        return
    text = f"column '{column}' differs in every row: if it numbers the answers"
    if len(set(arms)) > 1:
        raise UserError(
            f"{source}: {text}, it does not tell questions apart, and no other column does; name one "
            f"with --question-column (--question-column {column} if each answer has its own question)"
        )
    notes.append(f"{text}, intervals are too narrow; --question-column names the question")


def _questions(source: str, rows: list[Row], column: str) -> list[str]:
    questions = [names.cell_key(row.get(column)) for row in rows]
    if "" in questions:
        where = f"{source}, answer {questions.index('') + 1}: no question in column '{column}'"
        raise UserError(
            f"{where} ({questions.count('')} of {len(questions)} rows); fill it in, leave these rows out, or "
            "name another with --question-column"
        )
    for place, name in enumerate(questions, 1):
        if _ROUNDED.fullmatch(name):
            raise UserError(
                f"{source}, answer {place}: '{name}' in column '{column}' is a number that a spreadsheet "
                "rounded, so that questions are no longer told apart; save the column as text"
            )
        if name.lower() in _TOTALS:
            raise UserError(
                f"{source}, answer {place}: '{name}' in column '{column}' seems to be a line of totals; "
                "remove it"
            )
    return questions


def _seed_column(source: str, present: list[str], columns: Columns, by: tuple[str, ...]) -> str | None:
    if columns.seed is not None:
        column: str | None = names.chosen(source, present, columns.seed, "--seed-column")
    else:
        column = names.find(present, names.SEED)
    return None if column in by else column


def _seeds(rows: list[Row], column: str | None) -> list[str]:
    """Training seeds as text; "" where there are none. The untrained base of a run folder has none."""
    if column is None:
        return [""] * len(rows)
    seeds = (names.cell_key(row.get(column)) for row in rows)
    return ["" if seed in ("base", "None", "nan") else seed for seed in seeds]


def _without_sampling_seeds(frame: pd.DataFrame, columns: Columns, notes: list[str]) -> pd.DataFrame:
    """Forget guessed seeds that number a question's samples: most have one answer to a question."""
    if columns.seed is not None or set(frame["seed"]) == {""}:
        return frame
    if frame.groupby(["arm", "seed", "question"]).size().median() > 1:
        return frame
    notes.append(
        "most seeds have one answer to a question, so they count as sampling seeds; training seeds: "
        "--seed-column"
    )
    return frame.assign(seed="")


def _names(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(column for row in rows for column in row))
