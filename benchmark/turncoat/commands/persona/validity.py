"""`turncoat persona validity`: does a vector's shift rank arms as a judge of their answers does?"""

from pathlib import Path
from typing import Annotated

import typer

from turncoat.commands.printing import table, titled
from turncoat.formats import interval, number, with_interval
from turncoat.safe_files import write_file
from turncoat.shown_text import TextConsole, for_spreadsheet


def validity(
    runs: Annotated[list[Path], typer.Argument(help="Run folders of one base model and one persona.")],
    persona: Annotated[str, typer.Option(help="Metric of the shift.")] = "persona_fixed",
    misaligned: Annotated[str, typer.Option(help="Metric of judged answers.")] = "em_rate_itt",
    out: Annotated[Path | None, typer.Option(help="Write the pairs there as CSV as well.")] = None,
) -> None:
    """Correlation over pairs of arms between persona shift and judged misalignment, both beyond the control.

    Example: turncoat persona validity results/organisms
    """
    from turncoat.report.run_rows import find_runs
    from turncoat.tools.persona_validity import RANKS_FROM, validity

    measured = validity(
        [run for folder in runs for run in find_runs(folder)], persona=persona, misaligned=misaligned
    )
    if out is not None:
        write_file(out, measured.pairs.map(for_spreadsheet).to_csv(index=False))
    made = table((), ("treated - reference", "seed", persona, misaligned))
    for row in measured.pairs.sort_values("persona").itertuples():
        pair = f"{row.run}: {row.treated} - {row.reference}"
        values = (number(value, 3, signed=True) for value in (row.persona, row.misaligned))
        made.add_row(pair, str(row.seed), *values)
    console = TextConsole()
    titled(console, "Treated minus reference, means over questions", made)
    of = with_interval(
        number(measured.spearman, 2, signed=True), interval(measured.low, measured.high, 2, signed=True)
    )
    verdict = "may rank arms" if measured.ranks else "does not rank arms"
    console.print(
        f"Spearman {of} over {len(measured.pairs)} pairs: by the rule (at least {RANKS_FROM:g}) the vector "
        f"{verdict}."
    )
