"""`turncoat stats calibrate`: the tests on data whose truth is known."""

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress

from turncoat.commands.printing import note
from turncoat.errors import UserError
from turncoat.safe_files import write_file
from turncoat.shown_text import TextConsole


def calibrate(
    replicates: Annotated[int, typer.Option(help="Simulated experiments per row of the table.")] = 1000,
    seed: Annotated[int, typer.Option(help="Seed of the simulation.")] = 0,
    write: Annotated[Path | None, typer.Option(help="Put the table into this file.")] = None,
) -> None:
    """Simulate experiments without an effect: how often a default test rejects, a default interval covers.

    Example: turncoat stats calibrate --write benchmark/turncoat/stats/README.md
    """
    if replicates < 1:
        raise UserError(f"--replicates {replicates}: accepted: 1 or more")
    from turncoat.tools.calibrate_rates import rate_table
    from turncoat.tools.calibration_page import CELLS, calibration_page, replaced

    if write is not None:
        replaced(write, "")  # a file without markers is refused before the simulation
    with Progress(console=TextConsole(stderr=True)) as progress:
        task = progress.add_task("simulating", total=CELLS * replicates)
        text = calibration_page(replicates, seed, lambda: progress.advance(task))
        text = "\n".join([text, "", *rate_table(replicates, seed)])
    if write is None:
        print(text)
    else:
        write_file(write, replaced(write, text))
        note(f"written: {write}")
