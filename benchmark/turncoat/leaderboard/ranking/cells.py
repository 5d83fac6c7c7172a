"""Cells of the board: change of one metric, or share of what was learnt, with intervals."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from turncoat.leaderboard.entry.load import Entry
from turncoat.leaderboard.ranking.columns import NARROW_KEPT, BoardColumn, loss_metric
from turncoat.leaderboard.ranking.entry_scores import CONFIDENCE, Measured, level
from turncoat.stats.contrasts import Contrast
from turncoat.stats.fieller import kept_share

REFERENCE = "reference"


@dataclass(frozen=True)
class BoardCell:
    """One cell; all intervals are 95 % ones for new training seeds and new questions."""

    # The change against the undefended organism, or the share that is kept; None where there is nothing
    value: float | None = None
    low: float | None = None
    high: float | None = None
    p_value: float | None = None  # Two-sided, of "no change"; not corrected for anything
    level: float | None = None  # The own arm's mean itself
    level_low: float | None = None
    level_high: float | None = None
    shift: float | None = None  # The undefended organism minus the untrained base
    shift_low: float | None = None
    shift_high: float | None = None
    over_control: float | None = None  # The undefended organism minus its matched control
    over_control_low: float | None = None
    over_control_high: float | None = None
    n_questions: int = 0
    n_seeds: int = 0
    note: str = ""  # Why something is missing, or "reference" for the organism itself
    change: Contrast | None = None  # The test behind a change

    @property
    def is_reference(self) -> bool:
        """True for the undefended organism's own cell, which is 0 (or 1) by definition."""
        return self.note == REFERENCE


def board_cells(entry: Entry, measured: Measured, columns: Sequence[BoardColumn]) -> dict[str, BoardCell]:
    """Every cell of one entry."""
    made = {column.key: _change_cell(measured, column.key) for column in columns if column.kind == "change"}
    return made | {one.key: _share_cell(entry, measured, one) for one in columns if one.kind == "share"}


def _change_cell(measured: Measured, metric: str) -> BoardCell:
    change = measured.claim(metric)
    if change is None or change.difference is None:
        return BoardCell(note="not measured")
    own_level = level(measured.grid(measured.own_role, metric))
    shift = measured.claim(metric, "organism", "base")
    over = measured.claim(metric, "organism", "control")
    is_reference = measured.own_role == "organism"
    test: dict[str, Any] = {"low": change.low, "high": change.high, "p_value": change.p_value}
    return BoardCell(
        change.difference, **({} if is_reference else test), **_ends("level", own_level),
        **_ends("shift", shift), **_ends("over_control", over), n_questions=change.n_questions,
        n_seeds=change.n_seeds,
        note=REFERENCE if is_reference else "" if change.low is not None else change.note, change=change,
    )  # fmt: skip


def _ends(name: str, contrast: Contrast | None) -> dict[str, Any]:
    if contrast is None:
        return {}
    return {name: contrast.difference, f"{name}_low": contrast.low, f"{name}_high": contrast.high}


def _share_cell(entry: Entry, measured: Measured, column: BoardColumn) -> BoardCell:
    """The share of a gain that is left: the organism's own loss, or that of the harmless partner against the
    control."""
    facts = entry.submission
    narrow = column.key == NARROW_KEPT
    if measured.own_role == "organism":
        return BoardCell(value=1.0, note=REFERENCE)
    if not narrow and facts.benign is None:
        return BoardCell(note="not measured: the defence was not tried around a harmless set")
    if not narrow and facts.benign is not None and facts.benign.name != facts.control.name:
        why = f"the undefended arm beside it was finetuned on {facts.control.name}"
        return BoardCell(note=f"not measured: {why}")
    learner = facts.organism.name if narrow else facts.control.name
    metric = loss_metric(entry.track, facts.organism.name, learner)
    if metric is None:
        return BoardCell(note=f"not measured: no task of the track has the held-out loss of {learner}")
    base = measured.grid("base", metric)
    arm = measured.grid("defended" if narrow else "benign", metric)
    reference = measured.grid("organism" if narrow else "control", metric)
    if base is None or arm is None or reference is None:
        return BoardCell(note=f"not measured: {metric} is missing")
    kept = kept_share(base, arm, reference, "recipe", CONFIDENCE)
    rests_on: dict[str, Any] = {"n_questions": kept.n_questions, "n_seeds": len(arm.seeds)}
    return BoardCell(kept.value, kept.low, kept.high, note=kept.note, **rests_on)
