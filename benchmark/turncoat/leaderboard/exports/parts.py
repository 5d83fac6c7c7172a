"""Shared parts of the exports: arm names and facts, levels and changes, strict JSON."""

import json
import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from turncoat.evaluation.task_catalogue import metric_names
from turncoat.judges.base import plain_json
from turncoat.judges.rates import EM_RATES
from turncoat.judges.rates_table import false_alarms
from turncoat.leaderboard.entry.load import Entry
from turncoat.leaderboard.ranking.cells import BoardCell, board_cells
from turncoat.leaderboard.ranking.columns import BoardColumn, board_columns
from turncoat.leaderboard.ranking.entry_scores import Measured, level, measure, tasks_of
from turncoat.leaderboard.validation.prompt_change import prompt_text
from turncoat.report.tables.misalignment import judged_rates

WITHHELD = frozenset((*EM_RATES, "misaligned_at_k", "worst_question"))
"""Metrics that are left out where the judge takes the untrained base's answers for ill will."""
CONFIDENCE = 0.95
INTERVAL = "95% t interval for new training seeds and new questions"


@dataclass(frozen=True)
class Level:
    """An arm's mean on one metric over questions and training seeds, with a 95% interval for new ones."""

    value: float
    low: float | None = None
    high: float | None = None
    se: float | None = None
    n_questions: int = 0


class Exported:
    """An entry with what the exports compute of it once."""

    def __init__(self, entry: Entry) -> None:
        self.entry = entry
        self.facts = entry.submission

    @cached_property
    def measured(self) -> Measured:
        """Its grids."""
        return measure(self.entry)

    @cached_property
    def metrics(self) -> dict[str, tuple[str, str]]:
        """Name -> (task, metric) of all that may be shown."""
        names = metric_names(tasks_of(self.entry))
        return {name: pair for name, pair in names.items() if not (self.withheld and pair[1] in WITHHELD)}

    @cached_property
    def withheld(self) -> str:
        """Reason to show no misalignment rate; "" for none."""
        answers = self.entry.answers()
        base = answers[answers["arm"] == "base"] if len(answers) else answers
        return false_alarms(judged_rates(base, {"may_rate": True}), "base") if len(base) else ""

    @cached_property
    def prompt(self) -> str:
        """Changes that its defence makes in every prompt; "" for none."""
        return prompt_text(self.entry)

    @cached_property
    def columns(self) -> list[BoardColumn]:
        """The board's columns."""
        present = {metric for _, metric in self.measured.scores}
        return board_columns(self.entry.track, self.facts.organism.name, present, self.withheld)

    @cached_property
    def cells(self) -> dict[str, BoardCell]:
        """The board's cells."""
        return board_cells(self.entry, self.measured, self.columns)

    def level(self, role: str, metric: str) -> Level | None:
        """A role's mean over questions and training seeds; None where it is not measured.

        The untrained base has no training seed, so nothing is claimed of others: a mean without an interval.
        """
        grid = self.measured.grid(role, metric)
        if grid is None:
            return None
        by_question = grid.values.mean(axis=1).dropna()
        if grid.is_base:
            value, n = float(by_question.mean()), len(by_question)
            return Level(value, n_questions=n) if n else None
        mean = level(grid)
        if mean is None or mean.difference is None or not math.isfinite(mean.difference):
            return None
        return Level(mean.difference, mean.low, mean.high, mean.se, mean.n_questions)

    def arm(self, role: str) -> str:
        """The trained thing's name: base model, what it was finetuned on, and the entry whose defence is on
        it."""
        learnt = self._learnt(role)
        entry = self.facts.slug if role in ("defended", "benign") else ""
        return "+".join(filter(None, (self.facts.model.name.replace("/", "--"), learnt, entry)))

    def _learnt(self, role: str) -> str:
        facts = self.facts
        data = {"base": None, "control": facts.control, "benign": facts.benign}.get(role, facts.organism)
        return data.name if data else ""

    def about(self, role: str) -> dict[str, str]:
        """Facts of an arm as text."""
        facts = self.facts
        about = {
            "arm": self.arm(role), "role": role, "entry": facts.slug, "board": facts.board,
            "base_model": facts.model.name, "base_revision": facts.model.revision, "dtype": facts.model.dtype,
        }  # fmt: skip
        if role != "base":
            about |= {"finetuned_on": self._learnt(role), "training_seeds": ", ".join(map(str, facts.seeds))}
            adapters = sorted(facts.adapters.get(role, {}).items())  # type: ignore[call-overload]
            about |= {f"adapter_sha256_seed_{seed}": sha for seed, sha in adapters}
        if role not in ("defended", "benign"):
            return {**about, "defence": "none"}
        prompt = {"prompt": self.prompt} if self.prompt else {}
        return {
            **about, "defence": facts.defence.name, "defence_setting": facts.defence.setting, **prompt
        }  # fmt: skip


def strict_json(content: Any) -> str:
    """JSON as every parser takes it: what is not a finite number is null."""
    return json.dumps(plain_json(content), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
