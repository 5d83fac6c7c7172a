"""Tables with one answer per row: CSV or JSON objects, plain or gzipped, by the file's name.

CSV may be separated by commas, semicolons, tabs or bars (the header tells, or Excel's first line `sep=;`),
and cells stay the text they are. JSON is one object per line, or one array of objects.
"""

import csv
import gzip
import io
import json
import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from turncoat.errors import UserError
from turncoat.judges.base import plain_json
from turncoat.safe_files import write_file
from turncoat.shown_text import for_spreadsheet, from_spreadsheet
from turncoat.text_files import LONGEST_LINE, parse_json, read_text

WRITTEN = (".csv", ".jsonl", ".csv.gz", ".jsonl.gz")
SUFFIXES = (*WRITTEN, ".tsv", ".json", ".tsv.gz", ".json.gz")
_DELIMITERS = ",;\t|"  # the likeliest first
NUMBER = re.compile(r"[-+]?(\d+([.,]\d*)?|[.,]\d+)(e[-+]?\d+)?", re.ASCII | re.IGNORECASE)
_EXCEL = re.compile(r'"?sep=(.)"?\r?\n')

Row = dict[str, Any]


def read_table(path: Path) -> Iterator[Row]:
    """The rows of a CSV or of a file with JSON objects.

    Raises:
        UserError: Neither UTF-8 nor UTF-16, no JSON object in a line, a row of other length than the header.
    """
    if not path.name.endswith(SUFFIXES):
        raise UserError(
            f"{path}: the name tells no format; accepted: {', '.join(SUFFIXES)}, or a folder; save a "
            "spreadsheet as CSV (UTF-8)"
        )
    separated = path.name.removesuffix(".gz").endswith((".csv", ".tsv"))
    yield from (_csv_rows if separated else _json_rows)(path, read_text(path))


def write_table(path: Path, rows: Sequence[Row]) -> None:
    """Write rows as CSV (`for_spreadsheet`) or JSON lines, by the name; the file is complete or not there.

    Raises:
        UserError: It cannot be written.
    """
    check_writable(path)
    text = io.StringIO(newline="")
    if path.name.removesuffix(".gz").endswith(".csv"):
        columns = list(dict.fromkeys(column for row in rows for column in row))
        writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
        writer.writerow({column: for_spreadsheet(column) for column in columns})
        writer.writerows({k: _cell(v) for k, v in row.items()} for row in rows)
    else:
        text.writelines(_line(row) for row in rows)
    data = text.getvalue().encode("utf-8", errors="replace")
    write_file(path, gzip.compress(data, mtime=0) if path.name.endswith(".gz") else data)


def check_writable(path: Path) -> None:
    """Raise before hours of judging if the result could not be written.

    Raises:
        UserError: A name that does not tell the format, a missing or closed folder.
    """
    if not path.name.endswith(WRITTEN):
        raise UserError(f"--out {path}: the name does not say the format; accepted: {', '.join(WRITTEN)}")
    if path.is_dir():
        raise UserError(f"--out {path} is a folder; name a file in it, such as {path / 'scores.jsonl'}")
    if not path.parent.is_dir():
        raise UserError(f"--out {path}: there is no folder {path.parent}; make it, or choose another place")
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise UserError(f"--out {path} cannot be written: {error.strerror}; choose another place") from error


def _csv_rows(path: Path, text: str) -> Iterator[Row]:
    csv.field_size_limit(LONGEST_LINE)
    if text.lstrip().startswith(("{", "[{")):
        kind = ".jsonl" if text.lstrip()[0] == "{" else ".json"
        raise UserError(f"{path}: holds JSON, not CSV; rename it to {kind}")
    named = _EXCEL.match(text)
    text = text[named.end() :] if named else text
    delimiter = named[1] if named else max(_DELIMITERS, key=lambda d: len(_header(text, d)))
    header = [from_spreadsheet(name.strip()) for name in _header(text, delimiter)]
    twice = sorted({name for name in header if name and header.count(name) > 1})
    if twice:
        raise UserError(f"{path}: the header names {', '.join(map(repr, twice))} twice; rename one")
    # Strict: a quote out of place would join rows or shift their cells.
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        next(reader, None)
        rows = [(reader.line_num, cells) for cells in reader if any(map(str.strip, cells))]
    except csv.Error as error:
        raise UserError(
            f"{path}, line {reader.line_num}: not CSV ({error}); is a quote not closed?"
        ) from error
    filled = max(
        (place for _, cells in rows for place, cell in enumerate(cells, 1) if cell.strip()), default=0
    )
    while len(header) > filled and not header[-1]:
        header.pop()  # nameless and empty, behind the last column
    names = [name or f"column {place}" for place, name in enumerate(header, 1)]
    for line, cells in rows:
        if len(cells) < len(names) or any(map(str.strip, cells[len(names) :])):
            raise UserError(
                f"{path}, line {line}: {len(cells)} cells, but the header has {len(names)} (separated by "
                f"{delimiter!r}); put texts with a separator or a line break into quotes"
            )
        yield dict(zip(names, map(from_spreadsheet, cells), strict=False))


def _header(text: str, delimiter: str) -> list[str]:
    return next(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter), [])


def _json_rows(path: Path, text: str) -> Iterator[Row]:
    if text.lstrip().startswith("["):
        values: Iterable[tuple[int, Any]] = enumerate(_parsed(text, str(path)), 1)
        where = "item"
    else:
        # Not splitlines(): it also breaks at U+2028 and other characters that may stand inside a JSON string.
        lines = ((number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip())
        values = ((number, _parsed(line, f"{path}, line {number}")) for number, line in lines)
        where = "line"
    for number, row in values:
        if not isinstance(row, dict):
            raise UserError(
                f"{path}, {where} {number}: a JSON object is expected, this is {type(row).__name__}"
            )
        yield row


def _parsed(text: str, where: str) -> Any:
    if len(text) > LONGEST_LINE and not text.lstrip().startswith("["):
        raise UserError(f"{where}: longer than {LONGEST_LINE} characters; one object per line is expected")
    try:
        return parse_json(text, where)
    except UserError as error:
        raise UserError(
            f"{error}; one object per line is expected, or an array of objects (pandas: to_json(path, "
            "orient='records', lines=True))"
        ) from error


def _line(row: Row) -> str:
    value = plain_json(row)
    line = json.dumps(value, ensure_ascii=False)
    try:
        line.encode()
    except UnicodeEncodeError:  # half of a surrogate pair: only the escaped form is UTF-8
        line = json.dumps(value)
    return line + "\n"


def _cell(value: Any) -> Any:
    value = plain_json(value)
    if value is None:
        return ""
    value = json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value
    return value if isinstance(value, str) and NUMBER.fullmatch(value) else for_spreadsheet(value)
