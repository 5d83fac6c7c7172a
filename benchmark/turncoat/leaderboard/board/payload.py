"""Data of the board's page: cells as text and numbers, facts of every entry, sampled answers."""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

import pandas as pd

from turncoat import __version__
from turncoat.evaluation.task_facts import task_label
from turncoat.leaderboard.board.build import Board, Row
from turncoat.leaderboard.board.cell_text import cell_note, cell_text, column_decimals, shown_cell
from turncoat.leaderboard.board.note import INTERVALS
from turncoat.leaderboard.entry.submission import Supersedes
from turncoat.leaderboard.entry.track import TrackTask
from turncoat.leaderboard.ranking.cells import BoardCell
from turncoat.leaderboard.ranking.columns import BoardColumn
from turncoat.report.browser.answer_store import answer_fields

MOST_ANSWERS = 600
"""Answers of one role of one entry on the page; the rows have all."""
MOST_OF_CANARY = 40


def payload(boards: Sequence[Board]) -> dict[str, Any]:
    """Everything that the page shows, as plain JSON; every string may come from a stranger, every number is
    finite.

    Two answers face each other on the page where board, task, prompt, question and seed agree.
    """
    answers = [answer for board in boards for row in board.rows for answer in _answers(board, row)]
    return {
        "title": "Turncoat leaderboard",
        "generated_by": f"turncoat {__version__}",
        "boards": [_board(board) for board in boards],
        "answers": answers,
    }


def _board(board: Board) -> dict[str, Any]:
    decimals = {column.key: column_decimals(column, board.rows) for column in board.columns}
    track = board.track

    def task(use: TrackTask) -> dict[str, Any]:
        sizes = {"questions": use.questions, "samples": use.samples or 0}
        return {"task": use.task, "label": task_label(use.task), **sizes}

    return {
        "id": board.id,
        "track": {
            "name": track.track,
            "summary": track.summary,
            "min_seeds": track.min_seeds,
            "tasks": [task(use) for use in track.tasks_for(board.organism)],
        },
        "model": board.model,
        "organism": board.organism,
        "control": board.control,
        "ranked_by": {**asdict(board.ranked_by), "metric": board.ranked_by.key},
        "note": "\n".join(sentence for sentence in board.note if sentence != INTERVALS),
        "intervals": INTERVALS,
        "columns": [asdict(column) for column in board.columns],
        "entries": [_entry(board, row, decimals) for row in board.rows],
    }


def _entry(board: Board, row: Row, decimals: dict[str, int]) -> dict[str, Any]:
    facts = row.submission
    return {
        "slug": row.slug,
        "defence": facts.defence.name,
        "setting": facts.defence.setting,
        "prompt": row.prompt,
        "kind": row.kind,
        "rank": row.rank.text if row.rank else "",
        "verdict": row.against.verdict if row.against else "",
        "unshown": _unshown(row),
        "flags": [flag._asdict() for flag in row.flags],
        "beside": row.beside,
        "trust": row.trust.level,
        "trust_note": row.trust.note,
        "contact": facts.contact,
        "summary": facts.defence.summary,
        "paper": facts.defence.paper,
        "seeds": list(facts.seeds),
        "cells": {
            column.key: _cell(shown_cell(row, column, board.ranked_by), column, decimals[column.key])
            for column in board.columns
        },
        "facts": _facts(board, row),
        "superseded_by": row.superseded_by,
        "shared": dict(sorted(row.shared.items())),
    }


def _unshown(row: Row) -> list[dict[str, str]]:
    """Requirements that are not shown, each name once with all its reasons."""
    reasons: dict[str, list[str]] = {}
    for gate in row.unshown:
        reasons.setdefault(gate.name, []).append(gate.why)
    return [{"name": name, "why": "; ".join(why)} for name, why in reasons.items()]


def _cell(cell: BoardCell, column: BoardColumn, decimals: int) -> dict[str, Any]:
    """Text and note to show, and the numbers that sort the table and draw the bar."""
    return {
        **{name: _number(getattr(cell, name)) for name in ("value", "low", "high")},
        # The page has the organism's shift in the note: in the cell it would make every column twice as wide.
        "text": "reference" if cell.is_reference else cell_text(cell, column, decimals),
        "note": cell_note(cell, column, decimals),
    }


def _facts(board: Board, row: Row) -> list[list[str]]:
    facts, model = row.submission, row.submission.model
    pairs: list[tuple[str, Any]] = [
        ("method", facts.defence.registered or "not in this package"),
        ("options", facts.defence.options),
        ("its own finetune", facts.defence.training),
        ("code", facts.defence.code),
        ("base model", f"{model.name} ({model.revision}, {model.dtype}, {model.parameters:,} weights)"),
        ("organism", _data(facts.organism)),
        ("control", _data(facts.control)),
        ("harmless partner", _data(facts.benign) if facts.benign else ""),
        ("organism's recipe", facts.recipe),
        ("persona vector", f"{facts.persona.trait}, layer {facts.persona.layer}"),
        ("judge", f"{facts.judge.id}, rubric {facts.judge.rubric}"),
        *(
            (f"adapter sha256, {role}, seed {seed}", sha)
            for role, hashes in sorted(facts.adapters.items())
            for seed, sha in sorted(hashes.items(), key=lambda pair: int(pair[0]))
        ),
        ("task versions", dict(sorted(facts.tasks.items()))),
        ("packages", dict(sorted(facts.versions.items()))),
        ("command", facts.command),
        ("hardware", facts.hardware),
        ("training time", f"{facts.wall_seconds:.0f} s"),
        ("supersedes", _supersedes(board, facts.supersedes, row.slug)),
        *(
            (f"against {pair.second if pair.first == row.slug else pair.first}", _versus(pair, row.slug))
            for pair in board.pairs
            if row.slug in (pair.first, pair.second)
        ),
    ]
    return [[name, _as_text(value)] for name, value in pairs if value not in ("", {}, None)]


def _supersedes(board: Board, earlier: Supersedes | None, slug: str) -> str:
    if earlier is None:
        return ""
    in_force = any(row.slug == earlier.entry and row.superseded_by == slug for row in board.rows)
    return f"{earlier.entry}: {earlier.reason}" + ("" if in_force else " (asked for, not in force)")


def _versus(pair: Any, slug: str) -> str:
    if pair.difference is None or pair.p_adjusted is None:
        return "no test"
    sign = 1 if pair.first == slug else -1
    return f"{sign * pair.difference:+.3g} on the ranked metric, adjusted p = {pair.p_adjusted:.3g}"


def _data(data: Any) -> str:
    size = "" if data.examples is None else f", {data.examples} examples"
    return f"{data.name}{size}" + (f" (sha256 {data.sha256})" if data.sha256 else "")


def _as_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    texts = {
        key: one if isinstance(one, str) else json.dumps(one, sort_keys=True) for key, one in value.items()
    }
    return ", ".join(f"{key}: {text}" for key, text in texts.items())


def _answers(board: Board, row: Row) -> Iterable[dict[str, Any]]:
    """The answers of the own arm, and of the undefended one where they are this entry's own."""
    if row.answers.empty or row.superseded_by:
        return
    roles = [role for role in ("organism", "defended") if role not in row.shared]
    most = MOST_OF_CANARY if row.kind == "canary" else MOST_ANSWERS
    for role in roles:
        answers = row.answers[row.answers["arm"] == role]
        # First samples of all questions before second ones of any: a cut leaves no question out.
        answers = answers.sort_values(["index", "seed", "task", "question_id"], kind="stable").head(most)
        answers = answers.sort_values(["task", "question_id", "seed", "index"], kind="stable")
        arm = {"board": board.id, "slug": row.slug, "role": role}
        for record in answers.to_dict("records"):
            yield {**arm, **answer_fields({str(key): value for key, value in record.items()}, raw=False)}


def _number(value: Any) -> float | None:
    if value is None or pd.isna(value) or not math.isfinite(value):
        return None
    return float(f"{float(value):.6g}")
