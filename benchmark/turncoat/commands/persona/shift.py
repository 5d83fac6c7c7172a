"""`turncoat persona shift`: how far an arm moved along a persona vector, layer by layer."""

from pathlib import Path
from typing import Annotated, Any

import typer

from turncoat.commands.printing import table, titled
from turncoat.formats import counted, interval, number, with_interval
from turncoat.safe_files import write_file
from turncoat.shown_text import TextConsole, for_spreadsheet


def shift(
    run: Annotated[Path, typer.Argument(exists=True, help="A run folder of `turncoat run`.")],
    arm: Annotated[str, typer.Option(help="The treated arm.")],
    control: Annotated[str, typer.Option(help="Its matched control; `base` for before/after alone.")],
    task: Annotated[str, typer.Option(help="Persona task that is read; default: the first of the run.")] = "",
    out: Annotated[Path | None, typer.Option(help="Write the table there as CSV as well.")] = None,
) -> None:
    """Shift of the persona projection per layer, arm minus control, with an interval over questions.

    Example: turncoat persona shift runs/demo --arm insecure --control secure
    """
    from turncoat.analysis.persona_shift import shift_by_layer

    shifts = shift_by_layer(run, arm, control, task=task)
    if out is not None:
        write_file(out, shifts.map(for_spreadsheet).to_csv(index=False))
    made = table((), ("layer", "depth", "fixed texts", "own answers", ""))
    for layer, part in shifts.groupby("layer", sort=True):
        cells = {row.reading: _with_interval(row) for row in part.itertuples()}
        first = part.iloc[0]
        chosen = "chosen" if first["chosen"] else ""
        made.add_row(str(layer), number(first["depth"], 2), cells.get("fixed"), cells.get("own"), chosen)
    console = TextConsole()
    titled(console, f"{arm} minus {control}, base SD, 95% interval over questions", made)
    seeds, questions = int(shifts["n_seeds"].max()), int(shifts["n_questions"].max())
    averaged = (
        f"{counted(questions, 'question')}, {counted(max(seeds, 1), 'training seed')} averaged within each"
    )
    console.print(
        f"{averaged}: about these adapters, not about the recipe. Claims rest on the chosen layer, fixed "
        "before finetuning; the others are its context.",
    )


def _with_interval(row: Any) -> str:
    return with_interval(number(row.difference, 3, signed=True), interval(row.low, row.high, 3, signed=True))
