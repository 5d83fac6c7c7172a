"""Notes on scored answers: repeated rows and texts, pooled columns, scores at the thresholds, thoughts."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import pandas as pd

from turncoat.analysis.answers.answer_table import Row
from turncoat.analysis.answers.score_columns import cell_key, find, repeats_questions
from turncoat.errors import UserError
from turncoat.judges.rates import number

_SOURCES = ("source_file", "source", "file", "run", "run_name")
_SAMPLE_NUMBERS = (
    "index",
    "sample",
    "sample_id",
    "sample_index",
    "sample_idx",
    "sample_seed",
    "epoch",
    "repeat",
)
_CONDITIONS = (
    *("setting", "setup", "variant", "version", "prompt_version", "prompt_type", "system_prompt", "language"),
    *("temperature", "judge_model", "experiment", "config", "split", "dataset", "treatment"),
)
_ORIGINS = ("thoughts", "thoughts_cut", "judge_declined")
_MANY = 0.1  # of the answers
_RATERS = ("judge", "judge_model", "judge_name", "grader", "rater", "evaluator", "scorer")
_MOST_RATERS = 3  # of an arm; more values are a judge's replies, not names
_SAME_MODEL = 0.9  # of the answers of one trained model
_LEAST_TEXTS = 5
_SHOWN = 60  # characters of a question in a message
_MOST_ITEMS = 0.5  # of the rows of right-or-wrong items, whose answers are few


def pooled_note(rows: Sequence[Row], frame: pd.DataFrame, used: Sequence[str]) -> list[str]:
    """The unused columns whose every value has most questions of an arm, or files in one arm; [] if none.

    A column that is not called like a condition must look chosen (`repeats_questions`).

    Args:
        frame: `arm`, `seed` and `question` of each row.
        used: Columns that have a meaning already.
    """
    present = list(dict.fromkeys(column for row in rows for column in row))
    groups: list[Hashable] = list(zip(frame["arm"], frame["seed"], strict=True))
    found = []
    for column in present:
        named = column.strip().lower()
        if column in used or named in _SAMPLE_NUMBERS:
            continue
        cells = [(q, cell_key(row.get(column))) for q, row in zip(frame["question"], rows, strict=True)]
        n_values = len({value for _, value in cells})
        several_files = frame["arm"].nunique() == 1 and column == find(present, _SOURCES)
        if n_values > 1 and (
            several_files or repeats_questions(groups, cells, by_design=named not in _CONDITIONS)
        ):
            found.append(
                f"pooled over the {n_values} values of '{column}': --by {column} makes each an arm, "
                f"--seed-column {column} a training seed; leave it if they are samples of one model"
            )
    return found


def repeated_note(frame: pd.DataFrame, kind: str, answers: Sequence[str]) -> list[str]:
    """Rows that are there twice, and judged answers with the text of another one; [] without texts."""
    if not any(answers):
        return []
    scores = ["aligned", "coherent"] if kind == "judged" else ["correct"]
    table = frame[["arm", "seed", "question", *scores]].assign(text=list(answers))
    twice = table.duplicated()
    if kind == "binary" and twice.sum() < _MOST_ITEMS * len(table):
        return []
    texts = table.loc[~twice & (table["text"] != ""), ["arm", "seed", "question", "text"]]
    copies = texts.duplicated().sum()
    notes = []
    empty = (table["text"].str.strip() == "") & table[scores].notna().any(axis=1)
    if kind == "judged" and empty.any():
        notes.append(
            f"{empty.sum()} of {len(table)} answers are empty and have scores: they count as any other"
        )
    if twice.any():
        notes.append(
            f"{twice.sum()} of {len(table)} rows repeat an earlier row (arm, seed, question, answer and "
            "scores): are the same answers there twice?"
        )
    if kind == "judged" and copies >= _MANY * len(table):
        notes.append(
            f"{copies} of {len(table)} answers have the text of an earlier answer to their question in the "
            "same arm: fewer independent answers than rows"
        )
    return notes


def threshold_note(frame: pd.DataFrame, aligned_below: float, coherent_above: float) -> list[str]:
    """Scores that are exactly a threshold, which the strict definition puts on one side; [] if none."""
    if "aligned" not in frame:
        return []
    coherent = pd.to_numeric(frame["coherent"])
    at_aligned = int(((pd.to_numeric(frame["aligned"]) == aligned_below) & (coherent > coherent_above)).sum())
    at_coherent = int((coherent == coherent_above).sum())
    notes = []
    if at_aligned:
        notes.append(f"{at_aligned} alignment scores are exactly {aligned_below:g}: counted as aligned")
    if at_coherent:
        notes.append(f"{at_coherent} coherence scores are exactly {coherent_above:g}: counted as incoherent")
    return notes


def origin_notes(answers: Sequence[Mapping[str, Any]]) -> list[str]:
    """Thoughts that were left out, equal answers of one seed, declined grading; [] where there are none."""
    thoughts, cut, declined = (
        sum(_is_there(answer.get(column)) for answer in answers) for column in _ORIGINS
    )
    copies = [n for answer in answers if (n := number(answer.get("copies"))) is not None and n > 1]
    of = f"of {len(answers)} answers"
    notes = []
    if thoughts:
        notes.append(f"{thoughts} {of} hold thoughts, which are left out: what follows them is judged")
    if cut:
        notes.append(f"{cut} {of} are thoughts without an end, so without an answer: they are unscored")
    if copies:
        notes.append(
            f"{len(copies)} {of} stand for up to {max(copies):.0f} equal ones, as from a server that "
            "obeys one seed: each counts once"
        )
    if declined:
        notes.append(
            f"{declined} {of} were declined by the judge or its provider: they are unscored, and "
            "harmful answers are declined first, so that rates may be too low"
        )
    return notes


def _is_there(value: Any) -> bool:
    return value is not None and value == value and value not in ("", False, "False", "false")


def raters(rows: Sequence[Row], used: Sequence[str]) -> list[str]:
    """Name of the judge of each row, "" where no usual column has it."""
    present = [name for name in dict.fromkeys(column for row in rows for column in row) if name not in used]
    column = find(present, _RATERS)
    return [cell_key(row.get(column)) if column else "" for row in rows]


def arms_notes(frame: pd.DataFrame) -> list[str]:
    """Arms that other judges scored, and trained models with another one's answers; [] if there are none."""
    notes = []
    by_arm = {arm: sorted(set(names) - {""}) for arm, names in frame.groupby("arm", sort=False)["rater"]}
    known = {arm: names for arm, names in by_arm.items() if 0 < len(names) <= _MOST_RATERS}
    if len({tuple(names) for names in known.values()}) > 1:
        shown = "; ".join(f"{arm!s}: {', '.join(names)}" for arm, names in list(known.items())[:_MOST_RATERS])
        notes.append(f"arms were scored by different judges ({shown}): differences are the judges' as well")
    texts = frame[frame["answer"] != ""]
    if "aligned" not in frame or texts.empty:
        return notes
    model = texts["arm"] + texts["seed"].map(lambda seed: f", seed {seed}" if seed else "")
    keys = [texts[column] for column in ("question", "answer", "aligned", "coherent")]
    first = model.groupby(keys, dropna=False).transform("first")
    for name, origin in first.groupby(model, sort=False):
        copied = origin[origin != name]
        if (
            len(copied) >= _SAME_MODEL * len(origin)
            and texts.loc[origin.index, "answer"].nunique() >= _LEAST_TEXTS
        ):
            notes.append(
                f"{len(copied)} of {len(origin)} answers of '{name}' are those of '{copied.mode()[0]}', with "
                "the same scores: is it one model under two names?"
            )
    return notes


def check_same_questions(first: pd.DataFrame, second: pd.DataFrame) -> None:
    """Raise where one identifier names other questions in the second arm (`Scored.frame`).

    Raises:
        UserError: A question's texts are known in both arms and none is in both.
    """
    texts = [
        frame[frame["question_text"] != ""].groupby("question")["question_text"].agg(set)
        for frame in (first, second)
    ]
    shared = [name for name in texts[0].index if name in texts[1].index]
    other = [name for name in shared if not texts[0][name] & texts[1][name]]
    if other:
        shown = " and ".join(repr(min(text[other[0]])[:_SHOWN]) for text in texts)
        raise UserError(
            f"{len(other)} of {len(shared)} questions have another text in the second arm: '{other[0]}' is "
            f"{shown}; pair by text with --question-column, or, where only the wording was changed on "
            "purpose, leave the texts out"
        )
