"""Tables with one answer per row: CSV or one JSON object per line, plain or gzipped, by the file's name."""

import csv
import gzip
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from turncoat.errors import UserError
from turncoat.judges.base import plain_json

SUFFIXES = (".csv", ".jsonl", ".csv.gz", ".jsonl.gz")

Row = dict[str, Any]


def read_table(path: Path) -> Iterator[Row]:
    """The rows of a CSV (values stay the text they are) or of a file with one JSON object per line.

    Raises:
        UserError: Not UTF-8, no JSON object in a line, more fields than the header names.
    """
    opener = gzip.open if path.name.endswith(".gz") else open
    try:
        with opener(path, "rt", encoding="utf-8-sig", newline="") as handle:
            text = handle.read()
    except UnicodeDecodeError as error:
        bad = error.object[error.start]
        raise UserError(
            f"{path} is not UTF-8 (byte 0x{bad:02x}); convert it: iconv -f latin1 -t utf-8 {path.name} > "
            f"new{path.suffix}"
        ) from error
    except (OSError, EOFError) as error:
        raise UserError(f"{path} cannot be read: {error}") from error
    yield from (_csv_rows if ".csv" in path.name[-7:] else _json_rows)(path, text)


def write_table(path: Path, rows: Sequence[Row]) -> None:
    """Write rows as CSV or JSON lines, by the name; the file is complete or not there.

    Raises:
        UserError: It cannot be written.
    """
    check_writable(path)
    text = io.StringIO(newline="")
    if ".csv" in path.name[-7:]:
        columns = list(dict.fromkeys(column for row in rows for column in row))
        writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows({k: _cell(v) for k, v in row.items()} for row in rows)
    else:
        text.writelines(_line(row) for row in rows)
    data = text.getvalue().encode("utf-8", errors="replace")
    fresh = path.with_name(f".{path.name}.writing")
    try:
        fresh.write_bytes(gzip.compress(data, mtime=0) if path.name.endswith(".gz") else data)
        fresh.replace(path)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error}") from error
    finally:
        fresh.unlink(missing_ok=True)


def check_writable(path: Path) -> None:
    """Raise before hours of judging if the result could not be written.

    Raises:
        UserError: A name that does not tell the format, a missing or closed folder.
    """
    if not path.name.endswith(SUFFIXES):
        raise UserError(f"--out {path}: the name does not say the format; accepted: {', '.join(SUFFIXES)}")
    if path.is_dir():
        raise UserError(f"--out {path} is a folder; name a file in it, such as {path / 'scores.jsonl'}")
    probe = path.with_name(f".{path.name}.writing")
    try:
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UserError(f"--out {path} cannot be written: {error.strerror}; choose another place") from error


def _csv_rows(path: Path, text: str) -> Iterator[Row]:
    csv.field_size_limit(2**31 - 1)
    reader = csv.DictReader(io.StringIO(text, newline=""))
    header = list(reader.fieldnames or [])
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise UserError(f"{path}: the header names {', '.join(map(repr, twice))} twice; rename one")
    try:
        for row in reader:
            if None in row:
                raise UserError(f"{path}, line {reader.line_num}: more fields than the header, {len(header)}")
            yield {key: "" if value is None else value for key, value in row.items()}
    except csv.Error as error:
        raise UserError(f"{path}, line {reader.line_num}: not CSV ({error})") from error


def _json_rows(path: Path, text: str) -> Iterator[Row]:
    # Not splitlines(): it also breaks at U+2028 and other characters that may stand inside a JSON string.
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise UserError(f"{path}, line {number}: not JSON ({error})") from error
        if not isinstance(row, dict):
            raise UserError(f"{path}, line {number}: a JSON object is expected, this is {type(row).__name__}")
        yield row


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
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value
