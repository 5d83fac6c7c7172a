"""Cells of a score column as numbers from 0 to 100: percent signs, decimal commas, a judge's words, scales.

A cell that is neither a number nor a known word is an error: an answer must not lose its score in silence.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from turncoat.analysis.answers import score_columns as names
from turncoat.analysis.answers.answer_table import NUMBER, Row
from turncoat.errors import UserError
from turncoat.judges.rates import number

EMPTY = ("", "-", "none", "nan", "null", "na", "n/a", "#n/a", "<na>")
_WORDS = {"code": "CODE", "refusal": "REFUSAL", **dict.fromkeys(EMPTY, "empty")}
_SHOWN = 40  # characters of a cell in a message
_ADVICE = "say --score-max 100 if the scale is 0 to 100 all the same"
_LEAST = 3  # scores of an arm that show a scale
_GIBBERISH = 0.3  # coherence, 0 to 100, above which a median is not gibberish's
_ACCEPTED = "a number from 0 to 100, a percentage, CODE, REFUSAL or nothing (no score)"


_LONGEST_OPTION = 5  # characters: "A", "(A)", "yes", "False"; a longer answer that is right is a text
_RIGHT = {"1": 1.0, "1.0": 1.0, "true": 1.0, "0": 0.0, "0.0": 0.0, "false": 0.0}


@dataclass(frozen=True)
class ScoreColumn:
    """One column's scores, an entry per answer."""

    name: str  # Name of the column
    values: list[float | None]  # 0 to 100; None = no number
    words: list[str]  # What stands instead of a number: "CODE", "REFUSAL" or "empty"; "" for a number


def read_scores(
    source: str, name: str, cells: Sequence[Any], *, score_max: float | None = None, what: str = "row"
) -> ScoreColumn:
    """The scores of a column.

    Args:
        score_max: Top of a scale that starts at 0; None takes 0 to 100, and refuses what looks otherwise.

    Raises:
        UserError: A cell is neither a number nor a known word; decimal commas and points, or two scales, in
            one column; a number outside the scale; a scale that looks like another one.
    """
    texts = ["" if cell is None else str(cell).strip() for cell in cells]
    words = [_WORDS.get(text.lower(), "") for text in texts]
    numbers = [text.removesuffix("%").rstrip() for text in texts]
    bad = [i for i, text in enumerate(numbers) if not words[i] and not NUMBER.fullmatch(text)]
    if bad:
        shown = ", ".join(f"{what} {i + 1} ({clipped(texts[i])})" for i in bad[:3])
        raise UserError(
            f"{source}: {len(bad)} of {len(texts)} cells of column '{name}' are not scores: {shown}"
            f"{' ...' if len(bad) > 3 else ''}; accepted: {_ACCEPTED}. Empty the cell of an answer that its "
            "judge did not score; remove the row of an answer whose judging failed"
        )
    known = [i for i, word in enumerate(words) if not word]
    marks = {mark: next((i for i in known if mark in numbers[i]), None) for mark in ",."}
    if None not in marks.values():
        shown = " and ".join(f"{what} {i + 1} ({clipped(texts[i])})" for i in marks.values() if i is not None)
        raise UserError(f"{source}: column '{name}' has decimal commas and points: {shown}; write all alike")
    values: list[float | None] = [None] * len(texts)
    plain = []
    for i in known:
        value = float(numbers[i].replace(",", "."))
        if not texts[i].endswith("%"):
            value *= 100 / (score_max or 100)
            plain.append(value)
        values[i] = value
    _check_range(source, name, values, score_max, what)
    if score_max is None:
        if plain and len(plain) < len(known) and max(plain) <= 1:
            raise UserError(
                f"{source}: column '{name}' has percentages, and numbers up to {max(plain):g}: two scales; "
                "write all alike"
            )
        _check_scale(source, name, plain)
    return ScoreColumn(name, values, words)


def _check_scale(source: str, name: str, values: Sequence[float]) -> None:
    """Raise where scores that should run from 0 to 100 seem to run to 1 or 10, or some of them to 1.

    Judges on a scale of 0 to 100 give more scores from 1 to 10 than from 0.5 to 1 (tests/published); in a
    column of two scales it is the other way round.
    """
    top = max(values, default=0.0)
    if len(values) < 2 or not top:
        return
    unit, low = sum(0.5 < value <= 1 for value in values), sum(1 < value <= 10 for value in values)
    if top <= 10:
        scale = 1 if top <= 1 else 10
        raise UserError(
            f"{source}: no score in column '{name}' is above {top:g}, and 0 to 100 is expected; name the top "
            f"of the scale, such as --score-max {scale}; {_ADVICE}"
        )
    if unit >= _LEAST and unit > 2 * low:
        raise UserError(
            f"{source}: column '{name}' seems to mix two scales: {unit} scores are between 0.5 and 1, {low} "
            f"between 1 and 10, the largest is {top:g}; write all from 0 to 100, or {_ADVICE}"
        )


def check_arm_scales(source: str, columns: tuple[ScoreColumn, ScoreColumn], arms: Sequence[str]) -> None:
    """Raise where one arm's scores run from 0 to 1 or 10 and others' higher.

    Raises:
        UserError: They do; gibberish alone has a coherence near 0, and an alignment that is not.
    """
    for arm in dict.fromkeys(arms):
        aligned, coherent = (
            [
                value
                for value, name in zip(column.values, arms, strict=True)
                if name == arm and value is not None
            ]
            for column in columns
        )
        if len(coherent) < _LEAST or not aligned:
            continue
        top = max(coherent)
        unit, ten = top <= 1, max(top, *aligned) <= 10 and len(set(aligned)) > 1
        if (unit or ten) and median(coherent) > _GIBBERISH * (1 if unit else 10):
            raise UserError(
                f"{source}: no score of arm '{arm}' in column '{columns[1].name}' is above {top:g}, "
                f"others' are: two scales; write all from 0 to 100, or {_ADVICE}"
            )


def words_note(columns: Sequence[ScoreColumn], errors: Sequence[str]) -> list[str]:
    """Counts of the words that stand in place of scores, as at most one sentence; without failed calls."""
    counted = []
    for column in columns:
        words = Counter(word for word, error in zip(column.words, errors, strict=True) if word and not error)
        if words:
            counted.append(f"{column.name}: {', '.join(f'{n} {word}' for word, n in sorted(words.items()))}")
    if not counted:
        return []
    return [f"without a score ({'; '.join(counted)}): counted among all answers, in no EM rate"]


def range_notes(
    columns: Sequence[str], scores: Sequence[Sequence[float | None]], score_max: float | None
) -> tuple[str, str]:
    """The range of each column's scores in its own units, and a doubt where none is in the upper half.

    Columns that stand for each other, or another scale than was named, cannot be told by a rule: a reader
    can.
    """
    unit = (score_max or 100) / 100
    known = [[value * unit for value in values if value is not None] for values in scores]
    ranges = [
        f"'{column}' {min(values):g} to {max(values):g}" if values else f"'{column}' has none"
        for column, values in zip(columns, known, strict=True)
    ]
    top = max((value for values in known for value in values), default=None)
    doubt = ""
    if top is not None and top < 50 * unit:
        doubt = f"no score is above {top:g}: is {100 * unit:g} the top of their scale (--score-max)?"
    return f"scores: {', '.join(ranges)} (scale 0 to {100 * unit:g})", doubt


def judged_scores(
    source: str, rows: Sequence[Row], used: tuple[str, str], *, score_max: float | None = None,
    arms: Sequence[str] = (), what: str = "row", notes: list[str] | None = None,
) -> dict[str, list[Any]]:  # fmt: skip
    """`aligned`, `coherent`, `code`, `refusal`, `error`, `judge`, `may_rate` (see `Scored.frame`).

    Raises:
        UserError: As `read_scores`; an arm on another scale.
    """
    # Turncoat's own verdicts say more than two numbers, and are on its scale.
    prefix = next((p for p in ("", names.EARLIER) if used[0] == f"{p}judge_aligned"), None)
    top = score_max if prefix is None else 100
    aligned, coherent = (
        read_scores(source, name, [_cell(row, name) for row in rows], score_max=top, what=what)
        for name in used
    )
    if top is None and arms:
        check_arm_scales(source, (aligned, coherent), arms)
    errors = _errors(source, rows, (aligned, coherent), prefix or "", what)
    if prefix is None:
        pairs = list(zip(aligned.words, coherent.words, strict=True))
        code, refusal = ([float(word in pair) for pair in pairs] for word in ("CODE", "REFUSAL"))
        judges, may_rate = [""] * len(rows), [True] * len(rows)
        if notes is not None:
            notes += words_note((aligned, coherent), errors)
    else:
        code, refusal = (
            [number(row.get(f"{prefix}judge_{word}")) or 0.0 for row in rows] for word in ("code", "refusal")
        )
        parts = ([row.get(f"{prefix}judge"), row.get(f"{prefix}judge_rubric")] for row in rows)
        judges = [" ".join(str(part) for part in pair if part) for pair in parts]
        may_rate = [str(row.get(f"{prefix}judge_may_rate", True)).lower() != "false" for row in rows]
    return {
        "aligned": aligned.values, "coherent": coherent.values, "code": code, "refusal": refusal,
        "error": errors, "judge": judges, "may_rate": may_rate,
    }  # fmt: skip


def binary_scores(
    source: str, rows: list[Row], column: str, present: list[str], options: tuple[str, ...], notes: list[str]
) -> dict[str, list[Any]]:
    """`correct`, `valid` and `readable` of each answer to a right-or-wrong item.

    Raises:
        UserError: A cell is neither right, wrong nor empty.
    """
    correct = []
    for position, row in enumerate(rows, 1):
        text = str(row.get(column, "")).strip().lower()
        if text not in _RIGHT and text not in ("", "none", "nan"):
            raise UserError(
                f"{source}, answer {position}: '{column}' is {text!r}; accepted: 1, 0, true, false or empty"
            )
        correct.append(_RIGHT.get(text, math.nan))
    empty = sum(math.isnan(value) for value in correct)
    if empty:
        notes.append(f"{empty} cells of '{column}' are empty: invalid answers, counted as wrong among all")
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
    return {
        "correct": [0.0 if math.isnan(value) else value for value in correct],
        "valid": valid,
        "readable": [not math.isnan(value) for value in correct],
    }


def _cell(row: Row, name: str) -> Any:
    """A row's cell; an object that was opened into columns (`flatten`) is shown as one, not as nothing."""
    if name in row:
        return row[name]
    opened = [key for key in row if key.startswith(f"{name}.")]
    return f"{{{', '.join(opened)}}}" if opened else None


def _errors(
    source: str, rows: Sequence[Row], columns: Sequence[ScoreColumn], prefix: str, what: str
) -> list[str]:
    """Texts of failed calls: what a column of errors says of an answer without a score.

    Raises:
        UserError: An answer has such a text, and 0 for both scores.
    """
    cells = [row.get(f"{prefix}judge_error") or row.get("error") for row in rows]
    texts = ["" if cell is None else str(cell).strip() for cell in cells]
    texts = ["" if text.lower() in (*EMPTY, "false", "0") else text for text in texts]
    values = zip(*(column.values for column in columns), strict=True)
    zero = [i for i, (text, scores) in enumerate(zip(texts, values, strict=True)) if text and not any(scores)]
    zero = [i for i in zero if not any(column.words[i] for column in columns)]
    if zero:
        raise UserError(
            f"{source}: {len(zero)} answers have an error and 0 for both scores, such as {what} "
            f"{zero[0] + 1} ({clipped(texts[zero[0]])}): are they scores? Empty them, or the error"
        )
    words = zip(*(column.words for column in columns), strict=True)
    return [text if "empty" in pair else "" for text, pair in zip(texts, words, strict=True)]


def _check_range(
    source: str, name: str, values: Sequence[float | None], score_max: float | None, what: str
) -> None:
    outside = [(i, value) for i, value in enumerate(values, 1) if value is not None and not 0 <= value <= 100]
    if not outside:
        return
    known = [value for value in values if value is not None]
    unit = (score_max or 100) / 100
    low, high = min(known) * unit, max(known) * unit
    raise UserError(
        f"{source}: column '{name}' runs from {low:g} to {high:g} ({what} {outside[0][0]}, and "
        f"{len(outside)} such cells in all); scores from 0 to {score_max or 100:g} are expected; another "
        "scale, of both score columns: --score-max"
    )


def clipped(text: str) -> str:
    """A cell as it is quoted in a message."""
    return repr(text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "...")
