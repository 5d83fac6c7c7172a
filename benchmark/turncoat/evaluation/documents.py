"""Question files (JSON Lines) as lm-eval datasets."""

from pathlib import Path
from typing import Any

from datasets import Dataset

from turncoat.errors import UserError
from turncoat.text_files import parse_json, read_text


def read_documents(path: Path, **constants: Any) -> dict[str, Dataset]:
    """`{"test": Dataset}` of the file's objects, each with the `constants` added.

    Raises:
        UserError: A line is not JSON, an `id` is missing or given twice.
    """
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(read_text(path).split("\n"), 1):
        if not line.strip():
            continue
        row = parse_json(line, f"{path}, line {number}")
        if not isinstance(row, dict) or not row.get("id"):
            raise UserError(f"{path}, line {number}: every question needs an 'id'")
        rows.append({**row, **constants})
    ids = [row["id"] for row in rows]
    twice = sorted({i for i in ids if ids.count(i) > 1})
    if twice:
        raise UserError(f"{path}: id {twice[0]!r} is given twice; questions are identified by it")
    return {"test": Dataset.from_list(rows)}
