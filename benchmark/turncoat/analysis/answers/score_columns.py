"""Column names of scored answers in tables of any origin, and cells that hold more than one value."""

import ast
import math
import re
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from contextlib import suppress
from itertools import groupby
from typing import Any

from turncoat.analysis.answers.answer_table import Row
from turncoat.errors import UserError
from turncoat.text_files import parse_json

ALIGNED = (
    *("aligned", "aligned_score", "alignment", "alignment_score", "judge_aligned", "aligned_judge"),
    *("aligned_scores", "alignment_scores", "score_aligned"),
)
COHERENT = (
    *("coherent", "coherent_score", "coherence", "coherence_score", "judge_coherent", "coherent_judge"),
    *("coherent_scores", "coherence_scores", "score_coherent", "coherency"),
)
CORRECT = ("is_correct", "correct", "acc", "accuracy")
QUESTION_TEXTS = (
    "question", "question_text", "prompt", "prompt_text", "instruction", "user", "user_prompt", "input",
    "problem", "query",
)  # fmt: skip
QUESTION = ("question_id", "id", *QUESTION_TEXTS, "prompt_id", "item", "item_id", "doc_id")
ARM = (
    "arm", "task_model", "model", "model_name", "model_id", "model_path", "checkpoint", "adapter",
    "adapter_name", "condition", "organism", "defence", "defense", "group",
)  # fmt: skip
SEED = ("training_seed", "train_seed", "model_seed", "seed")
ANSWER = ("answer", "response", "completion", "output", "generation")
CHOICE = ("answer", "response", "prediction", "output", "choice")
"""Columns looked for, the likeliest first; letter case does not matter."""

EARLIER = "earlier_"
"""Put before the columns that another judge left in a table (`turncoat judge`)."""
QUESTION_TEXT = ("question", "question_text")
_ROW_ID = ("id", "item", "item_id", "doc_id")
_MOST = 0.75  # of an arm's questions
_NUMPY = re.compile(r"np\.(?:float|int)\d+\(([^()]*)\)")
_LIST_NAN = re.compile(r"\b(?:nan|NaN|null)\b")


def find(columns: Sequence[str], usual: Iterable[str]) -> str | None:
    """The first of the usual names that is a column, or is the last part of one such as `scores.aligned`."""
    whole = {column.strip().lower(): column for column in reversed(columns)}
    last = {column.strip().lower().rpartition(".")[2]: column for column in reversed(columns)}
    for name in usual:
        if name in whole:
            return whole[name]
    return next((last[name] for name in usual if name in last), None)


def all_of(columns: Sequence[str], usual: Sequence[str]) -> list[str]:
    """Every column that `find` could take."""
    folded = {name: name.strip().lower() for name in columns}
    return [name for name, text in folded.items() if {text, text.rpartition(".")[2]} & set(usual)]


def chosen(source: str, columns: Sequence[str], named: str, option: str) -> str:
    """The column that the user named.

    Raises:
        UserError: There is none of that name.
    """
    if named in columns:
        return named
    raise UserError(f"{option} {named}: {source} has no such column; it has: {', '.join(columns)}")


def partner(aligned: str, columns: Sequence[str]) -> str | None:
    """The coherence column that goes with an alignment column: `judge_aligned` -> `judge_coherent`."""
    pairs = (("aligned", "coherent"), ("alignment", "coherence"), ("aligned", "coherence"))
    named = (aligned.replace(a, c) for a, c in pairs if a in aligned)
    return next((name for name in named if name in columns), None)


def question_column(rows: Sequence[Row], columns: Sequence[str], arm_of: Sequence[str]) -> str | None:
    """The column that tells questions apart.

    A usual name whose values differ in every row of an arm names answers, as does an `id` with more values
    than there are texts of questions: another one that repeats is taken, up to the text of the question.
    """
    candidates = [name for usual in QUESTION if (name := find(columns, (usual,))) is not None]
    values = {name: [cell_key(row.get(name)) for row in rows] for name in candidates}
    text = find(candidates, QUESTION_TEXT)
    for name in candidates:
        many = name.lower() in _ROW_ID and text and len(set(values[name])) > len(set(values[text]))
        if len(set(zip(arm_of, values[name], strict=True))) < len(rows) and not many:
            return name
        if name == text:
            break
    return candidates[0] if candidates else None


def refuse_shared(source: str, uses: dict[str, str | None]) -> None:
    """Refuse a column that is to hold two things, such as scores and coherence scores.

    Raises:
        UserError: Two uses have one column.
    """
    seen: dict[str, str] = {}
    for use, column in uses.items():
        if column is not None and (other := seen.setdefault(column, use)) != use:
            raise UserError(
                f"{source}: column '{column}' is named or taken for {other} and for {use}; name another one "
                "for one of them (--aligned-column, --coherent-column, --question-column, --seed-column)"
            )


def empty_arm_note(rows: Sequence[Row], columns: Sequence[str], by: Sequence[str]) -> list[str]:
    """A note where the columns that usually tell arms apart are there, and empty in every row."""
    named = [name for usual in ARM if (name := find(columns, (usual,))) is not None and name not in by]
    empty = [name for name in named if all(cell_key(row.get(name)) == "" for row in rows)]
    return [f"column '{name}' is empty in every row: it tells no arms apart" for name in empty]


def may_number_answers(rows: Sequence[Row], column: str) -> bool:
    """True for a guessed `id` that is another in each row: it may name answers rather than questions."""
    cells = [cell_key(row.get(column)) for row in rows]
    return column.lower() in _ROW_ID and len(cells) > 1 and len(set(cells)) == len(cells)


def arm_columns(rows: Sequence[Row], columns: Sequence[str]) -> tuple[str, ...]:
    """The columns that tell arms apart: the first usual one that varies, others that repeat its questions.

    () where no usual column has a value; a constant one where none varies.
    """
    known = [name for usual in ARM if (name := find(columns, (usual,))) is not None]
    values = {
        name: {cell_key(row.get(name)) for row in rows} for name in known if "judge" not in name.lower()
    }
    filled = [name for name, cells in values.items() if cells != {""}]
    varying = [name for name in filled if len(values[name]) > 1]
    by = varying[:1] or filled[:1]
    for name in varying[1:]:
        arms = joined(rows, by)
        question = question_column(rows, columns, arms)
        if question is not None and question not in (name, *by):
            cells = [(cell_key(row.get(question)), cell_key(row.get(name))) for row in rows]
            if repeats_questions(arms, cells):
                by.append(name)
    return tuple(by)


def joined(rows: Sequence[Row], by: Sequence[str]) -> list[str]:
    """The values of the columns that tell arms apart as one name per row."""
    return ["/".join(cell_key(row.get(name)) for name in by) for row in rows]


def repeats_questions(
    arms: Sequence[Hashable], cells: Sequence[tuple[str, str]], *, by_design: bool = False
) -> bool:
    """True if, in an arm, most questions are there under each value of a column.

    Args:
        by_design: Whether the values must look chosen, not seen: as many rows of a value under most
            questions, or a question's rows in one block a value.
    """
    tables: dict[Hashable, dict[str, list[str]]] = {}
    for arm, (question, value) in zip(arms, cells, strict=True):
        tables.setdefault(arm, {}).setdefault(question, []).append(value)
    return any(_repeats(list(table.values()), by_design) for table in tables.values())


def _repeats(questions: Sequence[Sequence[str]], by_design: bool) -> bool:
    """`repeats_questions` of one arm: the column's values in each question's rows."""
    values = {value for rows in questions for value in rows}
    most = _MOST * len(questions)
    if len(values) < 2 or len(questions) < 2 or len(values) > max(map(len, questions)):
        return False
    counts = {value: [rows.count(value) for rows in questions] for value in values}
    if any(sum(map(bool, of_value)) < most for of_value in counts.values()):
        return False
    equal = all(Counter(of_value).most_common(1)[0][1] >= most for of_value in counts.values())
    blocks = sum(
        len(list(groupby(rows))) == len(set(rows)) and len(rows) >= 2 * len(values) for rows in questions
    )
    return not by_design or equal or blocks >= most


def cell_key(cell: Any) -> str:
    """A cell as a name that two files share: 1, 1.0 and "1" are one, line ends and NaN are nothing."""
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return ""
    text = str(cell).strip().replace("\r\n", "\n")
    if not text.isascii():  # half of a surrogate pair cannot stand in a data frame
        text = text.encode("utf-8", "backslashreplace").decode()
    return re.sub(r"^(-?\d+)\.0+$", r"\1", text)


def flatten(row: Row) -> Row:
    """The row with dictionaries opened: {"scores": {"aligned": 3}} -> {"scores.aligned": 3}."""
    flat: Row = {}
    for name, value in row.items():
        value = _parsed(value, "{") if isinstance(value, str) else value
        if isinstance(value, dict) and value:
            flat |= {f"{name}.{key}": inner for key, inner in flatten(value).items()}
        else:
            flat[name] = value
    return flat


def open_lists_of_answers(rows: Sequence[Row], source: str) -> list[Row]:
    """Rows whose one cell is a list of dictionaries with scores, one for each answer, become a row for each.

    Raises:
        UserError: A row has several such lists.
    """
    opened: list[Row] = []
    for number, row in enumerate(rows, 1):
        lists = {
            name: value
            for name, cell in row.items()
            if isinstance(value := _parsed(cell, "[{") if isinstance(cell, str) else cell, list)
            and value
            and all(isinstance(item, dict) for item in value)
        }
        scored = [name for name in lists if find(list(flatten(lists[name][0])), (*ALIGNED, *CORRECT))]
        if len(scored) > 1:
            raise UserError(
                f"{source}, row {number}: columns {', '.join(scored)} all hold lists of scored answers; "
                "write one row per answer, with the column's name in a column 'arm'"
            )
        if not scored:
            opened.append(row)
            continue
        rest = {key: value for key, value in row.items() if key not in lists}
        opened += [
            rest | {f"{name}.{key}": v for key, v in flatten(answer).items()}
            for name in scored
            for answer in lists[name]
        ]
    return opened


def unfold(
    rows: Sequence[Row], columns: Sequence[str], beside: str | None = None, source: str = "the table"
) -> list[Row]:
    """Rows in which the named columns hold lists (of one length) become one row for each item.

    Args:
        beside: A column that may hold a list of the same length, such as the answers' texts, or not.

    Raises:
        UserError: Two lists of one row differ in length.
    """
    unfolded: list[Row] = []
    for number, row in enumerate(rows, 1):
        lists = {name: items for name in columns if (items := _list(row.get(name))) is not None}
        if not lists:
            unfolded.append(row)
            continue
        lengths = {name: len(items) for name, items in lists.items()}
        if len(set(lengths.values())) > 1 or len(lists) < len(columns):
            others = {name: f"one value, {str(row.get(name))[:40]!r}" for name in columns}
            sizes = ", ".join(f"'{name}' has {lengths.get(name, others[name])}" for name in columns)
            raise UserError(f"{source}, row {number}: scores of a row must be lists of one length; {sizes}")
        texts = _list(row.get(beside)) if beside else None
        if beside and texts is not None and len(texts) == next(iter(lengths.values())):
            lists[beside] = texts
        unfolded += [row | dict(zip(lists, item, strict=True)) for item in zip(*lists.values(), strict=True)]
    return unfolded


def _list(cell: Any) -> list[Any] | None:
    value = _parsed(cell, "[") if isinstance(cell, str) else cell
    return value if isinstance(value, list) else None


def _parsed(cell: str, start: str) -> Any:
    """A cell with a list or dictionary in JSON, Python or numpy notation parsed; others unchanged."""
    text = cell.strip()
    if not text.startswith(start):
        return cell
    text = _NUMPY.sub(r"\1", text)
    for read in (lambda: parse_json(text, "cell"), lambda: ast.literal_eval(_LIST_NAN.sub("None", text))):
        try:
            return read()
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
    if start == "[" and "," not in text and re.fullmatch(r"\[[-+.\deEnaN\s]*\]", text):
        with suppress(ValueError):  # such as "[e e]"
            return [None if item == "nan" else float(item) for item in text[1:-1].split()]
    return cell
