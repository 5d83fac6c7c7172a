"""Page of the calibration table, written between two markers of the statistics' README."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from turncoat.errors import UserError
from turncoat.tools.calibrate import (
    QUESTIONS,
    SEEDS,
    Null,
    calibration,
    markdown_table,
    monte_carlo_error,
    verdicts,
)

BEGIN, END = "<!-- calibration: begin -->", "<!-- calibration: end -->"
_HARD_QUESTIONS, _HARD_SEEDS = (8, 48), (5,)
_RARE = "Rare events: a rate of 0.03, SD 0.05 between questions (0.03 of the difference), 0.01 between seeds."
_HARD = {
    "Skewed differences: an arm against an untrained one whose questions hardly differ (SD 0.05).": Null(
        sd_reference=0.05
    ),
    _RARE: Null(mean=0.03, sd_question=0.05, sd_difference=0.03, sd_seed=0.01),
}
_HARD_CELLS = len(_HARD) * len(_HARD_QUESTIONS) * len(_HARD_SEEDS)
CELLS = len(QUESTIONS) * len(SEEDS) + _HARD_CELLS  # rows of all tables


def replaced(path: Path, text: str) -> str:
    """The file's content with the part between the markers replaced; a new file gets both markers.

    Raises:
        UserError: The file has no markers.
    """
    part = f"{BEGIN}\n{text}\n{END}"
    if not path.exists():
        return part + "\n"
    content = path.read_text(encoding="utf-8")
    begin, end = content.find(BEGIN), content.find(END)
    if not 0 <= begin < end:
        raise UserError(f"--write {path}: it lacks '{BEGIN}', then '{END}'; add both or name a new file")
    return content[:begin] + part + content[end + len(END) :]


def calibration_page(replicates: int, seed: int, on_replicate: Callable[[], None]) -> str:
    """The text between the markers; `replicates` experiments for each of `CELLS` rows."""

    def run(null: Null, questions: tuple[int, ...], seeds: tuple[int, ...]) -> pd.DataFrame:
        return calibration(null, questions, seeds, replicates, seed, on_progress=on_replicate)

    plain = Null()
    main = run(plain, QUESTIONS, SEEDS)
    error = 100 * monte_carlo_error(0.05, replicates)
    lines = [
        f"Made by `turncoat stats calibrate --replicates {replicates} --seed {seed}`: {replicates} simulated "
        "experiments per row, two arms without a difference, in per cent. Two Monte-Carlo standard errors "
        f"are {error:.1f} points.",
        "",
        f"Rates of mean {plain.mean:g}; SD between questions {plain.sd_question:g} (of the difference "
        f"{plain.sd_difference:g}), between training seeds {plain.sd_seed:g} per arm; {plain.samples} "
        "answers per question and seed.",
        "",
        *_table_lines(main),
        "",
        "Harder nulls, to show where it ends:",
    ]
    for title, null in _HARD.items():
        lines += ["", title, "", *_table_lines(run(null, _HARD_QUESTIONS, _HARD_SEEDS))]
    return "\n".join(lines)


def _table_lines(rows: pd.DataFrame) -> list[str]:
    deviations = verdicts(rows)
    if not deviations:
        summary = [
            "Beyond Monte-Carlo error no test rejects more than 5 % and every interval covers 93 to 97 %."
        ]
    else:
        summary = ["Beyond Monte-Carlo error:", "", *(f"* {text}" for text in deviations)]
    return [*markdown_table(rows), "", *summary]
