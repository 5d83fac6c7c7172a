"""Table of trainings: rows, tokens, losses, penalties, seconds and facts of a defence, from run.json.

training_frame(record["training"]) -> one row per arm, finetune and seed
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from turncoat import formats
from turncoat.report.content import TRAINING_COLUMNS, ArmInfo, ReportContent
from turncoat.report.tables.table import Cell, Table, count_cell, numbers, words
from turncoat.shown_text import visible

_FACTS_SHOWN = 200  # characters
_LISTED = 4  # values of a list or a mapping


def training_frame(entries: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """The `training` entries of a run.json; `penalties` may be all of a finetune's, or the first and the
    last."""
    rows = []
    for entry in entries:
        penalties = [float(value) for value in entry.get("penalties") or ()]
        rows.append(
            {
                **{name: entry.get(name) for name in TRAINING_COLUMNS},
                "arm": str(entry["arm"]).rpartition(", seed ")[0] or entry["arm"],
                "first_penalty": penalties[0] if penalties else None,
                "last_penalty": penalties[-1] if penalties else None,
                "facts": compact(entry.get("defence") or {}),
            }
        )
    return pd.DataFrame(rows, columns=list(TRAINING_COLUMNS))


def seconds_of(frame: pd.DataFrame, arm: str) -> float | None:
    """Seconds that one seed of an arm took to train, all its finetunes together, as a mean over seeds."""
    of_arm = frame[(frame["arm"] == arm) & frame["seconds"].notna()]
    return float(of_arm.groupby("seed")["seconds"].sum().mean()) if len(of_arm) else None


def training_cost(content: ReportContent, arm: ArmInfo) -> str:
    """ "31.2 s, 1.30 times the undefended arm's"; "none" for what was not trained."""
    if not arm.is_trained:
        return "none"
    seconds = seconds_of(content.training, arm.name)
    if seconds is None:
        return formats.NA
    other = content.undefended(arm)
    base = seconds_of(content.training, other.name) if other is not None else None
    return formats.duration(seconds) + (f", {seconds / base:.2f} times the undefended arm's" if base else "")


def training_table(content: ReportContent) -> Table:
    """One row per arm and finetune, means over seeds; facts are those of the first seed."""
    rows = []
    has_penalty = bool(content.training["first_penalty"].notna().any())
    has_facts = bool((content.training["facts"].fillna("") != "").any())
    for (arm, step), part in content.training.groupby(["arm", "step"], sort=False):
        measured = [c for c in TRAINING_COLUMNS if c not in ("arm", "step", "seed", "facts")]
        mean = part[measured].astype(float).mean()
        cells = [Cell(content.label(str(arm))), Cell(str(step)), count_cell(len(part))]
        cells += [_rounded(mean[name]) for name in ("examples", "steps", "tokens", "supervised_tokens")]
        cells += [_from_to(mean["first_loss"], mean["last_loss"], 2)]
        cells += [_from_to(mean["first_penalty"], mean["last_penalty"], 4)] if has_penalty else []
        seconds = mean["seconds"]
        missing = formats.is_missing(seconds)
        cells.append(Cell(formats.NA) if missing else Cell(formats.duration(seconds), float(seconds)))
        cells += [Cell(formats.text_or_empty(part["facts"].iloc[0]))] if has_facts else []
        rows.append(cells)
    columns = words("Arm", "Finetuned on")
    columns += numbers("Seeds", "Examples", "Steps", "Tokens", "of them supervised", "Loss, first to last")
    columns += numbers(*["Penalty, first to last"] * has_penalty, "Time")
    columns += words(*["What the defence tells"] * has_facts)
    sentence = (
        "Means over training seeds; losses and penalties in nats per answer token, a last loss is the mean "
        "over the last quarter of the steps; a finetune that arms share is trained once and listed for each."
    )
    notes = ("Facts of a defence are those of its first seed.",) if has_facts else ()
    return Table("How each arm was trained", sentence, columns, rows, notes)


def compact(facts: Mapping[str, Any]) -> str:
    """A defence's facts on one line: long lists and mappings by their size, numbers with four digits."""
    text = "; ".join(f"{name} {_short(value)}" for name, value in facts.items())
    return formats.clip(visible(text), _FACTS_SHOWN)


def _short(value: Any) -> str:
    if isinstance(value, Mapping):
        if len(value) > _LISTED:
            return f"({len(value)} values)"
        return "(" + ", ".join(f"{name} {_short(part)}" for name, part in value.items()) + ")"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"({len(value)} values)" if len(value) > _LISTED else "(" + ", ".join(map(_short, value)) + ")"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return formats.significant(value, 4)
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _rounded(value: Any) -> Cell:
    return Cell(formats.NA) if formats.is_missing(value) else Cell(f"{round(value)}", float(value))


def _from_to(first: Any, last: Any, places: int) -> Cell:
    if formats.is_missing(first) or formats.is_missing(last):
        return Cell("")
    return Cell(f"{formats.number(first, places)} to {formats.number(last, places)}", float(last))
