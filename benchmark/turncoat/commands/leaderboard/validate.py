"""`turncoat leaderboard validate`: the checks that an entry has to pass."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.status import Status
from rich.text import Text

from turncoat.commands.options import Json
from turncoat.commands.printing import note, notes
from turncoat.errors import UserError
from turncoat.formats import counted

if TYPE_CHECKING:
    from turncoat.leaderboard.reading.findings import Finding


def validate(
    entries: Annotated[list[Path], typer.Argument(metavar="ENTRY...", help="Folders with submission.json.")],
    rejudge: Annotated[
        bool, typer.Option("--rejudge", help="Score all answers again that the embedded judge scored.")
    ] = False,
    reread: Annotated[
        int, typer.Option(min=0, metavar="N", help="Read N answers again with the base model.")
    ] = 0,
    as_json: Json = False,
    author: Annotated[
        str | None, typer.Option(help="Account that submits them: the number that GitHub gives it.")
    ] = None,
) -> None:
    """Check entries of the leaderboard: every number is recomputed from rows, and must follow from them.

    Says for each finding the rule, file, line, field, value, what is allowed and how to fix it; with --json
    one finding a line. Exit status 1 if any entry is refused. What could not be checked here is named.
    Nothing of an entry is run or fetched. With --author, an entry may supersede only those of the same
    account, or as the maintainers' file grants. --rejudge takes 0.1 to 0.2 seconds of CPU an answer.

    Example: turncoat leaderboard validate results/submissions/*

    Example: turncoat leaderboard validate results/submissions/sgtr-insecure --rejudge --reread 16
    """
    if len(entries) > 1:  # a shell's results/submissions/* names the README as well
        entries = [entry for entry in entries if not entry.is_file()]
    for entry in entries:
        if not entry.is_dir():
            raise UserError(
                f"{entry} is not a folder; an entry is one with submission.json: `turncoat leaderboard "
                "submit RUN` makes it"
            )
    from turncoat.leaderboard.entry.load import load_entry
    from turncoat.leaderboard.entry.maintainers import FILE
    from turncoat.leaderboard.reading.findings import summary
    from turncoat.leaderboard.validation.validate import unchecked, validate_entry

    refused = 0
    for folder in entries:
        with notes().status(Text(str(folder))) as status:
            show = partial(_show, status, folder)
            findings = validate_entry(folder, show, author=author)
            if (rejudge or reread) and not findings:
                findings = _again(folder, rejudge, reread, show)
        refused += bool(findings)
        if as_json:
            for finding in findings:
                print(json.dumps({"entry": folder.name, **asdict(finding)}), flush=True)
        elif findings:
            note(f"{folder}: refused, {counted(len(findings), 'finding')}", "bold red")
            note(summary(findings))
        else:
            read = load_entry(folder)
            rows = sum(file.rows for file in read.submission.rows.values())
            note(
                f"{folder}: accepted; {counted(rows, 'row')} checked, every number follows from them", "green"
            )
            if author is not None:
                note(f"after the merge, authors in {FILE}: {folder.resolve().name}: {author}")
            for text in unchecked(read):
                note(f"{folder}: {text}")
    if refused:
        raise typer.Exit(1)


def _again(folder: Path, rejudge: bool, reread: int, show: Callable[[str], None]) -> list[Finding]:
    from turncoat.leaderboard.entry.load import load_entry
    from turncoat.leaderboard.verification.stored_answers import judge_all, read_again

    entry = load_entry(folder)
    findings: list[Finding] = []
    if rejudge:
        show("scores")
        findings += judge_all(entry)
    if reread:
        show("the base model's readings")
        findings += read_again(entry, reread)
    return findings


def _show(status: Status, folder: Path, text: str) -> None:
    status.update(Text(f"{folder}: {text}"))
