"""`turncoat leaderboard build`: the board's files from its entries."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from turncoat.commands.printing import print_line
from turncoat.errors import UserError
from turncoat.shown_text import TextConsole, visible

if TYPE_CHECKING:
    from turncoat.leaderboard.board.build import Built

_DIFF_LINES = 40


def build(
    submissions: Annotated[
        Path, typer.Argument(exists=True, file_okay=False, help="Folder with one folder per entry.")
    ] = Path("results/submissions"),
    out: Annotated[Path | None, typer.Option(help="Default: the folder that holds SUBMISSIONS.")] = None,
    check: Annotated[bool, typer.Option("--check", help="Write nothing; fail if files differ.")] = False,
    skip_invalid: Annotated[
        bool,
        typer.Option(
            "--skip-invalid", help="Leave out invalid entries and incomplete boards, and list them."
        ),
    ] = False,
) -> None:
    """Make leaderboard.md, .csv and .html from the entries; every number is recomputed from rows.

    An invalid entry stops it with all that is wrong, and so does a canary that would be ranked, and a board
    without an undefended entry or without canaries.

    Example: turncoat leaderboard build results/submissions --check
    """
    from turncoat.leaderboard.board.build import build_boards, canaries_caught
    from turncoat.leaderboard.board.files import board_files
    from turncoat.safe_files import write_files

    built = build_boards(submissions, skip_invalid=skip_invalid)
    missed = [f"{board.id}: {slug}" for board in built.boards for slug in canaries_caught(board)]
    if missed:
        raise UserError(
            f"canaries that nothing caught: {', '.join(missed)}. An entry like it would be ranked as a "
            "defence: change the flags (turncoat/leaderboard/ranking/flags.py), not the canary"
        )
    files = board_files(built)
    folder = submissions.resolve().parent if out is None else out
    if check:
        _check(folder, files)
    else:
        write_files(folder, files)
    _print(built, folder, check)


def _check(folder: Path, files: dict[str, bytes]) -> None:
    """Exit 1 with a diff where a file is missing or another."""
    stale = []
    for name, content in files.items():
        path = folder / name
        there = path.read_bytes() if path.is_file() else b""
        if there == content:
            continue
        stale.append(name)
        if name.endswith(".html"):
            continue  # its lines are too long to read; the table in the Markdown file says the same
        old, new = (text.decode("utf-8", "replace").splitlines() for text in (there, content))
        lines = list(difflib.unified_diff(old, new, f"{path} (there)", f"{path} (built)", lineterm="", n=0))
        for line in lines[:_DIFF_LINES]:
            typer.echo(visible(line))
        if len(lines) > _DIFF_LINES:
            typer.echo(f"... {len(lines) - _DIFF_LINES} more lines")
    if stale:
        typer.echo(
            f"{', '.join(stale)} in {folder} are not what the entries give; run `turncoat leaderboard build`",
            err=True,
        )
        raise typer.Exit(1)


def _print(built: Built, folder: Path, check: bool) -> None:
    console = TextConsole()
    for board in built.boards:
        ranked = sum(row.rank is not None for row in board.rows)
        canaries = sum(row.kind == "canary" for row in board.rows)
        unranked = len(board.rows) - ranked - canaries
        print_line(console, f"{board.id}: {ranked} ranked, {unranked} not, {canaries} canaries caught")
    for slug, findings in sorted(built.refused.items()):
        rules = ", ".join(sorted({finding.rule for finding in findings}))
        print_line(console, f"left out: {slug} ({rules}); `turncoat leaderboard validate` says more")
    print_line(console, f"{folder} is up to date" if check else f"wrote {folder}/leaderboard.md, .csv, .html")
