"""`turncoat persona detect`: do persona readings tell organisms from their controls, on organisms unseen?"""

from pathlib import Path
from typing import Annotated

import typer

from turncoat.commands.printing import table, titled
from turncoat.formats import counted, interval, number, with_interval
from turncoat.safe_files import write_file
from turncoat.shown_text import TextConsole, for_spreadsheet


def detect(
    runs: Annotated[list[Path], typer.Argument(help="Run folders of one base model, 2 organisms or more.")],
    judged_above: Annotated[
        float | None,
        typer.Option(
            help="Detect checkpoints judged misaligned more often than the base by more than this share; "
            "default: those trained on an organism."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Write every checkpoint's score there as CSV as well.")
    ] = None,
) -> None:
    """Detector trained on some organisms and their controls, tested on the organism that was left out.

    Example: turncoat persona detect results/organisms results/demo_qwen
    """
    import pandas as pd

    from turncoat.report.run_rows import find_runs
    from turncoat.tools.persona_detector import detect

    loaded = [run for folder in runs for run in find_runs(folder)]
    made = detect(loaded, judged_above=judged_above)
    if out is not None:
        scores = pd.concat([one.scores.assign(detector=one.name) for one in made], ignore_index=True)
        write_file(out, scores.map(for_spreadsheet).to_csv(index=False))
    auc = made[0].auc
    shown = table(("detector",), ("AUC [95% CI]", "missed", "false alarms"))
    for one in made:
        ends = with_interval(number(one.auc.value, 2), interval(one.auc.low, one.auc.high, 2))
        missed, alarms = one.errors
        shares = (f"{missed} of {auc.n_positive}", f"{alarms} of {auc.n_negative}")
        shown.add_row(one.name, ends, *shares)
    apart = table(("left out",), [one.name for one in made])
    for organism in made[0].by_organism:
        apart.add_row(organism, *(number(one.by_organism[organism], 2) for one in made))
    console = TextConsole()
    what = "an organism" if judged_above is None else f"judged above the base by more than {judged_above:g}"
    titled(console, f"Is this checkpoint {what}? On organisms left out", shown)
    titled(console, "AUC within each organism and its control", apart)
    points = counted(auc.n_positive + auc.n_negative, "checkpoint")
    organisms = counted(len(made[0].by_organism), "organism")
    console.print(
        f"{points} of {counted(auc.n_clusters, 'training')} of an organism with its control (the clusters); "
        f"{organisms}, each left out once with its control and all its seeds. The intervals are about other "
        f"trainings of these organisms, not about other organisms. Persona readings: "
        f"{', '.join(made[0].features)}."
    )
    barred = sorted({name for run in loaded for name in run.barred} & set(made[0].features))
    if barred:
        console.print(f"Of vectors that fail their card: {', '.join(barred)}.")
