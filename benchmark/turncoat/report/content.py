"""Content of a report as plain data: study, arms, claims and answers; no numbers are computed here."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from turncoat.errors import UserError
from turncoat.stats.contrasts import CLAIMS
from turncoat.study.arm_config import Arm, undefended

ADAPTERS: str = CLAIMS[0]
RECIPE: str = CLAIMS[1]
SHARE = "share"
"""Unit of the metrics that are shown in percent on the first screen."""

ESTIMATE_COLUMNS = (
    "arm", "seed", "metric", "value", "low", "high", "se", "n_questions", "n_dropped", "confidence", "method",
)  # fmt: skip
CONTRAST_COLUMNS = (
    "name", "metric", "claim", "treated", "reference", "difference", "low", "high", "se", "df", "p_value",
    "p_permutation", "p_adjusted", "n_questions", "n_seeds", "seed_deltas", "seed_sd", "family", "note",
    "withheld",
)  # fmt: skip
SEED_NOISE_COLUMNS = (
    "name", "metric", "n_seeds", "sd_treated", "sd_control", "sd_paired", "sd_unpaired", "variance_ratio",
    "note",
)  # fmt: skip
ANSWER_COLUMNS = ("arm", "seed", "question_id", "question", "text", "finish")
TRAINING_COLUMNS = (
    *("arm", "step", "seed", "examples", "steps", "tokens", "supervised_tokens", "first_loss", "last_loss"),
    *("first_penalty", "last_penalty", "seconds", "facts"),
)
_REQUIRED = {
    "estimates": ESTIMATE_COLUMNS, "contrasts": CONTRAST_COLUMNS, "seed_noise": SEED_NOISE_COLUMNS,
    "answers": ANSWER_COLUMNS, "training": TRAINING_COLUMNS,
}  # fmt: skip


class ArmInfo(Arm):
    """An arm of the study with its training seeds (none if nothing is trained) and a description."""

    seeds: tuple[int, ...] = ()
    description: str = ""


@dataclass(frozen=True)
class MetricInfo:
    """One metric: its unit, and what a larger value means (`direction`, such as "up means more
    misaligned")."""

    name: str
    label: str
    unit: str
    direction: str
    description: str = ""
    primary: bool = False


@dataclass(frozen=True)
class Check:
    """Something that has to hold before the claims mean anything; `passed` is None where there is no
    threshold."""

    name: str
    arm: str | None
    seed: int | None
    value: float | None
    low: float | None
    high: float | None
    passed: bool | None
    explanation: str


@dataclass(frozen=True)
class Withheld:
    """A number that the report refuses to print, and the reason."""

    what: str
    why: str


@dataclass(frozen=True, eq=False)
class ReportContent:
    """All that the renderings (Markdown, HTML, terminal) are made from; missing numbers are None or NaN.

    In `estimates`, a row without a seed is the mean over seeds. `alpha` is the level for Holm-adjusted p.
    `persona_units` (`analysis.persona_units`), `judged` (`report.tables.misalignment`), `corrected`
    (`analysis.judge_corrected`), `leaks` (`analysis.leak.labels`), `axes` (`analysis.four_axes`) and
    `training` may be empty.

    Raises:
        UserError: A table lacks a column, or names an arm, metric or claim that the content does not declare.
    """

    study: str
    title: str
    question: str
    model: dict[str, str]
    facts: dict[str, str]
    arms: list[ArmInfo]
    metrics: list[MetricInfo]
    estimates: pd.DataFrame
    contrasts: pd.DataFrame
    seed_noise: pd.DataFrame
    remarks: list[str]  # Sentences on what was not set beforehand
    checks: list[Check]
    answers: pd.DataFrame
    withheld: list[Withheld]
    timings: list[tuple[str, float]]
    provenance: dict[str, str]
    alpha: float = 0.05
    persona_units: pd.DataFrame = field(default_factory=pd.DataFrame)
    judged: pd.DataFrame = field(default_factory=pd.DataFrame)
    corrected: pd.DataFrame = field(default_factory=pd.DataFrame)
    leaks: pd.DataFrame = field(default_factory=pd.DataFrame)
    leak_labels: str = ""  # Training domains and labeller; "" where no organism has a domain
    judge_name: str = ""
    smoke: bool = False  # a smoke run: its study's contrasts are left out
    axes: pd.DataFrame = field(default_factory=pd.DataFrame)
    training: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list(TRAINING_COLUMNS)))

    def __post_init__(self) -> None:
        arms = [arm.name for arm in self.arms]
        metrics = [metric.name for metric in self.metrics]
        of = f"report of study {self.study!r}: "
        for what, names in (("arms", arms), ("metrics", metrics)):
            if not names or len(set(names)) != len(names):
                raise UserError(f"{of}{what} are {names}; a report needs at least one, and every name once.")
        for table, columns in _REQUIRED.items():
            missing = [column for column in columns if column not in getattr(self, table).columns]
            if missing:
                need = f"it needs {list(columns)}. Build an empty table with pd.DataFrame(columns=...)."
                raise UserError(f"{of}table {table!r} lacks the columns {missing}; {need}")
        accepted: dict[str, list[str]] = {"arm": arms, "treated": arms, "reference": arms}
        accepted |= {"metric": metrics, "claim": list(CLAIMS)}
        for table in ("estimates", "contrasts", "seed_noise", "answers"):
            for column in (column for column in accepted if column in _REQUIRED[table]):
                unknown = sorted({str(v) for v in getattr(self, table)[column]} - set(accepted[column]))
                if unknown:
                    way_out = f"accepted are {accepted[column]}. Declare it in the content or drop the rows."
                    raise UserError(f"{of}table {table!r}, column {column!r} holds {unknown}; {way_out}")

    def arm(self, name: str) -> ArmInfo:
        """The arm called `name`."""
        return next(arm for arm in self.arms if arm.name == name)

    def label(self, name: str) -> str:
        """The label of an arm; the name where the content has no such arm."""
        return next((arm.label for arm in self.arms if arm.name == name), name)

    def undefended(self, arm: ArmInfo) -> ArmInfo | None:
        """The arm that differs from a defended one by the defence alone; None if the study has none."""
        return undefended(self.arms, arm)

    def spans_finetuning(self, row: Any) -> bool:
        """True for a contrast of something trained with something untrained: any finetuning makes such a
        change.

        In a difference of differences such a change cancels if both have it.
        """
        spans = self.arm(row.treated).is_trained != self.arm(row.reference).is_trained
        minus = self.minus(row)
        return spans if minus is None else spans != (minus[0].is_trained != minus[1].is_trained)

    def minus(self, row: Any) -> tuple[ArmInfo, ArmInfo] | None:
        """The arms of the difference that a difference of differences subtracts; None for any other
        contrast."""
        names = getattr(row, "minus_treated", ""), getattr(row, "minus_reference", "")
        return (self.arm(names[0]), self.arm(names[1])) if isinstance(names[0], str) and names[0] else None

    @property
    def adjusted_name(self) -> str:
        """Name of an adjusted p: Holm's, unless an exploratory family had Benjamini and Hochberg's
        correction."""
        corrections = self.contrasts.get("correction", pd.Series(dtype=object))
        return "Adjusted p" if corrections.eq("Benjamini-Hochberg").any() else "Holm p"

    def metric(self, name: str) -> MetricInfo:
        """The metric called `name`."""
        return next(metric for metric in self.metrics if metric.name == name)

    @property
    def ordered_metrics(self) -> list[MetricInfo]:
        """The metrics, primary ones first, otherwise in the study's order."""
        return sorted(self.metrics, key=lambda metric: not metric.primary)

    @property
    def primary_metrics(self) -> list[MetricInfo]:
        """The primary metrics, or all of them where the study names none."""
        return [metric for metric in self.metrics if metric.primary] or list(self.metrics)

    def sorted_estimates(self) -> pd.DataFrame:
        """`estimates` by arm, metric and seed, the mean over seeds first; row order in the input has no say.

        What was never trained (the base, a defence on it at inference) gets one row per metric, without a
        seed, whatever number stands for that in the rows.
        """
        frame = _required_first(self.estimates, ESTIMATE_COLUMNS)
        frame = frame.assign(seed=whole_numbers(frame["seed"]))
        frame["_arm"], frame["_metric"] = self._rank_arms(frame["arm"]), self._rank_metrics(frame["metric"])
        frame = frame.sort_values(["_arm", "_metric", "seed", "method"], na_position="first", kind="stable")
        untrained = frame["arm"].isin([arm.name for arm in self.arms if not arm.is_trained])
        frame = frame[~untrained | ~frame.duplicated(["arm", "metric"])]
        frame = frame.assign(seed=frame["seed"].mask(untrained, pd.NA))
        return frame.drop(columns=["_arm", "_metric"]).reset_index(drop=True)

    def _rank_arms(self, names: pd.Series) -> pd.Series:
        return names.map({arm.name: rank for rank, arm in enumerate(self.arms)})

    def _rank_metrics(self, names: pd.Series) -> pd.Series:
        return names.map({metric.name: rank for rank, metric in enumerate(self.ordered_metrics)})

    def sorted_contrasts(self, claim: str | None = None) -> pd.DataFrame:
        """`contrasts` (of one claim) by claim, metric (primary first) and arms, the base last."""
        frame = _required_first(self.contrasts, CONTRAST_COLUMNS)
        if claim is not None:
            frame = frame[frame["claim"] == claim]
        keys: dict[str, pd.Series] = {
            "_metric": self._rank_metrics(frame["metric"]),
            "_base": frame["reference"].map({arm.name: arm.is_base for arm in self.arms}).astype(bool),
            "_treated": self._rank_arms(frame["treated"]),
            "_reference": self._rank_arms(frame["reference"]),
        }
        ordered = frame.assign(**keys).sort_values(["claim", *keys, "name"], kind="stable")
        return ordered.drop(columns=list(keys)).reset_index(drop=True)

    def seed_deltas(self, row: Any) -> tuple[float, ...]:
        """The per-seed differences of a row of `contrasts`; the adapters' are its twin's about the recipe."""
        twins = self.contrasts[self.contrasts["claim"] == RECIPE]
        for column in ("metric", "treated", "reference", "name"):
            twins = twins[twins[column] == getattr(row, column)]
        for deltas in (row.seed_deltas, *twins["seed_deltas"]):
            if isinstance(deltas, Sequence) and len(deltas):
                return tuple(float(delta) for delta in deltas)
        return ()

    @property
    def lost_verdicts(self) -> int:
        """Number of answers without a verdict because a call to the judge failed."""
        return int(self.answers["judge_error"].notna().sum()) if "judge_error" in self.answers else 0

    def sorted_seed_noise(self) -> pd.DataFrame:
        """`seed_noise` by metric (primary first) and name."""
        frame = _required_first(self.seed_noise, SEED_NOISE_COLUMNS)
        ranked = frame.assign(_metric=self._rank_metrics(frame["metric"]))
        ranked = ranked.sort_values(["_metric", "name"], kind="stable")
        return ranked.drop(columns="_metric").reset_index(drop=True)

    def sorted_answers(self) -> pd.DataFrame:
        """`answers` by question, arm and seed; columns beyond the required ones follow in alphabetical
        order."""
        frame = _required_first(self.answers, ANSWER_COLUMNS).assign(seed=whole_numbers(self.answers["seed"]))
        extra = frame.columns[len(ANSWER_COLUMNS) :]
        numeric = [column for column in extra if pd.api.types.is_numeric_dtype(frame[column])]
        ranked = frame.assign(_arm=self._rank_arms(frame["arm"]))
        ordered = ranked.sort_values(["question_id", "_arm", "seed", *numeric, "text"], kind="stable")
        return ordered.drop(columns="_arm").reset_index(drop=True)


def whole_numbers(column: pd.Series) -> pd.Series:
    """Seeds as nullable integers: None and NaN become pd.NA, 1.0 becomes 1."""
    return pd.to_numeric(column.astype("object").where(column.notna(), None)).astype("Int64")


def _required_first(frame: pd.DataFrame, required: Sequence[str]) -> pd.DataFrame:
    """The required columns in their order, then whatever else the table holds, by name."""
    return frame.loc[:, [*required, *sorted(column for column in frame.columns if column not in required)]]
