"""Job of a worker (the study and its store), the work on a unit, and the engine that hands both out."""

from __future__ import annotations

import json
import os
import time
import traceback
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path
from queue import SimpleQueue
from typing import Protocol

from turncoat.engine.base_model import load_base
from turncoat.errors import UserError
from turncoat.paths import cache_dir
from turncoat.registry import discover
from turncoat.store import Store
from turncoat.study.config import Study
from turncoat.study.units.maker import Event, Tell, UnitMaker, planned

_EVERY = 0.5  # Seconds between two reports of a stage's progress


def job_of(study: Study, store: Store, include: Iterable[Path] = ()) -> str:
    """A line of JSON with all that a worker has to know: the study, the store's root, settings.

    Relative paths in the study start at this process's folder. Keys of endpoints are not sent.
    """
    settings = {name: value for name, value in os.environ.items() if name.startswith("TURNCOAT_")}
    job = {
        "study": study.model_dump_json(), "store": str(store.root.resolve()), "folder": os.getcwd(),
        "include": [str(Path(folder).resolve()) for folder in include],
        "settings": {**settings, "TURNCOAT_CACHE": str(cache_dir().resolve())},
    }  # fmt: skip
    return json.dumps(job)


class Engine(Protocol):
    """Starts workers and hands units to them."""

    described: str  # One line for the user

    @property
    def most(self) -> int | None:
        """Units at work at once; None: as many as are ready."""

    def running(self, job: str, inbox: SimpleQueue[Event]) -> AbstractContextManager[None]:
        """Around all units; workers that are still there on leaving are stopped."""

    def submit(self, units: Sequence[str]) -> None:
        """Have units made. Their events come to the inbox, for each unit one that ends it."""


@lru_cache(maxsize=1)  # the base model stays in memory from unit to unit
def _maker(job: str) -> UnitMaker:
    given = json.loads(job)
    os.environ.update(given["settings"])
    if Path(given["folder"]).is_dir():
        os.chdir(given["folder"])
    discover([Path(folder) for folder in given["include"]])
    study = Study.model_validate_json(given["study"])
    base = load_base(study.model, dtype=study.dtype)
    return UnitMaker(*planned(study, base, Store(Path(given["store"]))))


def make_unit(job: str, unit: str, tell: Tell) -> None:
    """Make one unit of a job in this process; whatever happens, the last event that is told ends the unit."""
    last = 0.0

    def seldom(event: Event) -> None:
        nonlocal last
        if event.kind == "progress" and time.monotonic() - last < _EVERY:
            return
        last = time.monotonic()
        tell(event)

    try:
        maker = _maker(job)
        maker.make(maker.plan.unit(unit), seldom)
    except UserError as error:
        tell(Event("refused", unit, text=str(error)))
    except Exception:
        tell(Event("failed", unit, text=traceback.format_exc()))


def event_line(event: Event) -> str:
    """An event as a line of JSON without the fields that say nothing."""
    plain = asdict(Event("", ""))
    return json.dumps({key: value for key, value in asdict(event).items() if value != plain[key]})


def event_of(line: str) -> Event | None:
    """The event of `event_line`; None for a line that a library printed."""
    try:
        return replace(Event("", ""), **json.loads(line))
    except (ValueError, TypeError):
        return None
