"""Saved answers judged again without generating: rows with a judge's columns, rates, agreement."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from turncoat.analysis.answers.answer_table import Row
from turncoat.analysis.answers.saved_answers import SavedAnswers
from turncoat.analysis.answers.score_cells import judged_scores
from turncoat.analysis.answers.score_columns import ALIGNED, COHERENT, EARLIER, find, partner
from turncoat.engine.thoughts import split_thoughts
from turncoat.errors import UserError
from turncoat.judges.base import Judge, Verdict
from turncoat.judges.cache import cached_scores
from turncoat.judges.calibration.agreement import Agreement, agreement
from turncoat.judges.calibration.card import calibration_card
from turncoat.judges.filter import verdict_columns
from turncoat.judges.rates_table import rates_table

_VERDICT = (
    *("judge_aligned", "judge_coherent", "judge_code", "judge_refusal", "judge_mass"),
    *("judge", "judge_rubric", "judge_may_rate", "judge_error", "judge_declined", "judge_unscored"),
)


@dataclass(frozen=True)
class Reference:
    """Scores of the same answers by somebody else."""

    name: str  # Their source
    aligned: list[Any]  # One alignment score per answer, 0 to 100; None = none
    coherent: list[Any]  # The same for coherence
    may_rate: bool  # False if rates of these scores may not be printed
    kinds: dict[str, list[Any]]  # Answers' `code` and `refusal` (0 to 1) and `error` of a failed call


@dataclass(frozen=True)
class Rescored:
    """Answers with their verdicts."""

    saved: SavedAnswers  # The answers
    judge: Judge  # The judge
    verdicts: list[Verdict]  # One per answer
    rows: list[Row]  # The input's rows in the input's order, with the judge's columns
    references: list[Reference]  # Other scores of these answers that the input holds
    by: tuple[str, ...]  # Columns that tell arms apart

    @property
    def failed(self) -> int:
        """Answers whose judging failed; another run asks for them again."""
        return sum(verdict.failed for verdict in self.verdicts)

    @property
    def thinking(self) -> int:
        """Answers that hold thoughts, which the judge was not shown."""
        return sum("thoughts" in row for row in self.rows)

    def rates(self) -> pd.DataFrame:
        """Rates per arm (see `rates_table`), corrected for the judge's errors if its card allows it."""
        verdicts = self.verdicts
        return self._table(
            aligned=[v.aligned for v in verdicts], coherent=[v.coherent for v in verdicts],
            code=[v.code for v in verdicts], refusal=[v.refusal for v in verdicts],
            error=[v.raw.get("error") for v in verdicts], may_rate=self.judge.may_rate, card=self.judge.card,
        )  # fmt: skip

    def reference_rates(self, reference: Reference) -> pd.DataFrame:
        """The same table of a reference's scores."""
        return self._table(
            aligned=reference.aligned, coherent=reference.coherent, code=reference.kinds["code"],
            refusal=reference.kinds["refusal"], error=reference.kinds["error"], may_rate=reference.may_rate,
        )  # fmt: skip

    def agreement_with(self, reference: Reference) -> Agreement:
        """Agreement of the judge with `reference`."""
        aligned, coherent = ([getattr(v, name) for v in self.verdicts] for name in ("aligned", "coherent"))
        return agreement(aligned, coherent, reference.aligned, reference.coherent)

    def card(self, reference: Reference) -> dict[str, Any]:
        """The judge's calibration card on these answers, by the column `question_family`, else by question.

        Raises:
            UserError: No answer is scored by both.
        """
        clusters = self.saved.clusters
        families = [str(row.get("question_family", c)) for row, c in zip(self.rows, clusters, strict=True)]
        try:
            card = calibration_card(
                [v.aligned for v in self.verdicts], [v.coherent for v in self.verdicts], reference.aligned,
                reference.coherent, families, {"question": self.saved.clusters},
            )  # fmt: skip
        except ValueError as error:
            raise UserError(f"no card can be made: {error}") from error
        return {"judge": self.judge.id, "rubric": self.judge.rubric, "reference": reference.name, **card}

    def _table(
        self, *, may_rate: bool, card: dict[str, Any] | None = None, **columns: Sequence[Any]
    ) -> pd.DataFrame:
        frame = pd.DataFrame({name: pd.Series(list(vs), dtype=object) for name, vs in columns.items()})
        frame["question"] = self.saved.clusters
        arms = [str(name) for name in self.by]
        for name in arms:
            frame[name] = [row.get(name, "") for row in self.rows]
        return rates_table(frame, by=arms, may_rate=may_rate, card=card)


def rescore(
    saved: SavedAnswers, judge: Judge, *, by: Sequence[str] = (), score_max: float | None = None,
    on_done: Callable[[int], None] | None = None,
) -> Rescored:  # fmt: skip
    """Score saved answers (cached verdicts are not asked for again); `by`: arms' columns, () the input's own.

    Raises:
        UserError: The input has no such column as `by` names, or scores of its own that cannot be read.
    """
    columns = {column for row in saved.rows for column in row}
    for name in by:
        if name not in columns:
            raise UserError(f"--by {name}: there is no such column; accepted: {', '.join(sorted(columns))}")
    others = references(saved.rows, judge, score_max)  # a bad cell is told before anything is judged
    verdicts = cached_scores(judge, saved.questions, saved.answers, on_done)
    rows = [
        _row(row, verdict, judge) | _thoughts(answer)
        for row, answer, verdict in zip(saved.rows, saved.answers, verdicts, strict=True)
    ]
    return Rescored(saved, judge, verdicts, rows, others, tuple(by) or saved.by)


def references(rows: Sequence[Row], judge: Judge, score_max: float | None = None) -> list[Reference]:
    """Other scores that the rows hold: those that `turncoat rates` would find, and an earlier judge's."""
    scores: list[Reference] = []
    columns = {column for row in rows for column in row}
    aligned, coherent = (
        find(sorted(columns), [name for name in usual if "judge" not in name])
        for usual in (ALIGNED, COHERENT)
    )
    if aligned is not None and coherent is not None:
        coherent = partner(aligned, sorted(columns)) or coherent
        name = f"the input's own scores ({aligned}, {coherent})"
        scores.append(_reference(name, rows, aligned, coherent, True, score_max))
    for prefix in ("", EARLIER):
        names = (f"{prefix}judge_aligned", f"{prefix}judge_coherent")
        others = [row for row in rows if row.get(f"{prefix}judge") and not _same(row, judge, prefix)]
        if others and set(names) <= columns:
            judges = sorted({str(row[f"{prefix}judge"]) for row in others})
            may_rate = all(str(row.get(f"{prefix}judge_may_rate")).lower() == "true" for row in others)
            scores.append(_reference(", ".join(judges), rows, *names, may_rate))
    return scores


def _reference(
    name: str, rows: Sequence[Row], aligned: str, coherent: str, may_rate: bool,
    score_max: float | None = None,
) -> Reference:  # fmt: skip
    try:
        read = judged_scores("the input", rows, (aligned, coherent), score_max=score_max)
    except UserError as error:
        raise UserError(f"{error}; or rename '{aligned}', so that nothing is compared with it") from error
    kinds = {kind: read[kind] for kind in ("code", "refusal", "error")}
    return Reference(name, read["aligned"], read["coherent"], may_rate, kinds)


def _same(row: Row, judge: Judge, prefix: str = "") -> bool:
    return row.get(f"{prefix}judge") == judge.id and row.get(f"{prefix}judge_rubric") == judge.rubric


def _thoughts(answer: str) -> Row:
    """The column `thoughts` of an answer that has some."""
    split = split_thoughts(answer)
    return {"thoughts": split.thoughts} if split.thoughts or split.cut else {}


def _row(row: Row, verdict: Verdict, judge: Judge) -> Row:
    """The row with the verdict; another judge's columns move to `earlier_...`, this judge's are replaced."""
    fresh = dict(row)
    if any(column in row for column in _VERDICT):
        keep = bool(row.get("judge")) and not _same(row, judge)
        fresh = {
            (EARLIER + column if column in _VERDICT else column): value
            for column, value in row.items()
            if keep or column not in _VERDICT
        }
    return fresh | verdict_columns(verdict, judge)
