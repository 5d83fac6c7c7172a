"""`turncoat validate`: whether an entry may stand on the board. `cli.py` registers the function."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from turncoat.commands.library_noise import quiet_libraries


def validate(
    entries: Annotated[
        list[Path], typer.Argument(metavar="ENTRY...", help="Entry folders (they hold submission.json).")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per finding and line.")] = False,
) -> None:
    """Check entries of the leaderboard: every number is recomputed from rows; anything that does not follow is refused.

    Says for each finding the rule, file, line, field, value, what is allowed and how to mend it. Exit status 1 if any
    entry is refused. Nothing of an entry is run, unpickled or fetched.

    Example: turncoat validate results/submissions/*
    """
    quiet_libraries()
    from turncoat.errors import UserError
    from turncoat.leaderboard.entry.load import SUBMISSION
    from turncoat.leaderboard.reading.findings import summary
    from turncoat.leaderboard.validation.validate import validate_entry

    notes = Console(stderr=True, highlight=False, soft_wrap=True)
    refused = 0
    for folder in entries:
        if folder.is_file() and len(entries) > 1:  # a shell's results/submissions/* names the README as well
            continue
        if not folder.is_dir():
            raise UserError(f"{folder} is no folder; an entry is one with {SUBMISSION}: turncoat submit RUN makes it")
        with notes.status(Text(f"{folder}")) as status:
            findings = validate_entry(folder, lambda text, folder=folder: status.update(Text(f"{folder}: {text}")))  # type: ignore[misc]
        refused += bool(findings)
        if as_json:
            for finding in findings:
                print(json.dumps({"entry": folder.name, **asdict(finding)}), flush=True)
        elif findings:
            notes.print(
                Text(f"{folder}: refused, {len(findings)} finding{'s' * (len(findings) > 1)}", style="bold red")
            )
            notes.print(Text(summary(findings)))
        else:
            notes.print(Text(f"{folder}: accepted", style="green"))
    if refused:
        raise typer.Exit(1)
