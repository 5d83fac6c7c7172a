"""`turncoat stats calibrate`: the tests on data whose truth is known. `cli.py` adds `stats_app` as `stats`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from turncoat.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

    from turncoat.tools.calibrate import Null

stats_app = typer.Typer(
    help="The statistics themselves: are the tests and intervals right on data whose truth is known?\n\n"
    "Example: turncoat stats calibrate --replicates 100",
    no_args_is_help=True,
    rich_markup_mode=None,
)

BEGIN, END = "<!-- calibration: begin -->", "<!-- calibration: end -->"
_HARD_QUESTIONS, _HARD_SEEDS = (8, 48), (5,)


@stats_app.callback()
def _stats() -> None:
    """Statistics."""


@stats_app.command("calibrate")
def calibrate(
    replicates: Annotated[int, typer.Option(help="Simulated experiments per row of the table.")] = 1000,
    seed: Annotated[int, typer.Option(help="Seed of the simulation.")] = 0,
    write: Annotated[
        Path | None, typer.Option(help="Put the table here: a new file, or one with the two calibration markers.")
    ] = None,
) -> None:
    """Simulate experiments without an effect: how often each default test rejects, each default interval covers.

    Example: turncoat stats calibrate --write benchmark/turncoat/stats/README.md
    """
    if replicates < 1:
        raise UserError(f"--replicates {replicates}: accepted: 1 or more")
    if write is not None:
        replaced(write, "")  # a file without markers is told before the simulation, not after
    text = "\n".join(calibration_page(replicates, seed))
    if write is None:
        print(text)
    else:
        write.write_text(replaced(write, text), encoding="utf-8")
        Console(stderr=True).print(f"written: {write}", highlight=False)


def replaced(path: Path, text: str) -> str:
    """The file's content with the part between the markers replaced; a file that is not there gets both markers.

    Raises:
        UserError: The file has no markers.
    """
    part = f"{BEGIN}\n{text}\n{END}"
    if not path.exists():
        return part + "\n"
    content = path.read_text(encoding="utf-8")
    begin, end = content.find(BEGIN), content.find(END)
    if not 0 <= begin < end:
        raise UserError(f"--write {path}: it has no line '{BEGIN}' followed by '{END}'; add both, or name a new file")
    return content[:begin] + part + content[end + len(END) :]


def calibration_page(replicates: int, seed: int) -> list[str]:
    """The lines between the markers."""
    from turncoat.tools.calibrate import (
        QUESTIONS,
        SEEDS,
        Null,
        calibration,
        markdown_table,
        monte_carlo_error,
        verdicts,
    )

    plain = Null()
    hard = {
        "Skewed differences: an arm against an untrained one whose questions hardly differ (SD 0.05).": Null(
            sd_reference=0.05
        ),
        "Rare events: a rate of 0.03, SD 0.05 between questions (0.03 of the difference), 0.01 between seeds.": Null(
            mean=0.03, sd_question=0.05, sd_difference=0.03, sd_seed=0.01
        ),
    }
    cells = len(QUESTIONS) * len(SEEDS) + len(hard) * len(_HARD_QUESTIONS) * len(_HARD_SEEDS)
    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task("simulating", total=cells * replicates)

        def run(null: Null, questions: tuple[int, ...], seeds: tuple[int, ...]) -> pd.DataFrame:
            return calibration(null, questions, seeds, replicates, seed, tick=lambda: progress.advance(task))

        main = run(plain, QUESTIONS, SEEDS)
        stress = {title: run(null, _HARD_QUESTIONS, _HARD_SEEDS) for title, null in hard.items()}
    errors = [100 * monte_carlo_error(share, replicates) for share in (0.05, 0.95)]
    lines = [
        f"Made by `turncoat stats calibrate --replicates {replicates} --seed {seed}`: {replicates} simulated experiments per "
        f"row, two arms without a difference, in per cent. Two Monte-Carlo standard errors are {errors[0]:.1f} points.",
        "",
        f"Rates of mean {plain.mean:g}; SD between questions {plain.sd_question:g} (of the difference {plain.sd_difference:g}), "
        f"between training seeds {plain.sd_seed:g} per arm; {plain.samples} answers per question and seed.",
        "",
        *markdown_table(main),
        "",
        *_verdict_lines(verdicts(main)),
        "",
        "Harder nulls, to show where it ends:",
    ]
    for title, rows in stress.items():
        lines += ["", title, "", *markdown_table(rows), "", *_verdict_lines(verdicts(rows))]
    return lines


def _verdict_lines(told: list[str]) -> list[str]:
    if not told:
        return ["Beyond Monte-Carlo error no test rejects more than 5 % and every interval covers 93 to 97 %."]
    return ["Beyond Monte-Carlo error:", "", *(f"* {line}" for line in told)]
