"""`turncoat leaderboard export`: an entry in another tool's format."""

from pathlib import Path
from typing import Annotated

import typer

from turncoat.commands.options import Day, day
from turncoat.errors import UserError

FORMATS = ("lm-eval", "hub", "every-eval-ever", "flat")  # as in leaderboard/exports.py, which imports pandas


def export(
    entry: Annotated[Path, typer.Argument(metavar="ENTRY", help="Entry folder (it holds submission.json).")],
    to: Annotated[
        str,
        typer.Option(
            help="lm-eval: results JSON per arm and seed. hub: .eval_results/*.yaml for a model repository. "
            "every-eval-ever: its schema, a log per arm. flat: one JSON object."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder to write into; files of the same name are replaced.")],
    dataset_id: Annotated[str, typer.Option(help="hub: OWNER/NAME of the data set.")] = "OWNER/turncoat",
    date: Day = None,
) -> None:
    """Write a valid entry in another format; every number is recomputed from its rows.

    Example: turncoat leaderboard export results/submissions/sgtr --to flat --out exports

    Example: turncoat leaderboard export results/submissions/sgtr --to hub --dataset-id me/turncoat --out mine
    """
    if to not in FORMATS:
        raise UserError(f"--to {to}: not known; accepted: {', '.join(FORMATS)}")
    options = {"dataset_id": dataset_id, "date": day(date)}
    from turncoat.leaderboard.entry.load import load_entry
    from turncoat.leaderboard.exports.formats import ExportOptions, export_entry
    from turncoat.leaderboard.reading.findings import EntryRefused
    from turncoat.leaderboard.validation.validate import validate_entry

    findings = validate_entry(entry)
    if findings:
        raise EntryRefused(findings)
    for path in export_entry(load_entry(entry), to, out, ExportOptions(**options)):
        print(path)
