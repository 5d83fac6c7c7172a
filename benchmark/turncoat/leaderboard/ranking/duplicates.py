"""Detect copied rows: fingerprints per role, training seed and task, and how alike two of them are.

prints = fingerprints(entry, measured, answers)
alike_parts(prints["defended", 0], prints["base", -1])     # ["answers of turncoat_em"]: those are the base's

Answers and numbers are compared apart and task by task, within tolerance: a copy that was nudged, or whose
other half was made up, is still a copy.
"""

import re
import zlib
from collections.abc import Iterator, Mapping
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from turncoat.evaluation.task_catalogue import metric_facts, metric_names
from turncoat.leaderboard.entry.load import Entry
from turncoat.leaderboard.ranking.entry_scores import Measured, tasks_of

HALF, NEARLY_ALL = 0.5, 0.9
# As a share of the SD between questions. In the committed entries and runs (all sampled at temperature 1) no
# two arms have 0.25 of a task's numbers so near, nor 0.15 of the word pairs of a task's answers in common;
# only a weak defence and its own organism at the same seed come nearer.
_NEAR = 0.005
_FEWEST = 8  # cells; fewer say nothing
_FEWEST_WORDS = 5  # shorter answers are equal by chance
_HASHES = 8  # minima kept of an answer's word pairs: equal minima estimate the share of common pairs

Arm = tuple[str, int]
"""Role and training seed."""


class Print(NamedTuple):
    """Cells in order, and a number for each, or a row of minima (0 where the answer is too short)."""

    cells: tuple[tuple[str, int], ...]
    values: npt.NDArray[np.floating | np.unsignedinteger]


Fingerprint = Mapping[str, Print]
"""Part of an arm, such as "answers of turncoat_em" -> its cells."""


def words(text: str) -> list[str]:
    """Lower-case words without digits: one template with a number filled in is one text."""
    return re.findall(r"[^\W\d_]+", text.lower())


def word_pairs(text: str) -> npt.NDArray[np.uint32]:
    """(8,) minima over hashes of the text's word pairs; zeros for a text of fewer than 5 words.

    The share of equal minima estimates the Jaccard similarity of two texts (Broder 1997).
    """
    said = words(text)
    if len(said) < _FEWEST_WORDS:
        return np.zeros(_HASHES, np.uint32)
    pairs = [zlib.crc32(" ".join(pair).encode()) for pair in zip(["", *said], [*said, ""], strict=True)]
    hashes = (np.array(pairs, np.uint64)[:, None] + np.uint64(1)) * _multipliers()
    return np.asarray((hashes >> np.uint64(32)).min(axis=0).astype(np.uint32))


@cache
def _multipliers() -> npt.NDArray[np.uint64]:
    odd = np.random.default_rng(0).integers(1, 2**63, _HASHES, dtype=np.uint64)
    return np.asarray(odd * np.uint64(2) + np.uint64(1))


def fingerprints(entry: Entry, measured: Measured, answers: pd.DataFrame) -> dict[Arm, dict[str, Print]]:
    """Arm -> part -> cells: a number per question (a log-likelihood, or a reading of a fixed text), and the
    word pairs of every answer."""
    sampled = set(answers["task"]) if len(answers) else set()
    chosen, there = dict[str, str](), {metric for _, metric in measured.scores}
    for name, (task, metric) in metric_names(tasks_of(entry)).items():
        facts = metric_facts(task)[metric]
        if name not in there:
            continue
        if facts.get("reading") == "fixed" if task in sampled else facts["unit"] != "share":
            chosen.setdefault(task, name)
    prints: dict[Arm, dict[str, Print]] = {}
    for (role, metric), scores in measured.scores.items():
        for task in (task for task, name in chosen.items() if name == metric):
            for key, rows in scores.dropna(subset="value").groupby("seed"):
                rows = rows.assign(question=rows["question"].astype(str)).sort_values("question")
                cells = tuple((question, -1) for question in rows["question"])
                part = Print(cells, rows["value"].to_numpy(float))
                prints.setdefault((role, int(str(key))), {})[f"numbers of {task}"] = part
    if not len(answers):
        return prints
    for keys, rows in answers.groupby(["arm", "seed", "task"]):
        arm, seed, task = map(str, keys)
        rows = rows.assign(question_id=rows["question_id"].astype(str)).sort_values(["question_id", "index"])
        cells = tuple(zip(rows["question_id"], rows["index"].astype(int), strict=True))
        values = np.stack([word_pairs(text) for text in rows["text"]])
        prints.setdefault((arm, int(seed)), {})[f"answers of {task}"] = Print(cells, values)
    return prints


def alike_parts(
    one: Fingerprint, other: Fingerprint, least: float = HALF, leave_out: Fingerprint | None = None
) -> list[str]:
    """Parts in which two arms are alike in `least` of what they have in common.

    Args:
        leave_out: A third arm: cells that are alike in `one` and in it do not count. An inference defence
            that touches few answers copies nobody.
    """
    return [name for name, share in _likeness(one, other, leave_out or {}) if share >= least]


def _likeness(one: Fingerprint, other: Fingerprint, leave_out: Fingerprint) -> Iterator[tuple[str, float]]:
    for name in sorted(one.keys() & other.keys()):
        mine, theirs = _common(one[name], other[name])
        keep = np.ones(len(mine), bool)
        if mine.ndim > 1:
            keep = (mine.max(axis=1) > 0) & (theirs.max(axis=1) > 0)
        if name in leave_out and leave_out[name].cells == one[name].cells == other[name].cells:
            keep &= _near(mine, leave_out[name].values) < 1
        yield name, float(_near(mine, theirs)[keep].mean()) if keep.sum() >= _FEWEST else 0.0


def _near(one: npt.NDArray, other: npt.NDArray) -> npt.NDArray[np.float64]:
    """(cells,) 0 or 1 for numbers, the share of equal minima for answers."""
    if one.ndim > 1:
        return np.asarray((one == other).mean(axis=1))
    return np.asarray(np.abs(one - other) <= _NEAR * one.std(), float)


def _common(one: Print, other: Print) -> tuple[npt.NDArray, npt.NDArray]:
    if one.cells == other.cells:
        return one.values, other.values
    places = {cell: place for place, cell in enumerate(other.cells)}
    pairs = [(place, places[cell]) for place, cell in enumerate(one.cells) if cell in places]
    mine, theirs = np.array(pairs, int).reshape(-1, 2).T
    return one.values[mine], other.values[theirs]
