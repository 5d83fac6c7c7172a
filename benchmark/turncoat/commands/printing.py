"""Printing that commands share: tables of numbers, notes beside the output, records as JSON."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from turncoat.shown_text import TextConsole, visible


def notes() -> Console:
    """A console on standard error, for what is not the command's output. Lines are not broken."""
    return TextConsole(stderr=True, soft_wrap=True)


def note(text: str, style: str = "") -> None:
    """Print a line on standard error; all of it is shown as text."""
    print_line(notes(), text, style)


def print_line(console: Console, text: str, style: str = "") -> None:
    """Print a line that is not broken at the console's width; all of it is shown as text."""
    console.print(Text(visible(text), style=style), soft_wrap=True)


def table(words: Sequence[str], numbers: Sequence[str], *, gap: int = 1) -> Table:
    """An empty table without lines: columns of words (left), then of numbers (right); nothing wraps."""
    made = Table(box=None, padding=(0, gap, 0, 0), pad_edge=False)
    for heading in words:
        made.add_column(heading, no_wrap=True)
    for heading in numbers:
        made.add_column(heading, justify="right", no_wrap=True)
    return made


def titled(console: Console, title: str, made: Table) -> None:
    """Print a title above its table: a table's own title would be broken at the table's width."""
    print_line(console, title, "italic")
    console.print(made)


def print_json(records: Iterable[dict[str, Any]]) -> None:
    """One JSON object per line; an undefined value is null, never NaN."""
    for record in records:
        print(visible(json.dumps(record, ensure_ascii=False, allow_nan=False)))
