"""Errors of the leak labels on answers that were read one by one, and on finance against GPT-4o's scores.

The answers are others' and are not in this repository: labels.csv names each by file and row (from 0).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from scipy.stats import binomtest

from turncoat.analysis.leak.domains import ABOUT, DOMAINS, FOLDER, domain_scores
from turncoat.errors import UserError
from turncoat.evaluation.embedder import embed, embedder_name
from turncoat.judges.rates import ALIGNED_BELOW, COHERENT_ABOVE
from turncoat.store import file_digest

FINANCE = 50
"""GPT-4o's finance score (0 to 100) from which on an answer counts as about finance."""


def check_leak(folder: Path) -> dict[str, Any]:
    """The card: precision and recall by labeller, draw and domain, and those of the leak label itself.

    Args:
        folder: Holds gpt4o_judgements.jsonl.gz and organism_judgements/*.csv.

    Raises:
        UserError: A file or a row is missing, or there is no sentence embedder.
    """
    embed(["."])  # fetched, or an error: half of the card is about it
    labels = pd.read_csv(FOLDER / "labels.csv", keep_default_na=False)
    paths = {name: _path(folder, name) for name in sorted(set(labels["file"]))}
    answers = {name: _answers(path) for name, path in paths.items()}
    places = list(zip(labels["file"], labels["row"].astype(int).tolist(), strict=True))
    for name, row in places:
        if row >= len(answers[name]):
            raise UserError(f"{paths[name]} has no row {row}; take the published file")
    texts = pd.DataFrame([answers[name].iloc[row] for name, row in places], labels.index)
    errors = {}
    for labeller, by_words in (("word lists alone", True), (f"word lists and {embedder_name()}", False)):
        for draw, rows in labels.groupby("draw"):
            errors[f"{labeller}, draw {draw}"] = _errors(rows, texts.loc[rows.index], by_words)
    every = pd.concat(answers.values(), ignore_index=True)
    bad = every[(every["aligned"] < ALIGNED_BELOW) & (every["coherent"] > COHERENT_ABOVE)]
    bad = bad[bad["financial"].notna()]
    finance = [scores["finance"] >= ABOUT for scores in domain_scores(bad["answer"].tolist(), ["finance"])]
    errors["against GPT-4o"] = {"finance": _rates(finance, (bad["financial"] >= FINANCE).tolist())}
    return {"sources": {name: file_digest(path) for name, path in paths.items()}, "errors": errors}


def as_markdown(card: dict[str, Any]) -> str:
    """The card as a Markdown table."""
    lines = ["| labels by | label | precision [95% CI] | recall [95% CI] |", "| --- | --- | ---: | ---: |"]
    for name, by_label in card["errors"].items():
        for label, rates in by_label.items():
            lines.append(f"| {name} | {label} | {_shown(*rates['precision'])} | {_shown(*rates['recall'])} |")
    return "\n".join(lines)


def _errors(rows: pd.DataFrame, texts: pd.DataFrame, by_words: bool) -> dict[str, Any]:
    """Precision and recall of each domain in the answers, and of leak into the domain that was trained."""
    found, known = {}, {}
    for column in ("question", "answer"):
        scores = domain_scores(texts[column].tolist(), by_words=by_words)
        found[column] = [{domain for domain in DOMAINS if of[domain] >= ABOUT} for of in scores]
        known[column] = [set(cell.split()) for cell in rows[column]]
    errors = {d: _rates(*([d in one for one in sets["answer"]] for sets in (found, known))) for d in DOMAINS}
    leaks = [
        [
            domain in a - q
            for domain, q, a in zip(rows["training"], sets["question"], sets["answer"], strict=True)
        ]
        for sets in (found, known)
    ]
    return {**errors, "leak": _rates(*leaks)}


def _rates(labels: Sequence[bool], truth: Sequence[bool]) -> dict[str, list[float]]:
    """Precision and recall, each [hits, of, low, high] with the Wilson interval, [0, 0] of none."""
    hits = sum(a and b for a, b in zip(labels, truth, strict=True))
    return {"precision": _rate(hits, sum(labels)), "recall": _rate(hits, sum(truth))}


def _rate(hits: int, of: int) -> list[float]:
    ends = binomtest(hits, of).proportion_ci(method="wilson") if of else ()
    return [hits, of, *(round(float(end), 4) for end in ends)]


def _shown(hits: int, of: int, *ends: float) -> str:
    return f"{hits} of {of} [{ends[0]:.2f}, {ends[1]:.2f}]" if ends else "none"


def _path(folder: Path, name: str) -> Path:
    path = folder / ("" if name.endswith(".gz") else "organism_judgements") / name
    if not path.is_file():
        raise UserError(f"there is no {path}; --data takes a folder with the published judgements")
    return path


def _answers(path: Path) -> pd.DataFrame:
    read = pd.read_csv(path) if path.suffix == ".csv" else pd.read_json(path, lines=True)
    return read.rename(columns={"response": "answer"}).reindex(
        columns=["question", "answer", "aligned", "coherent", "financial"]
    )
