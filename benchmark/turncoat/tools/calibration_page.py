"""Page of the calibration table, written between two markers of the statistics' README."""

from collections.abc import Callable
from pathlib import Path
from textwrap import fill

import pandas as pd

from turncoat.errors import UserError
from turncoat.tools import hard_nulls
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
_WIDTH = 110
_ADAPTERS, _RECIPE = 8, 4  # times as many experiments on the harder nulls
_RARE = "Rare events: a rate of 0.03, SD 0.05 between questions (0.03 of the difference), 0.01 between seeds."
_HARD = {
    "Skewed differences: an arm against an untrained one whose questions hardly differ (SD 0.05).": Null(
        sd_reference=0.05
    ),
    _RARE: Null(mean=0.03, sd_question=0.05, sd_difference=0.03, sd_seed=0.01),
}
_HARD_CELLS = len(_HARD) * len(_HARD_QUESTIONS) * len(_HARD_SEEDS)
CELLS = len(QUESTIONS) * len(SEEDS) + _HARD_CELLS + hard_nulls.CELLS  # of all tables


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
    """The text between the markers; `replicates` steps of progress for each of `CELLS` cells."""

    def run(null: Null, questions: tuple[int, ...], seeds: tuple[int, ...]) -> pd.DataFrame:
        return calibration(null, questions, seeds, replicates, seed, on_progress=on_replicate)

    plain = Null()
    main = run(plain, QUESTIONS, SEEDS)
    error = 100 * monte_carlo_error(0.05, replicates)

    def cell_done() -> None:
        for _ in range(replicates):
            on_replicate()

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
        "Harder rates:",
    ]
    for title, null in _HARD.items():
        lines += ["", title, "", *_table_lines(run(null, _HARD_QUESTIONS, _HARD_SEEDS))]
    adapters = hard_nulls.adapters_rows(_ADAPTERS * replicates, seed, cell_done)
    recipe = hard_nulls.recipe_rows(_RECIPE * replicates, seed, cell_done)
    power = hard_nulls.power_rows(_RECIPE * replicates, seed, cell_done)
    lines += _hard_lines(adapters, recipe, power, replicates)
    return "\n".join(line if line.startswith("|") else fill(line, _WIDTH) for line in lines)


def _hard_lines(
    adapters: pd.DataFrame, recipe: pd.DataFrame, power: pd.DataFrame, replicates: int
) -> list[str]:
    """Tables of `turncoat.tools.hard_nulls`: by the t tests alone / marked, in per cent."""
    errors = [100 * monte_carlo_error(0.05, n) for n in (_ADAPTERS * replicates, _RECIPE * replicates)]
    power_error = 100 * monte_carlo_error(0.8, _RECIPE * replicates)
    over = [*hard_nulls.over_goal(adapters), *hard_nulls.over_goal(recipe)]
    shown = adapters.assign(
        pattern=adapters["pattern"].where(adapters["fitted"], adapters["pattern"] + " (held out)"),
        cell=_both(adapters, "t", "marked"),
    )
    found = power.assign(cell=_both(power, "power_1", "power_6"))
    return [
        "",
        "Nulls on which tests of a mean fail. Each cell: p < .05 by the t tests alone / marked, in per cent.",
        "",
        f"About these adapters, {_ADAPTERS * replicates} experiments a cell (two Monte-Carlo standard errors "
        f"{errors[0]:.1f} points), by the number of questions. The rule for marks was set on the other "
        "patterns than those held out.",
        "",
        *_wide(shown, ["pattern"], "questions"),
        "",
        f"About the recipe, {_RECIPE * replicates} experiments a cell ({errors[1]:.1f} points), by the "
        "number of training seeds. Fewer than 6 are never marked.",
        "",
        *_wide(recipe.assign(cell=_both(recipe, "t", "marked")), ["pattern", "questions"], "seeds"),
        "",
        "Marked in over 7 % from 24 questions and 5 seeds on. A sample that holds nothing of what carries "
        "the difference shows a constant one, which no test tells from a true difference:",
        "",
        *(f"* {line}" for line in over or ["none"]),
        "",
        f"Power of a recipe claim at the detectable effect of `turncoat power`, meant to be 80 %: alone / at "
        f"the strictest of 6 tests; {_RECIPE * replicates} experiments a cell ({power_error:.1f} points).",
        "",
        *_wide(found, ["pattern", "questions"], "seeds"),
    ]


def _both(rows: pd.DataFrame, first: str, second: str) -> pd.Series:
    return rows[first].map(_percent) + " / " + rows[second].map(_percent)


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def _wide(rows: pd.DataFrame, index: list[str], columns: str) -> list[str]:
    """A Markdown table of the column `cell`, with a column for each value of `columns`."""
    names = list(dict.fromkeys(rows[columns]))
    lines = ["| " + " | ".join([*index, *(f"{name} {columns}" for name in names)]) + " |"]
    lines.append("| " + " | ".join(["---"] * len(index) + ["---:"] * len(names)) + " |")
    for key, group in rows.groupby(index, sort=False):
        by_name = dict(zip(group[columns], group["cell"], strict=True))
        lines.append("| " + " | ".join([*map(str, key), *(by_name[name] for name in names)]) + " |")
    return lines


def _table_lines(rows: pd.DataFrame) -> list[str]:
    deviations = verdicts(rows)
    if not deviations:
        summary = [
            "Beyond Monte-Carlo error no test rejects more than 5 % and every interval covers 93 to 97 %."
        ]
    else:
        summary = ["Beyond Monte-Carlo error:", "", *(f"* {text}" for text in deviations)]
    return [*markdown_table(rows), "", *summary]
