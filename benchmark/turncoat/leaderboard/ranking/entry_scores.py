"""Scores of an entry as grids of questions by training seeds, and recipe claims about them.

The own arm of an entry is `defended`, and `organism` where nothing defends. Every interval of the board
covers new training seeds and new questions (`turncoat.stats.contrasts`, claim "recipe"), and that of a change
new extractions of the persona vector where the rows hold its re-extractions (`turncoat.stats.instrument`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import chain

import pandas as pd

from turncoat.analysis.persona_rows import readings_in
from turncoat.evaluation.task_catalogue import metric_names
from turncoat.evaluation.task_facts import readings
from turncoat.leaderboard.entry.load import Entry, seed_number
from turncoat.persona.evidence import AGAIN
from turncoat.stats.contrasts import Contrast, TooFewQuestions, filled_contrast, mean_difference
from turncoat.stats.instrument import grids_again, with_instrument
from turncoat.stats.paired import Differences, pair_differences, subtract
from turncoat.stats.scores import BASE_SEED, Grid, check_scores, grid

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Measured:
    """The scores of one entry, cut into grids as they are asked for."""

    own_role: str
    # (role, metric) -> its rows of the score table; metrics under the names of `metric_names`
    scores: Mapping[tuple[str, str], pd.DataFrame]
    # `persona_rows.COLUMNS`; empty where the rows hold no re-extractions of the persona vector
    again: pd.DataFrame = field(default_factory=pd.DataFrame, repr=False)
    _grids: dict[tuple[str, str], Grid] = field(default_factory=dict, repr=False)

    def grid(self, role: str, metric: str) -> Grid | None:
        """One role's values, questions by training seeds; None where it was not measured so."""
        key = (role, metric)
        if key not in self.scores:
            return None
        if key not in self._grids:
            self._grids[key] = grid(self.scores[key], role, metric)
        return self._grids[key]

    def change(self, metric: str, role: str = "", reference: str = "organism") -> Differences | None:
        """A role (default: the own one) minus a reference, cell by cell; None where one is not measured.

        The undefended organism minus itself is 0 in every cell: that is what an entry without a defence
        changes.
        """
        treated, other = self.grid(role or self.own_role, metric), self.grid(reference, metric)
        return None if treated is None or other is None else pair_differences(treated, other)

    def change_again(self, metric: str, role: str = "", reference: str = "organism") -> list[float]:
        """The mean of `change` under each re-extracted persona vector; empty where one role's rows have
        none."""
        sides = self.grid(role or self.own_role, metric), self.grid(reference, metric)
        if self.again.empty or sides[0] is None or sides[1] is None:
            return []
        remade = zip(*(grids_again(self.again, side) for side in sides if side is not None), strict=False)
        means = [mean_difference(pair, "recipe") for pair in remade]
        return [mean for mean in means if mean is not None]

    def claim(self, metric: str, role: str = "", reference: str = "organism") -> Contrast | None:
        """`claim` of a change, with the persona vector's own error."""
        made = claim(self.change(metric, role, reference))
        return made and with_instrument(made, self.change_again(metric, role, reference), CONFIDENCE)


def measure(entry: Entry) -> Measured:
    """Read an entry's rows.

    Raises:
        EntryRefused: A rows file is missing or may not be read.
    """
    names = {pair: name for name, pair in metric_names(tasks_of(entry)).items()}
    scores = entry.scores()
    pairs = list(zip(scores["task"], scores["metric"], strict=True))
    scores = scores.assign(metric=[names.get(pair, "") for pair in pairs])
    groups = check_scores(scores[scores["metric"] != ""]).groupby(["arm", "metric"])
    tables = {(str(role), str(metric)): rows for (role, metric), rows in groups}
    return Measured(own_role(entry), tables, _again(entry, names))


def _again(entry: Entry, names: Mapping[tuple[str, str], str]) -> pd.DataFrame:
    """Readings under re-extracted persona vectors; a file whose first row has none is not read on."""
    records = []
    for role, seed, task in entry.cells():
        if not readings(task):
            continue
        rows = (row for _, row in entry.rows(role, seed, task))
        first = next(rows, {})
        if not any(sample.get(key) for sample in first.get("samples") or [] for key in AGAIN.values()):
            continue
        records += [
            (role, seed_number(seed), names[task, metric], question, again)
            for metric, question, _, again in readings_in(chain([first], rows), readings(task))
        ]
    return pd.DataFrame.from_records(records, columns=["arm", "seed", "metric", "question", "again"])


def tasks_of(entry: Entry) -> list[str]:
    """Names of all tasks of an entry's board."""
    return [use.task for use in entry.track.tasks_for(entry.submission.organism.name)]


def own_role(entry: Entry) -> str:
    """The role that an entry is judged by."""
    return "organism" if entry.submission.defence.setting == "none" else "defended"


def claim(differences: Differences | None, name: str = "") -> Contrast | None:
    """Mean, interval and p for new training seeds and new questions; None where nothing is measured.

    With fewer than three training seeds there is a difference without an interval.
    """
    if differences is None:
        return None
    empty = Contrast(name, "", "recipe", "own", "reference")
    try:
        return filled_contrast(empty, differences, CONFIDENCE, None)
    except TooFewQuestions:
        return None


def level(values: Grid | None) -> Contrast | None:
    """The mean of one role itself; the untrained base has no training seed and so no interval."""
    if values is None:
        return None
    nothing = Grid("nothing", values.metric, values.values[[values.values.columns[0]]] * 0.0, {})
    nothing = nothing._replace(values=nothing.values.set_axis([BASE_SEED], axis=1).fillna(0.0))
    return claim(pair_differences(values, nothing))


def paired(first: Differences, second: Differences) -> Differences:
    """One entry's change minus another's: seeds by number where one has all of the other's, else by their
    order."""
    seeds, others = set(first.cells.columns), set(second.cells.columns)
    if not (seeds <= others or others <= seeds):
        first, second = _by_order(first), _by_order(second)
    return subtract(first, second)


def _by_order(differences: Differences) -> Differences:
    cells: pd.DataFrame = differences.cells.set_axis(range(differences.cells.shape[1]), axis=1)
    return differences._replace(cells=cells)
