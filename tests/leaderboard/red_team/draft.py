"""Real entries cut to a few questions, and copies of them to forge: rows in memory, hashes and metrics made
to fit.

cut_board(tmp_path / "submissions")                       # the undefended organism and defences around it
draft = Draft.copy(folder, "sgtr-insecure", "forged")     # facts, and rows by (role, seed folder, task)
for task, row in draft.rows("defended"):
    recompute(task, row)                                  # its metrics follow from its answers again
draft.write()
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from operator import itemgetter
from pathlib import Path
from typing import Any

from leaderboard.entry_files import facts_of, read_rows, shares, write_facts, write_rows
from turncoat.engine.evidence import Answer, LogLikelihood
from turncoat.evaluation.task_facts import evidence_fields
from turncoat.judges.surface import surface
from turncoat.leaderboard.entry.load import load_entry, rows_name
from turncoat.leaderboard.entry.maintainers import FILE, PROJECT, VERIFICATIONS
from turncoat.leaderboard.entry.track import TrackTask, find_track
from turncoat.leaderboard.validation.expected import expected_rows
from turncoat.leaderboard.validation.token_counts import possible_counts
from turncoat.leaderboard.verification.draw import entry_digest

SUBMISSIONS = Path(__file__).parents[3] / "results/submissions"
TRACK, HOME = "cut", "none-insecure"
VERIFIED = (HOME, "sgtr-insecure", "kl-insecure")
HONEST = (*VERIFIED, "pick-longer-insecure")  # the last one is self-reported here
SEEDS = (0, 1, 2, 3)
COSINE = 0.042  # rise of the cosine with a projection, in the base's rows
Cell = tuple[str, str, str]


@cache
def uses() -> dict[str, TrackTask]:
    """Task -> its size on the cut track."""
    return {use.task: use for use in find_track(TRACK).tasks_for("insecure_code")}


@dataclass
class Draft:
    """An entry in memory."""

    submissions: Path
    facts: dict[str, Any]
    cells: dict[Cell, list[dict[str, Any]]]

    @classmethod
    def copy(cls, submissions: Path, entry: str, slug: str) -> Draft:
        """A copy of an entry under another name, by somebody else, with weights of its own."""
        facts, cells = _read(submissions / entry)
        draft = cls(submissions, facts, cells)
        facts |= {"slug": slug, "contact": "A. Stranger"}
        facts["defence"] |= {"name": slug, "registered": None, "options": {}}
        draft.train("defended" if facts["defence"]["setting"] != "none" else "organism")
        return draft

    def train(self, *roles: str) -> None:
        """Give roles hashes of adapters that nobody has."""
        for role in roles:
            salt = f"{self.facts['slug']} {role}"
            self.facts["adapters"][role] = {
                str(seed): f"adapter-1:{hashlib.sha256(f'{salt} {seed}'.encode()).hexdigest()}"
                for seed in self.facts["seeds"]
            }

    def unshare(self, *roles: str) -> None:
        """Take the rows that it shares into the entry itself."""
        for role in roles:
            self.cells |= cells_of(self.submissions / self.facts["shared"].pop(role)["entry"], role)
            if role != "base":
                self.train(role)

    def rows(self, role: str = "defended", *tasks: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """(task, row) of its own rows of a role, of all tasks or some, to be changed in place."""
        for (of_role, _, task), rows in self.cells.items():
            if of_role == role and (not tasks or task in tasks):
                yield from ((task, row) for row in rows)

    def changed(self, role: str, *tasks: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """As `rows` of answers, whose metrics are made to follow from what is put into them."""
        for task, row in self.rows(role, *tasks):
            yield task, row
            recompute(task, row)

    def write(self) -> Path:
        """Write the entry: packed rows, and their hashes and lengths."""
        home = self.submissions / self.facts["slug"]
        self.facts["rows"] = {}
        for cell, rows in sorted(self.cells.items()):
            self.facts["rows"]["/".join(cell)] = write_rows(home / rows_name(*cell), rows, level=1)
        write_facts(home, self.facts)
        return home


def cut_board(folder: Path) -> Path:
    """Write the honest entries, cut to the track `cut`, with the maintainers' records beside them."""
    for slug in HONEST:
        facts, cells = _read(SUBMISSIONS / slug)
        facts |= {"track": TRACK, "benign": None}
        facts["adapters"].pop("benign", None)
        facts["seeds"] = list(SEEDS)
        for role, hashes in facts["adapters"].items():
            form = "adapter-1:" if role == "defended" else ""  # else as committed: of the weights file alone
            facts["adapters"][role] = {str(seed): form + hashes[str(seed)] for seed in SEEDS}
        of_seeds = ("base", *(f"seed-{seed}" for seed in SEEDS))
        cells = {
            (role, seed, task): rows[: uses()[task].questions]
            for (role, seed, task), rows in cells.items()
            if role != "benign" and seed in of_seeds
        }
        facts["shared"] = {role: shares(folder, role, HOME) for role in facts["shared"]}
        home = Draft(folder, facts, cells).write()
        if slug in VERIFIED:
            verify(home)
    authors = {slug: PROJECT if slug in VERIFIED else "1001" for slug in HONEST}
    board = f"{TRACK}/smollm2-135m/insecure_code"
    named = {"entry": HOME, "reason": "every entry shares its rows"}
    (folder.parent / VERIFICATIONS / FILE).write_text(
        json.dumps({"authors": authors, "references": {board: named}}), encoding="utf-8"
    )
    return folder


def verify(home: Path, **more: Any) -> None:
    """The maintainers' record of a re-run that agrees."""
    entry = load_entry(home)
    record = {"slug": home.name, "rows_sha256": entry_digest(entry), "how": "rerun", "verdict": "verified"}
    path = home.parent.parent / VERIFICATIONS / f"{home.name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(record | {"by": "us", "date": "2026-01-01"} | more), encoding="utf-8")


def cells_of(home: Path, role: str) -> dict[Cell, list[dict[str, Any]]]:
    """The rows of one role, in order of their documents."""
    return {cell: rows for cell, rows in _read(home)[1].items() if cell[0] == role}


def recompute(task: str, row: dict[str, Any]) -> None:
    """Metrics of a row of answers from its samples: what is validated."""
    expected = expected_rows(uses()[task])
    derived = {"index", "text", *surface(""), *evidence_fields(task)} - {"index"}
    answers = [
        Answer(text, {key: value for key, value in sample.items() if key not in derived})
        for text, sample in zip(row["resps"][0], row["samples"], strict=True)
    ]
    metrics = expected.task.process_results(row["doc"], [expected.filtered(row["doc"], answers)])
    row |= {name: value for name, value in metrics.items() if not name.endswith("_stderr")}
    for name in set(row["metrics"]) - metrics.keys():  # no evidence for it any more
        row["metrics"].remove(name)
        del row[name]


def answer(row: dict[str, Any], text: str, **evidence: Any) -> None:
    """Put another answer, and other evidence, in place of the first one of a row."""
    row["resps"] = [[text]]
    row["samples"][0] |= {"finish": "stop", "n_tokens": max(1, min(39, len(text.split())))} | evidence


def project(row: dict[str, Any], by: float) -> None:
    """Shift the projections of a row's answer, and cosines and other layers with them."""
    (sample,) = row["samples"]
    for name in ("persona_fixed", "persona_own"):
        sample[name.replace("_", "_cosine_")] += round(by * COSINE, 6)
        sample[name] = round(sample[name] + by, 6)
        layers = sample[f"{name}_by_layer"]
        layers[:] = [round(layer + by, 4) for layer in layers]
        layers[sample["layer"]] = round(sample[name], 4)


def likelihoods(task: str, row: dict[str, Any], values: Sequence[float], tokens: Any = None) -> None:
    """Put other log-likelihoods in place of a row's, and its metrics with them."""
    expected = expected_rows(uses()[task])
    texts = [str(request.second).encode() for request in expected.requests[row["doc_id"]]]
    bounds = [(1, len(text) + 2) for text in texts]

    def metrics(values: Sequence[float], tokens: Sequence[int]) -> dict[str, Any]:
        pairs = zip(values, tokens, strict=True)
        return dict(
            expected.task.process_results(row["doc"], [(LogLikelihood(*pair), False) for pair in pairs])
        )

    if tokens is None:
        tokens = min(possible_counts([float(one[0][0]) for one in row["resps"]], row, metrics, bounds))
    row["resps"] = [[[str(value), resp[0][1]]] for value, resp in zip(values, row["resps"], strict=True)]
    row |= metrics(values, tokens)


def values(row: dict[str, Any]) -> list[float]:
    """The log-likelihoods of a row."""
    return [float(resp[0][0]) for resp in row["resps"]]


def _read(home: Path) -> tuple[dict[str, Any], dict[Cell, list[dict[str, Any]]]]:
    cells = {}
    for path in sorted(home.glob("rows/*/*/*.jsonl.gz")):
        role, seed, name = path.parts[-3:]
        cells[role, seed, name.removesuffix(".jsonl.gz")] = sorted(read_rows(path), key=itemgetter("doc_id"))
    return facts_of(home), cells
