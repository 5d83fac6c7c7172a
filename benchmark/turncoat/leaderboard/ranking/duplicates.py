"""Detect copied rows: a fingerprint per role and training seed, and the equal share of two.

prints = fingerprints(entry, measured, answers)
equal_share(prints["defended", 0], prints["base", -1])      # 1.0: the "defended" model is the base

A fingerprint holds one log-likelihood number per question and every answer's text: things that two finetunes
never share to the last bit.
"""

from collections.abc import Mapping

import pandas as pd

from turncoat.evaluation.task_catalogue import metric_facts, metric_names
from turncoat.leaderboard.entry.load import Entry
from turncoat.leaderboard.ranking.entry_scores import Measured, tasks_of

Cell = tuple[str, str, int]
Fingerprint = Mapping[Cell, float | str]
NEARLY_ALL = 0.9
_FEWEST = 8  # equal cells of fewer say nothing


def fingerprints(
    entry: Entry, measured: Measured, answers: pd.DataFrame
) -> dict[tuple[str, int], dict[Cell, float | str]]:
    """(role, training seed) -> (task, question, sample) -> a number (sample -1) or an answer's text."""
    names = metric_names(tasks_of(entry))
    sampled = set(answers["task"]) if len(answers) else set()
    chosen: dict[str, str] = {}
    for name, (task, metric) in names.items():
        if task not in sampled and metric_facts(task)[metric]["unit"] != "share":
            chosen.setdefault(task, name)
    prints: dict[tuple[str, int], dict[Cell, float | str]] = {}
    for role, metric in measured.scores:
        for task in (task for task, name in chosen.items() if name == metric):
            rows = measured.scores[role, metric][["seed", "question", "value"]].dropna()
            for seed, question, value in rows.itertuples(index=False, name=None):
                prints.setdefault((role, int(seed)), {})[task, str(question), -1] = float(value)
    if len(answers):
        columns = answers[["arm", "seed", "task", "question_id", "index", "text"]]
        for role, seed, task, question, index, text in columns.itertuples(index=False, name=None):
            prints.setdefault((role, int(seed)), {})[task, str(question), int(index)] = text
    return prints


def equal_share(one: Fingerprint, other: Fingerprint) -> float:
    """Share of the common cells that are equal to the last bit; 0 where there are too few."""
    common = one.keys() & other.keys()
    return sum(one[key] == other[key] for key in common) / len(common) if len(common) >= _FEWEST else 0.0


def copied_share(one: Fingerprint, other: Fingerprint, undefended: Fingerprint) -> float:
    """Share of an entry's changes against its own undefended organism that equals another entry's cells.

    What both share with the organism is left out: an inference defence that touches few answers copies
    nobody.
    """
    changed = {key: value for key, value in one.items() if undefended.get(key) != value}
    return equal_share(changed, other)
