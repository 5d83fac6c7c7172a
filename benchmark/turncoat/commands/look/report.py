"""`turncoat report`: the report of a run made again from its rows."""

from pathlib import Path
from typing import Annotated

import typer

from turncoat.commands.options import IncludePath, plug_ins
from turncoat.commands.printing import print_line
from turncoat.paths import run_folder
from turncoat.shown_text import TextConsole


def report(
    folder: Annotated[Path, typer.Argument(help="A run folder (it holds study.yaml and rows/).")],
    robustness: Annotated[
        bool,
        typer.Option("--robustness", help="Also other thresholds, incoherent answers, single questions."),
    ] = False,
    include_path: IncludePath = None,
) -> None:
    """Make the report of a run again from its rows.

    Example: turncoat report runs/demo
    """
    run_folder(folder)
    from turncoat.report.build import run_content
    from turncoat.report.robustness import robustness_lines
    from turncoat.report.write import report_run

    plug_ins(include_path)
    console = TextConsole()
    report_run(folder, console)
    if robustness:
        print_line(console, "\n".join(["", "Robustness", *robustness_lines(run_content(folder))]))
