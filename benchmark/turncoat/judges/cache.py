"""Verdict cache: the same judge never scores the same answer to the same question twice.

One SQLite file per judge in the user cache (`verdicts/`), shared by all runs and safe under several processes
and a kill: verdicts are written, as JSON, while scoring goes on.

>>> verdicts = cached_scores(judge, questions, answers)    # asks the judge only for what is not there yet
"""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import re
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from turncoat.engine.thoughts import split_thoughts
from turncoat.judges.base import Judge, Verdict, plain_json
from turncoat.paths import cache_dir
from turncoat.shown_text import warn

CHUNK = 128
"""Answers handed at once to a judge that cannot report single verdicts; so many may be lost to a kill."""
THOUGHTS_CUT = "thoughts without an end: there is no answer"
"""Reason of an answer without scores."""
_BUSY_SECONDS = 60.0  # that a locked file is waited for
_MANY = 500  # SQLite's oldest limit is 999 variables in a statement

Pair = tuple[str, str]


def verdict_key(judge: Judge, question: str, answer: str) -> str:
    """SHA-256 (hex) of the judge's id, its rubric, the question and the answer."""
    text = json.dumps([judge.id, judge.rubric, question, answer])  # ASCII: a lone surrogate stays hashable
    return hashlib.sha256(text.encode()).hexdigest()


def cache_file(judge: Judge) -> Path:
    """Path of the verdicts of `judge`."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", judge.id)[:60].strip(".-") or "judge"
    return cache_dir() / "verdicts" / f"{name}-{hashlib.sha256(judge.id.encode()).hexdigest()[:8]}.sqlite"


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
        on_done: Called with how many more of the answers have a verdict.
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
    with closing(_Store(cache_file(judge))) as store:
        keys = {verdict_key(judge, *pair): pair for pair in copies if pair not in verdicts}
        kept = dict(store.read(list(keys)))
        outdated = [key for key, verdict in kept.items() if _outdated(judge, verdict)]
        store.remove(outdated)
        verdicts |= {keys[key]: verdict for key, verdict in kept.items() if key not in outdated}
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
    store: _Store,
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
                store.write(judge, {pairs[index]: signed})

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
        store.write(judge, verdicts)
    report(sum(copies[pair] for pair in pairs) - reported)  # equal answers, and a judge that does not report
    return verdicts


class _Store:
    """The SQLite file of a judge's verdicts; trouble with it ends in a warning and no cache."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None
        for _ in range(2):  # a second time if a corrupt file was moved away
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                self._connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, check_same_thread=False)
                self._connection.execute(
                    "CREATE TABLE IF NOT EXISTS verdicts (key TEXT PRIMARY KEY, verdict TEXT NOT NULL)"
                )
                return
            except (sqlite3.Error, OSError) as error:
                if not self._give_up(error):
                    return

    def read(self, keys: Sequence[str]) -> Iterator[tuple[str, Verdict]]:
        """The verdicts there are, by key; a row that cannot be read is left out."""
        for start in range(0, len(keys), _MANY):
            part = keys[start : start + _MANY]
            statement = f"SELECT key, verdict FROM verdicts WHERE key IN ({','.join('?' * len(part))})"
            try:
                rows = self._connection.execute(statement, part).fetchall() if self._connection else []
            except sqlite3.Error as error:
                self._give_up(error)
                return
            for key, text in rows:
                with suppress(TypeError, ValueError):
                    yield key, Verdict(**json.loads(text))

    def write(self, judge: Judge, verdicts: dict[Pair, Verdict]) -> None:
        """Add the verdicts of calls that did not fail."""
        rows = [
            (verdict_key(judge, *pair), json.dumps(plain_json(asdict(verdict)), allow_nan=False))
            for pair, verdict in verdicts.items()
            if not verdict.failed
        ]
        if self._connection is None or not rows:
            return
        try:
            with self._connection:
                # The first verdict stays: two processes that score the same answer then agree ever after.
                self._connection.executemany("INSERT OR IGNORE INTO verdicts VALUES (?, ?)", rows)
        except sqlite3.Error as error:
            self._give_up(error)

    def remove(self, keys: Sequence[str]) -> None:
        """Delete verdicts that are to be judged again, and say so."""
        if self._connection is None or not keys:
            return
        try:
            with self._connection:
                self._connection.executemany("DELETE FROM verdicts WHERE key = ?", [(key,) for key in keys])
        except sqlite3.Error as error:
            self._give_up(error)
        warn(f"{len(keys)} verdicts of an earlier version are judged again")

    def close(self) -> None:
        """Close the file."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _give_up(self, error: Exception) -> bool:
        """Warn and close; True if the file was corrupt (not locked, nor on a full disk) and is moved away."""
        self.close()
        corrupt = type(error) is sqlite3.DatabaseError
        aside = self._path.with_name(f"{self._path.name}.corrupt-{os.getpid()}-{time.time_ns()}")
        if corrupt:
            with suppress(OSError):  # another process may have been first
                self._path.rename(aside)
            message = (
                f"the verdict cache {self._path} was corrupt ({error}); it now lies at {aside.name} beside a "
                "new one"
            )
        else:
            message = f"verdicts are not kept: {self._path}: {error}"
        warn(message)
        return corrupt
