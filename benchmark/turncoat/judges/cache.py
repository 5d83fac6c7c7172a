"""Verdict cache: the same judge never scores the same answer to the same question twice.

A folder per judge in the user cache (`verdicts/`), shared by all runs and safe under a kill and many
processes on many hosts: each writes a file of its own, a line of JSON per verdict, while scoring goes on.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import re
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from turncoat.engine.thoughts import split_thoughts
from turncoat.judges.base import Judge, Verdict, plain_json
from turncoat.paths import cache_dir
from turncoat.shown_text import warn
from turncoat.store.records import Records

CHUNK = 128
"""Answers handed at once to a judge that cannot report single verdicts; so many may be lost to a kill."""
THOUGHTS_CUT = "thoughts without an end: there is no answer"
"""Reason of an answer without scores."""
_MANY = 500  # SQLite's oldest limit is 999 variables in a statement

Pair = tuple[str, str]


def verdict_key(judge: Judge, question: str, answer: str) -> str:
    """SHA-256 (hex) of the judge's id, its rubric, the question and the answer."""
    text = json.dumps([judge.id, judge.rubric, question, answer])  # ASCII: a lone surrogate stays hashable
    return hashlib.sha256(text.encode()).hexdigest()


def cache_folder(judge: Judge) -> Path:
    """Folder of the verdicts of `judge`."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", judge.id)[:60].strip(".-") or "judge"
    return cache_dir() / "verdicts" / f"{name}-{hashlib.sha256(judge.id.encode()).hexdigest()[:8]}"


def cached_scores(
    judge: Judge,
    questions: Sequence[str],
    answers: Sequence[str],
    on_done: Callable[[int], None] | None = None,
) -> list[Verdict]:
    """One verdict per pair in order: from the cache, else from the judge. Equal pairs are judged once.

    What stands behind an answer's thoughts is judged. An empty answer is not shown to the judge: it is
    unscored. A verdict of a failed call (`Verdict.failed`) is returned but not kept. A cache that cannot be
    read or written costs a warning and time, never a verdict.

    Args:
        judge: Scores what is not in the cache; if its `score` takes `on_verdict`, each verdict is kept as it
            comes.
    """
    if len(questions) != len(answers):
        raise ValueError(
            f"{len(questions)} questions and {len(answers)} answers: one question per answer is needed"
        )
    parts = [split_thoughts(answer) for answer in answers]
    pairs = [(question, part.answer) for question, part in zip(questions, parts, strict=True)]
    copies = Counter(pairs)
    empty = Verdict(
        None, None, mass=0.0, judge=judge.id, rubric=judge.rubric, raw={"unscored": "empty answer"}
    )
    verdicts = {pair: empty for pair in copies if not pair[1].strip()}
    streams = "on_verdict" in inspect.signature(judge.score).parameters
    with closing(_Verdicts(judge)) as store:
        keys = {verdict_key(judge, *pair): pair for pair in copies if pair not in verdicts}
        verdicts |= {keys[key]: verdict for key, verdict in store.read(list(keys)).items()}
        if on_done is not None:
            on_done(sum(copies[pair] for pair in verdicts))
        missing = [pair for pair in copies if pair not in verdicts]
        size = len(missing) if streams else CHUNK
        for start in range(0, len(missing), max(size, 1)):
            chunk = missing[start : start + size]
            verdicts |= _scored(judge, chunk, store, streams=streams, copies=copies, on_done=on_done)
    cut = replace(empty, raw={"unscored": THOUGHTS_CUT})
    return [cut if part.cut else verdicts[pair] for pair, part in zip(pairs, parts, strict=True)]


def _outdated(judge: Judge, verdict: Verdict) -> bool:
    """True if the judge can tell that earlier rules may have got the verdict wrong."""
    says = getattr(judge, "outdated", None)
    return says is not None and bool(says(verdict))


def _scored(
    judge: Judge,
    pairs: Sequence[Pair],
    store: _Verdicts,
    *,
    streams: bool,
    copies: Counter[Pair],
    on_done: Callable[[int], None] | None,
) -> dict[Pair, Verdict]:
    """The judge's verdict of every pair, each written to the store as soon as it is known."""
    verdicts: dict[Pair, Verdict] = {}
    reported = 0
    lock = threading.Lock()  # a concurrent judge may report from its own threads

    def keep(index: int, verdict: Verdict) -> None:
        signed = replace(verdict, judge=verdict.judge or judge.id, rubric=verdict.rubric or judge.rubric)
        with lock:
            verdicts[pairs[index]] = signed
            if streams:
                store.write({pairs[index]: signed})

    def report(n: int) -> None:
        nonlocal reported
        reported += n
        if on_done is not None:
            on_done(n)

    more: dict[str, Any] = {"on_verdict": keep} if streams else {}
    scored = judge.score(
        [question for question, _ in pairs], [answer for _, answer in pairs], on_done=report, **more
    )
    if len(scored) != len(pairs):
        raise RuntimeError(f"judge {judge.id} gave {len(scored)} verdicts for {len(pairs)} answers")
    for index, verdict in enumerate(scored):
        if pairs[index] not in verdicts:
            keep(index, verdict)
    if not streams:
        store.write(verdicts)
    report(sum(copies[pair] for pair in pairs) - reported)  # equal answers, and a judge that does not report
    return verdicts


class _Verdicts:
    """The verdicts of a judge that all processes have written; trouble with them ends in a warning."""

    def __init__(self, judge: Judge) -> None:
        self._judge, self._folder = judge, cache_folder(judge)
        self._records = Records(self._folder)
        self._usable = True

    def read(self, keys: Sequence[str]) -> dict[str, Verdict]:
        """The verdicts there are, by key; one that cannot be read is left out.

        Two processes may have scored the same answer at the same moment. Which one counts from then on does
        not depend on the order of files, nor on the scores.
        """
        try:
            texts = self._records.read(keys)
        except OSError as error:
            self._give_up(error)
            return {}
        for key, text in self._of_earlier_versions([key for key in keys if key not in texts]):
            texts[key] = [text]
        verdicts, outdated = {}, 0
        for key, candidates in texts.items():
            found = [verdict for text in sorted(candidates, key=_hash) if (verdict := _parsed(text))]
            current = [verdict for verdict in found if not _outdated(self._judge, verdict)]
            outdated += bool(found and not current)
            if current:
                verdicts[key] = current[0]
        if outdated:
            warn(f"{outdated} verdicts of an earlier version are judged again")
        return verdicts

    def write(self, verdicts: dict[Pair, Verdict]) -> None:
        """Add the verdicts of calls that did not fail."""
        for pair, verdict in verdicts.items():
            if self._usable and not verdict.failed:
                text = json.dumps(plain_json(asdict(verdict)), allow_nan=False)
                try:
                    self._records.write(verdict_key(self._judge, *pair), text)
                except OSError as error:
                    self._give_up(error)

    def close(self) -> None:
        """Close the files."""
        self._records.__exit__()

    def _of_earlier_versions(self, keys: Sequence[str]) -> Iterator[tuple[str, str]]:
        """Rows of the SQLite file that earlier versions wrote. Nobody writes it any more: no lock is asked
        for, which a network file system may not give."""
        path = self._folder.with_name(f"{self._folder.name}.sqlite")
        if not keys or not path.is_file():
            return
        try:
            with closing(sqlite3.connect(f"{path.absolute().as_uri()}?immutable=1", uri=True)) as connection:
                for start in range(0, len(keys), _MANY):
                    part = keys[start : start + _MANY]
                    marks = ",".join("?" * len(part))
                    rows = connection.execute(f"SELECT * FROM verdicts WHERE key IN ({marks})", part)
                    yield from (row for row in rows if isinstance(row[1], str))
        except sqlite3.Error as error:
            warn(f"the earlier verdict cache {path} cannot be read ({error}) and is left alone")

    def _give_up(self, error: OSError) -> None:
        self._usable = False
        warn(f"verdicts are not kept: {self._folder}: {error}")


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _parsed(text: str) -> Verdict | None:
    try:
        return Verdict(**json.loads(text))
    except (TypeError, ValueError):  # a kill cut it short
        return None
