"""Verdicts by content: the same judge never scores the same answer to the same question twice.

One SQLite file per judge in the user cache (`verdicts/`), shared by all runs and safe under several processes and a
kill: verdicts are written while scoring goes on.

>>> verdicts = cached_scores(judge, questions, answers)    # asks the judge only for what is not there yet
"""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import re
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from turncoat.judges.base import Judge, Verdict, plain_json
from turncoat.paths import cache_dir

CHUNK = 128
"""Answers handed at once to a judge that cannot report single verdicts; so many may be lost to a kill."""
_WRITE_EVERY, _WRITE_SECONDS = 64, 2.0
_BUSY_SECONDS = 60.0
_MANY = 500  # SQLite's oldest limit is 999 variables in a statement

Pair = tuple[str, str]


def verdict_key(judge: Judge, question: str, answer: str) -> str:
    """SHA-256 (hex) of the judge's id, its rubric, the question and the answer."""
    text = json.dumps([judge.id, judge.rubric, question, answer])  # ASCII: a lone surrogate stays hashable
    return hashlib.sha256(text.encode()).hexdigest()


def cache_file(judge: Judge) -> Path:
    """Where the verdicts of `judge` are kept."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", judge.id)[:60].strip(".-") or "judge"
    return cache_dir() / "verdicts" / f"{name}-{hashlib.sha256(judge.id.encode()).hexdigest()[:8]}.sqlite"


def cached_scores(
    judge: Judge,
    questions: Sequence[str],
    answers: Sequence[str],
    on_done: Callable[[int], None] | None = None,
) -> list[Verdict]:
    """One verdict per pair in order: from the cache, else from the judge. Equal pairs are judged once.

    An empty answer is not shown to the judge: it is unscored. A verdict of a failed call (`Verdict.failed`) is returned
    but not kept. A cache that cannot be read or written costs a warning and time, never a verdict.

    Args:
        judge: Who scores.
        questions: One per answer.
        answers: What to score.
        on_done: Told how many more of the answers have a verdict.
    """
    if len(questions) != len(answers):
        raise ValueError(f"{len(questions)} questions and {len(answers)} answers: one question per answer is needed")
    tell = on_done or (lambda _: None)
    wanted: dict[Pair, int] = {}
    for pair in zip(questions, answers, strict=True):
        wanted[pair] = wanted.get(pair, 0) + 1
    found: dict[Pair, Verdict] = {pair: _empty(judge) for pair in wanted if not pair[1].strip()}
    store = _Store(cache_file(judge))
    try:
        keys = {verdict_key(judge, *pair): pair for pair in wanted if pair not in found}
        found |= {keys[key]: verdict for key, verdict in store.read(list(keys))}
        tell(sum(wanted[pair] for pair in found))
        missing = [pair for pair in wanted if pair not in found]
        for chunk in _chunks(judge, missing):
            found |= _scored(judge, chunk, store, wanted, tell)
    finally:
        store.close()
    return [found[pair] for pair in zip(questions, answers, strict=True)]


def _empty(judge: Judge) -> Verdict:
    return Verdict(None, None, mass=0.0, judge=judge.id, rubric=judge.rubric, raw={"unscored": "empty answer"})


def _streams(judge: Judge) -> bool:
    """Whether the judge reports each verdict as it comes: `score(..., on_verdict=f)` calls `f(index, verdict)`."""
    return "on_verdict" in inspect.signature(judge.score).parameters


def _chunks(judge: Judge, pairs: Sequence[Pair]) -> list[Sequence[Pair]]:
    size = max(len(pairs), 1) if _streams(judge) else CHUNK
    return [pairs[start : start + size] for start in range(0, len(pairs), size)]


def _scored(
    judge: Judge, pairs: Sequence[Pair], store: _Store, wanted: dict[Pair, int], tell: Callable[[int], None]
) -> dict[Pair, Verdict]:
    """Ask the judge, keep each verdict as soon as it is known, and see that none is missing."""
    found: dict[Pair, Verdict] = {}
    told = 0
    lock = threading.Lock()  # a concurrent judge reports from its own threads

    def keep(index: int, verdict: Verdict) -> None:
        pair = pairs[index]
        signed = replace(verdict, judge=verdict.judge or judge.id, rubric=verdict.rubric or judge.rubric)
        with lock:
            found[pair] = signed
            if not signed.failed:
                store.write(verdict_key(judge, *pair), signed)

    def on_done(n: int) -> None:
        nonlocal told
        told += n
        tell(n)

    texts = [question for question, _ in pairs], [answer for _, answer in pairs]
    more: dict[str, Any] = {"on_verdict": keep} if _streams(judge) else {}
    verdicts = judge.score(*texts, on_done=on_done, **more)
    if len(verdicts) != len(pairs):
        raise RuntimeError(f"judge {judge.id} gave {len(verdicts)} verdicts for {len(pairs)} answers")
    for index, verdict in enumerate(verdicts):
        if pairs[index] not in found:
            keep(index, verdict)
    store.flush()
    tell(sum(wanted[pair] for pair in pairs) - told)  # equal answers, and a judge that does not tell
    return found


class _Store:
    """The SQLite file; every trouble with it ends in a warning and no cache."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._waiting: list[tuple[str, str]] = []
        self._written = time.monotonic()
        self._connection: sqlite3.Connection | None = None
        for _ in range(2):  # a second time after a corrupt file was put aside
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                self._connection = self._opened()
                return
            except (sqlite3.Error, OSError) as error:
                if not self._put_aside(error):
                    return

    def _opened(self) -> sqlite3.Connection:
        # SQLite does not wait when two processes make the same new file a WAL one: the second is told at once.
        last = time.monotonic() + _BUSY_SECONDS
        while True:
            try:
                return self._open()
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > last:
                    raise
                time.sleep(0.05)

    def _open(self) -> sqlite3.Connection:
        # Written from a concurrent judge's threads, one at a time.
        connection = sqlite3.connect(self.path, timeout=_BUSY_SECONDS, check_same_thread=False)
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.execute("CREATE TABLE IF NOT EXISTS verdicts (key TEXT PRIMARY KEY, verdict TEXT NOT NULL)")
            connection.execute("SELECT key, verdict FROM verdicts LIMIT 1").fetchone()
            connection.commit()
        except BaseException:
            connection.close()
            raise
        return connection

    def read(self, keys: Sequence[str]) -> list[tuple[str, Verdict]]:
        found: list[tuple[str, Verdict]] = []
        for start in range(0, len(keys), _MANY):
            part = keys[start : start + _MANY]
            statement = f"SELECT key, verdict FROM verdicts WHERE key IN ({','.join('?' * len(part))})"
            try:
                rows = self._connection.execute(statement, part).fetchall() if self._connection else []
            except sqlite3.Error as error:
                self._trouble(error)
                break
            found += [(key, verdict) for key, text in rows if (verdict := _from_json(text)) is not None]
        return found

    def write(self, key: str, verdict: Verdict) -> None:
        self._waiting.append((key, json.dumps(plain_json(asdict(verdict)), allow_nan=False)))
        if len(self._waiting) >= _WRITE_EVERY or time.monotonic() - self._written > _WRITE_SECONDS:
            self.flush()

    def flush(self) -> None:
        self._written = time.monotonic()
        waiting, self._waiting = self._waiting, []
        if self._connection is None or not waiting:
            return
        try:
            # The first verdict stays: two processes that score the same answer then agree ever after.
            self._connection.executemany("INSERT OR IGNORE INTO verdicts VALUES (?, ?)", waiting)
            self._connection.commit()
        except sqlite3.Error as error:
            self._trouble(error)

    def close(self) -> None:
        self.flush()
        if self._connection is not None:
            self._connection.close()

    def _trouble(self, error: Exception) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
        self._put_aside(error)

    def _put_aside(self, error: Exception) -> bool:
        """Move a corrupt file out of the way; False if the file is not the trouble (locked, full disk, read-only)."""
        corrupt = isinstance(error, sqlite3.DatabaseError) and not isinstance(
            error, sqlite3.OperationalError | sqlite3.ProgrammingError
        )
        if not corrupt:
            print(f"turncoat: verdicts are not kept: {self.path}: {error}", file=sys.stderr, flush=True)
            return False
        aside = self.path.with_name(f"{self.path.name}.corrupt-{os.getpid()}-{time.time_ns()}")
        try:
            self.path.rename(aside)
        except FileNotFoundError:
            return True  # another process was first
        except OSError as problem:
            print(f"turncoat: verdicts are not kept: {self.path}: {problem}", file=sys.stderr, flush=True)
            return False
        for tail in ("-wal", "-shm"):
            self.path.with_name(self.path.name + tail).unlink(missing_ok=True)
        print(
            f"turncoat: the verdict cache {self.path} was corrupt ({error}); it now lies at {aside.name} beside a new "
            "one, and answers are judged again",
            file=sys.stderr,
            flush=True,
        )
        return True


def _from_json(text: Any) -> Verdict | None:
    try:
        return Verdict(**json.loads(text))
    except (TypeError, ValueError):
        return None
