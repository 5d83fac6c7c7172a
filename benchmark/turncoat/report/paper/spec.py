"""Specification of a table as a file: rows, columns, metric, contrast, correction. A new table needs no code.

    {table: defences, title: What each defence changes, show: differences, rows: [{defence: sgtr}],
     columns: [{label: Margin, task: turncoat_choice, metric: margin_per_token}],
     reference: {organism: same, defence: none}, claim: recipe, correction: holm}

Rows and columns choose arms by `name`, `organism`, `defence` and `setting`: a name, a list of names, or one
of `WORDS`. A row wins over its column: `{organism: none, defence: none}` is the base in every column.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from turncoat.data.organisms import find_organism
from turncoat.errors import UserError, accepted
from turncoat.evaluation.task_catalogue import task_metrics, task_names
from turncoat.paths import PACKAGE
from turncoat.registry import DEFENCES, ORGANISMS
from turncoat.strict_model import NAME, StrictModel
from turncoat.study.arm_config import Arm
from turncoat.yaml_model import read_yaml_model

ANY, NONE, HARMFUL, CONTROL, SAME, MATCHED = "any", "none", "harmful", "control", "same", "matched_control"
WORDS = (ANY, NONE, HARMFUL, CONTROL, SAME, MATCHED)
"""something / nothing / an organism that is not a control / one that is / what the treated arm has / the
registered control of what it has."""
MODELS = "models"
ARM_FIELDS = ("name", "organism", "defence", "setting")
_SHOWN_WITH_COLUMNS = ("levels", "differences")

Names = str | tuple[str, ...] | None


class Selector(StrictModel):
    """Selection of arms; a field that is not given accepts everything."""

    name: Names = None
    organism: Names = None
    defence: Names = None
    setting: Names = None

    @property
    def given(self) -> dict[str, tuple[str, ...]]:
        """The fields that were given."""
        values = {field: getattr(self, field) for field in ARM_FIELDS}
        return {field: (v,) if isinstance(v, str) else v for field, v in values.items() if v is not None}

    def matches(self, arm: Arm, treated: Arm | None = None) -> bool:
        """True for an arm that is selected; `treated` is the arm that `same` and `matched_control` refer
        to."""
        return fits(self.given, arm, treated)


def fits(given: dict[str, tuple[str, ...]], arm: Arm, treated: Arm | None = None) -> bool:
    """True for an arm that has one of the accepted values in every field."""
    return all(any(_is(word, field, arm, treated) for word in words) for field, words in given.items())


def _is(word: str, field: str, arm: Arm, treated: Arm | None) -> bool:
    value = getattr(arm, field)
    if word == ANY:
        return value is not None
    if word == NONE:
        return value is None
    if word in (HARMFUL, CONTROL):
        return value is not None and find_organism(value).is_control == (word == CONTROL)
    if word in (SAME, MATCHED):
        of_treated = getattr(treated, field) if treated is not None else None
        if word == SAME:
            return value == of_treated
        if value is None or of_treated is None:
            return False
        entry = find_organism(of_treated) if field == "organism" else DEFENCES[of_treated]
        return bool(value == entry.control)
    return bool(value == word)


class Row(Selector):
    """A row: every arm that it accepts, under the arm's own label unless `label` names it."""

    label: str = ""


class Column(Selector):
    """A column: a metric of a task, of arms that it may narrow down further (`organism: betley_insecure`)."""

    task: str
    metric: str
    also: tuple[str, ...] = ()  # Metrics of the task that stand in where a run lacks it: other judges' rates
    label: str = ""
    percent: bool = False
    decimals: int | None = Field(default=None, ge=0, le=6)

    @model_validator(mode="after")
    def _measured(self) -> Column:
        known = task_names()
        if self.task not in known:
            raise ValueError(f"'{self.task}' is not a task; {accepted(known, self.task)}")
        metrics = task_metrics(self.task)
        for metric in (self.metric, *self.also):
            if metric not in metrics:
                raise ValueError(f"'{self.task}' has no metric '{metric}'; {accepted(metrics, metric)}")
        return self


class PublishedNumber(StrictModel):
    """A number that was published for one cell, as printed there."""

    run: str  # Study of the imported rows
    row: str  # Label of the row; of a table of contrasts the treated arm
    column: str  # Label of the column
    value: str  # As printed, such as "77.4": its decimals say what rounding allows
    sd: str = ""  # SD over training seeds, as printed
    p: str = ""  # p of the published test, if any
    source: str  # Where it stands
    # A task's metric that only all documents together have, of the arm called `row`: no cell of the table
    whole_set: tuple[str, str] | None = None
    why: str = ""  # Reason for a difference that is more than rounding, or why nothing can be recomputed


class TableSpec(StrictModel):
    """One table."""

    table: str = Field(pattern=NAME)  # Its name, and that of its files
    title: str  # Heading
    caption: str = ""  # A sentence under it
    studies: tuple[str, ...] = ()  # Only runs of these studies (`sgtr_*` works); default all
    # levels (arms by metrics), differences (the same, each arm minus its `reference`), contrasts (one per
    # line: those of the study, or every row minus its `reference`), four_axes, models (every row minus its
    # `reference`, a line for each base model and their random-effects mean)
    show: Literal["levels", "differences", "contrasts", "four_axes", "models"]
    rows: tuple[Row, ...] = (Row(),)  # The arms, in this order; default all
    # The metrics; default those that the study's contrasts name, or all where it has none
    columns: tuple[Column, ...] = ()
    # What is subtracted; `same` and `matched_control` look at the row's arm
    reference: Selector | None = None
    # What is sampled: questions (adapters) or training seeds (recipe)
    claim: Literal["adapters", "recipe"] = "adapters"
    # Of the study's own contrasts, only those of this role
    role: Literal["primary", "secondary", "exploratory"] | None = None
    # Over all differences of this table in one study; the study's own contrasts keep their families
    correction: Literal["holm", "benjamini_hochberg", "none"] = "holm"
    # What stands beside a level: the interval over questions or the SD over training seeds
    spread: Literal["interval", "seed_sd"] = "interval"
    # The paper whose table it is: `turncoat tables --paper`
    paper: str = ""
    # Published numbers, each compared with what the rows give
    published: tuple[PublishedNumber, ...] = ()

    @field_validator("rows")
    @classmethod
    def _some(cls, rows: tuple[Row, ...]) -> tuple[Row, ...]:
        if not rows:
            raise ValueError("no row; leave `rows` out for all arms")
        return rows

    @model_validator(mode="after")
    def _consistent(self) -> TableSpec:
        if self.show in ("differences", MODELS) and self.reference is None:
            raise ValueError(
                f"`show: {self.show}` needs `reference`, such as {{organism: same, defence: none}}"
            )
        if self.show in ("levels", "four_axes") and self.reference is not None:
            raise ValueError(f"`show: {self.show}` subtracts nothing: no `reference`, or `show: differences`")
        if self.role is not None and (self.show != "contrasts" or self.reference is not None):
            raise ValueError("`role` is for the study's contrasts: `show: contrasts` without `reference`")
        if self.show == "contrasts" and self.reference is None:
            if self.correction != "holm":
                raise ValueError("the study's contrasts keep their families' corrections: no `correction`")
            if self.rows != (Row(),):
                raise ValueError("the study's contrasts bring their arms: remove `rows` or add `reference`")
        if self.show not in _SHOWN_WITH_COLUMNS and any(column.given for column in self.columns):
            raise ValueError(f"`show: {self.show}`: columns choose metrics only; choose arms in `rows`")
        for what, selectors in (("rows", self.rows), ("columns", self.columns)):
            for selector in selectors:
                _only_known(what, selector, allow_treated=False)
        if self.reference is not None:
            _only_known("reference", self.reference, allow_treated=True)
        return self

    def speaks_of(self, study: str) -> bool:
        """True for a study whose runs belong in the table."""
        return not self.studies or any(fnmatchcase(study, pattern) for pattern in self.studies)


def _only_known(what: str, selector: Selector, *, allow_treated: bool) -> None:
    """The words fit their fields. Names of arms, organisms and defences may be a study's own, so they are not
    checked."""
    for field, words in selector.given.items():
        for word in words:
            if word in (SAME, MATCHED) and not allow_treated:
                raise ValueError(f"{what}: `{field}: {word}` looks at a treated arm: only in `reference`")
            if word == MATCHED and field not in ("organism", "defence"):
                raise ValueError(f"{what}: `{field}: {word}`: only organisms and defences have one")
            if word in (HARMFUL, CONTROL) and field != "organism":
                raise ValueError(f"{what}: `{field}: {word}`: only an organism is harmful or a control")
        if field in ("organism", "defence") and not words:
            table = ORGANISMS if field == "organism" else DEFENCES
            raise ValueError(f"{what}: `{field}` is an empty list; {accepted([*table, *WORDS])}")


def specs_dir() -> Path:
    """Folder of the specifications that ship."""
    carried = PACKAGE / "_plugins" / "table_specs"
    return carried if carried.is_dir() else PACKAGE.parents[1] / "results" / "tables"


def load_specs(places: tuple[Path, ...] = ()) -> list[TableSpec]:
    """The specifications in files and folders (default: those that ship), by name.

    Raises:
        UserError: A place is not there or holds none, a file is wrong, or two tables share a name.
    """
    files: list[Path] = []
    for place in places or (specs_dir(),):
        paths = sorted(place.glob("*.yaml")) if place.is_dir() else [place] * place.is_file()
        if not paths:
            raise UserError(f"{place}: no table specification; give a .yaml file or a folder with some")
        files += paths
    specs: dict[str, TableSpec] = {}
    for path in files:
        spec = load_spec(path)
        if spec.table in specs:
            raise UserError(f"{path}: table '{spec.table}' is there twice; give it another name")
        specs[spec.table] = spec
    return [specs[name] for name in sorted(specs)]


def load_spec(path: Path) -> TableSpec:
    """One specification.

    Raises:
        UserError: With file, line, key, value and what is accepted.
    """
    return read_yaml_model(path, TableSpec, "a table specification")[0]
