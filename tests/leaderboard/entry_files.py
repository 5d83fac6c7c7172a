"""Files of an entry in tests: its rows and its facts, read, written and changed."""

import gzip
import hashlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from turncoat.leaderboard.entry.load import rows_name
from turncoat.leaderboard.reading.reader import list_files, rows_sha256

Row = dict[str, Any]


def read_rows(path: Path) -> list[Row]:
    """The rows of a packed file."""
    return [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]


def write_rows(path: Path, rows: Iterable[Row], level: int = 9) -> dict[str, Any]:
    """Write a packed file; returns its hash and length as submission.json has them."""
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.encode(), level, mtime=0))
    return {"sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "rows": text.count("\n")}


def rewrite_rows(home: Path, role: str, seed: str, task: str, change: Callable[[list[Row]], Any]) -> None:
    """Pass the rows of a file through `change(rows) -> rows` and set its hash and length right, so that the
    rows alone are wrong."""
    path = home / rows_name(role, seed, task)
    written = write_rows(path, change(read_rows(path)))
    edit(home, lambda told: told["rows"].update({f"{role}/{seed}/{task}": written}))


def facts_of(home: Path) -> dict[str, Any]:
    """submission.json."""
    return dict(json.loads((home / "submission.json").read_text(encoding="utf-8")))


def write_facts(home: Path, facts: dict[str, Any]) -> None:
    """Write submission.json."""
    home.mkdir(parents=True, exist_ok=True)
    (home / "submission.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


def edit(home: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change submission.json: `change(facts)` in place."""
    facts = facts_of(home)
    change(facts)
    write_facts(home, facts)


def put(**facts: Any) -> Callable[[dict[str, Any]], None]:
    """A change that sets fields, dots as double underscores."""

    def change(told: dict[str, Any]) -> None:
        for path, value in facts.items():
            *above, last = path.split("__")
            here = told
            for part in above:
                here = here[part]
            here[last] = value

    return change


def shares(folder: Path, role: str, other: str) -> dict[str, str]:
    """A role's rows of another entry in the folder, as the facts name them."""
    return {"entry": other, "rows_sha256": rows_sha256(list_files(folder / other), f"rows/{role}/")}
