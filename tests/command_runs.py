"""A command run in this process, and the tables that it reads."""

import csv
import gzip
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import typer
from typer.testing import CliRunner, Result


def run_command(command: Callable[..., Any], *arguments: object) -> Result:
    """Result of a command that ends well; a mistake of the user's comes out as its exception."""
    app = typer.Typer()
    app.command()(command)
    done = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done


def write(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    """Write rows as CSV or as JSON lines, plain or gzipped, by the name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if ".csv" in path.name:
        with path.open("w", newline="", encoding="utf-8") as handle:
            writer = csv.DictWriter(handle, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        return path
    data = "".join(json.dumps(row) + "\n" for row in rows).encode()
    path.write_bytes(gzip.compress(data) if path.name.endswith(".gz") else data)
    return path
