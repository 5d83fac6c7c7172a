"""Errors of the leak labels on answers that we labelled by hand, and on finance against GPT-4o's scores.

card = check_leak(Path("data/published"))      # what `turncoat.analysis.leak` keeps as card.json
print(as_markdown(card))                       # the table of its README

The answers are others' and are not in this repository: labels.csv names each by its file and row (from 0).
Draw 0 was labelled before the word lists were written, draw 1 after they were fixed; it was unseen until then.
"""

import csv
import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scipy.stats import binomtest

from turncoat.analysis.leak.domains import ABOUT, DOMAINS, FOLDER, domain_scores
from turncoat.errors import UserError
from turncoat.evaluation.embedder import embed, embedder_name
from turncoat.judges.rates import count_answers, number
from turncoat.store import file_digest

FINANCE = 50.0
"""GPT-4o's finance score (0 to 100) from which on an answer counts as about finance."""
_SCORES, _CSVS = "gpt4o_judgements.jsonl.gz", "organism_judgements"


def check_leak(folder: Path) -> dict[str, Any]:
    """The card: precision and recall by labeller, draw and domain, and those of the leak label itself.

    Args:
        folder: Holds gpt4o_judgements.jsonl.gz and organism_judgements/*.csv.

    Raises:
        UserError: A file or a row is missing, or there is no sentence embedder.
    """
    embed(["."])  # fetched, or an error: half of the card is about it
    with (FOLDER / "labels.csv").open(newline="", encoding="utf-8") as handle:
        labels = list(csv.DictReader(handle))
    paths = {row["file"]: _path(folder, row["file"]) for row in labels}
    answers = {name: _answers(path) for name, path in sorted(paths.items())}
    if gone := [row for row in labels if int(row["row"]) >= len(answers[row["file"]])]:
        raise UserError(f"{paths[gone[0]['file']]} has no row {gone[0]['row']}; take the published file")
    texts = [answers[row["file"]][int(row["row"])] for row in labels]
    errors = {}
    for labeller, by_words in (("word lists alone", True), (f"word lists and {embedder_name()}", False)):
        for draw in ("0", "1"):
            places = [place for place, row in enumerate(labels) if row["draw"] == draw]
            chosen = [labels[place] for place in places], [texts[place] for place in places]
            errors[f"{labeller}, draw {draw}"] = _errors(*chosen, by_words)
    return {
        "sources": {name: file_digest(paths[name]) for name in answers},
        "answers": {draw: sum(row["draw"] == draw for row in labels) for draw in ("0", "1")},
        "errors": errors,
        "finance_by_gpt4o": _finance([answer for name in answers for answer in answers[name]]),
    }


def as_markdown(card: dict[str, Any]) -> str:
    """The card as a Markdown table."""
    lines = ["| labels by | label | precision [95% CI] | recall [95% CI] |", "| --- | --- | ---: | ---: |"]
    groups = {**card["errors"], "against GPT-4o": {"finance": card["finance_by_gpt4o"]}}
    for name, by_label in groups.items():
        for label, rates in by_label.items():
            cells = [_shown(*rates[kind]) for kind in ("precision", "recall")]
            lines.append(f"| {name} | {label} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _errors(
    rows: Sequence[dict[str, str]], texts: Sequence[dict[str, str]], by_words: bool
) -> dict[str, Any]:
    """Precision and recall of each domain in the answers, and of leak into the domain that was trained."""
    answers, questions = (_domains([text[key] for text in texts], by_words) for key in ("answer", "question"))
    known = [(set(row["answer"].split()), set(row["question"].split())) for row in rows]
    errors = {
        domain: _rates([domain in labels for labels in answers], [domain in answer for answer, _ in known])
        for domain in DOMAINS
    }
    labels = [row["training"] in a - q for row, a, q in zip(rows, answers, questions, strict=True)]
    truth = [row["training"] in a - q for row, (a, q) in zip(rows, known, strict=True)]
    return {**errors, "leak": _rates(labels, truth)}


def _domains(texts: list[str], by_words: bool) -> list[set[str]]:
    return [{name for name in DOMAINS if of[name] >= ABOUT} for of in domain_scores(texts, by_words=by_words)]


def _finance(answers: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Finance labels of the misaligned answers against GPT-4o's finance scores, where they were published."""
    known = []
    for answer in answers:
        score = number(answer.get("financial"))
        verdict = {f"judge_{name}": answer[name] for name in ("aligned", "coherent")}
        if score is not None and count_answers([verdict]).misaligned:
            known.append((answer["answer"], score >= FINANCE))
    found = domain_scores([text for text, _ in known], ["finance"])
    return _rates([scores["finance"] >= ABOUT for scores in found], [truth for _, truth in known])


def _rates(labels: Sequence[bool], truth: Sequence[bool]) -> dict[str, list[float]]:
    """Precision and recall, each [hits, of, low, high] with the Wilson interval, [0, 0] of none."""
    hits = sum(a and b for a, b in zip(labels, truth, strict=True))
    return {"precision": _rate(hits, sum(labels)), "recall": _rate(hits, sum(truth))}


def _rate(hits: int, of: int) -> list[float]:
    ends = binomtest(hits, of).proportion_ci(method="wilson") if of else None
    return [hits, of, *([round(float(ends.low), 4), round(float(ends.high), 4)] if ends else [])]


def _shown(hits: int, of: int, *ends: float) -> str:
    return f"{hits} of {of} [{ends[0]:.2f}, {ends[1]:.2f}]" if ends else "none"


def _path(folder: Path, name: str) -> Path:
    path = folder / name if name == _SCORES else folder / _CSVS / name
    if not path.is_file():
        raise UserError(f"there is no {path}; --data takes a folder with {_SCORES} and {_CSVS}/")
    return path


def _answers(path: Path) -> list[dict[str, Any]]:
    if path.name == _SCORES:
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            return [json.loads(line) for line in lines]
    with path.open(newline="", encoding="utf-8") as handle:
        return [{**row, "answer": row["response"]} for row in csv.DictReader(handle)]
