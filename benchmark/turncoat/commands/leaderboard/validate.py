"""`turncoat leaderboard validate`: the checks that an entry has to pass."""

import json
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.status import Status
from rich.text import Text

from turncoat.commands.options import Json
from turncoat.commands.printing import note, notes
from turncoat.errors import UserError


def validate(
    entries: Annotated[list[Path], typer.Argument(metavar="ENTRY...", help="Folders with submission.json.")],
    as_json: Json = False,
    author: Annotated[
        str | None, typer.Option(help="Account that submits them: the number that GitHub gives it.")
    ] = None,
) -> None:
    """Check entries of the leaderboard: every number is recomputed from rows, and must follow from them.

    Says for each finding the rule, file, line, field, value, what is allowed and how to fix it; with --json
    one finding a line. Exit status 1 if any entry is refused. Nothing of an entry is run or fetched. With
    --author, an entry may supersede only those of the same account, or as the maintainers' file grants.

    Example: turncoat leaderboard validate results/submissions/*
    """
    from turncoat.leaderboard.entry.load import SUBMISSION
    from turncoat.leaderboard.entry.maintainers import FILE
    from turncoat.leaderboard.reading.findings import summary
    from turncoat.leaderboard.validation.validate import validate_entry

    refused = 0
    for folder in entries:
        if folder.is_file() and len(entries) > 1:  # a shell's results/submissions/* names the README as well
            continue
        if not folder.is_dir():
            raise UserError(
                f"{folder} is not a folder; an entry is one with {SUBMISSION}: `turncoat leaderboard submit "
                "RUN` makes it"
            )
        with notes().status(Text(str(folder))) as status:
            findings = validate_entry(folder, partial(_show, status, folder), author=author)
        refused += bool(findings)
        if as_json:
            for finding in findings:
                print(json.dumps({"entry": folder.name, **asdict(finding)}), flush=True)
        elif findings:
            note(f"{folder}: refused, {len(findings)} finding{'s' * (len(findings) > 1)}", "bold red")
            note(summary(findings))
        else:
            note(f"{folder}: accepted", "green")
            if author is not None:
                note(f"after the merge, authors in {FILE}: {folder.resolve().name}: {author}")
    if refused:
        raise typer.Exit(1)


def _show(status: Status, folder: Path, text: str) -> None:
    status.update(Text(f"{folder}: {text}"))
