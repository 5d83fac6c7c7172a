"""progress.json in the run folder while a study runs: stages, the one at work, how long the rest will take.

    record = ProgressFile(out, plan.stages)
    record.begin(stage.id); record.update(stage.id, 3, 30, "loss 2.31"); record.end(stage.id, 12.0, key)
    record.remove()                   # once the rows are gathered

`turncoat view` reads it. A run that was stopped leaves it behind; the next one replaces it.
"""

import contextlib
import json
import os
import platform
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from turncoat.errors import UserError
from turncoat.safe_files import write_file
from turncoat.study.plan import Stage

NAME = "progress.json"
KEY = re.compile(r"(adapter|rows|check|persona)/[0-9a-f]{20}")
WAITING, AT_WORK, DONE, BEFORE, FAILED = "to come", "under way", "done", "done before", "failed"
_EVERY = 1.0  # seconds between two writes about the same stage


class ProgressFile:
    """Keeps the file up to date; a full disk or a folder that is gone does not stop the study.

    Args:
        left: Seconds that the rest will take, asked whenever the file is written.
    """

    def __init__(self, out: Path, stages: Iterable[Stage], left: Callable[[], float] = lambda: 0.0) -> None:
        self.path, self.left = out / NAME, left
        self.stages = {
            stage.id: {
                "id": stage.id, "label": stage.label, "kind": stage.kind, "arm": stage.arm,
                "seed": stage.seed, "task": stage.task.task if stage.task else "",
                "step": stage.steps[-1].name if stage.steps else "", "state": WAITING, "seconds": None,
                "share": 0.0, "note": "", "result": "",
            } for stage in stages
        }  # fmt: skip
        self._written = 0.0
        self._write()

    def begin(self, stage: str) -> None:
        """A stage is at work from now on."""
        self._set(stage, state=AT_WORK)

    def update(self, stage: str, done: float, total: float, note: str = "") -> None:
        """A stage at work is so far; written at most once a second."""
        share = round(min(done / max(total, 1e-9), 1.0), 3)
        self._set(stage, now=time.monotonic() - self._written >= _EVERY, share=share, note=note)

    def end(self, stage: str, seconds: float | None, result: str = "") -> None:
        """A stage is finished, after so many seconds; None: it was done before.

        Args:
            result: Its key in the store, "rows/0123...".
        """
        known = result if KEY.fullmatch(result) else ""
        state = BEFORE if seconds is None else DONE
        self._set(stage, state=state, seconds=seconds, share=1.0, note="", result=known)

    def fail(self, arm: str, seed: int, why: str) -> None:
        """What is left of a unit whose training diverged will not be made."""
        for name, stage in self.stages.items():
            if (stage["arm"], stage["seed"]) == (arm, seed) and stage["state"] in (WAITING, AT_WORK):
                self._set(name, now=False, state=FAILED, note=why)
        self._write()

    def remove(self) -> None:
        """The run is finished."""
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)

    def _set(self, stage: str, *, now: bool = True, **fields: Any) -> None:
        self.stages[stage].update(fields)
        if now:
            self._write()

    def _write(self) -> None:
        record = {
            "host": platform.node(), "pid": os.getpid(), "updated": time.time(), "left": self.left(),
            "stages": list(self.stages.values()),
        }  # fmt: skip
        self._written = time.monotonic()
        with contextlib.suppress(UserError):
            write_file(self.path, json.dumps(record) + "\n")


def alive(record: Mapping[str, Any]) -> bool:
    """True unless the process that writes the file is gone; on another host, silence for an hour says so."""
    if record["host"] != platform.node():
        return time.time() - float(record["updated"]) < 3600
    try:
        os.kill(int(record["pid"]), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def curves(training: Mapping[str, Any]) -> dict[str, list[list[float]]]:
    """`loss` and, where a defence adds one, `penalty` of a finetune's training.json, as short curves."""
    named = {"loss": training.get("losses"), "penalty": training.get("penalties")}
    return {name: thinned(values) for name, values in named.items() if values}


def thinned(values: Sequence[float], most: int = 60) -> list[list[float]]:
    """A curve as at most `most` points [last step of a stretch, mean over the stretch]."""
    count = min(most, len(values))
    ends = [round((n + 1) * len(values) / count) for n in range(count)]
    starts = [0, *ends[:-1]]
    return [
        [end, round(sum(values[start:end]) / (end - start), 4)]
        for start, end in zip(starts, ends, strict=True)
    ]
