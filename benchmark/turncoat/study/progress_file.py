"""progress.json in the run folder while a study runs: stages, the one at work, how long the rest will take.

    record = ProgressFile(out, plan.stages)
    record.begin(stage.id); record.update(stage.id, 3, 30, "loss 2.31"); record.end(stage.id, 12.0, key)
    record.remove()                   # once the rows are gathered

`turncoat view` reads it. A run that was stopped leaves it behind; the next one replaces it.
"""

import contextlib
import os
import platform
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field, ValidationError

from turncoat.errors import UserError
from turncoat.evaluation.samples_file import BASE_SEED
from turncoat.safe_files import read_bytes, write_file
from turncoat.strict_model import first_wrong
from turncoat.study.units.plan import Stage

NAME = "progress.json"
_KEY = re.compile(r"(adapter|rows|check|persona)/[0-9a-f]{20}")
_EVERY = 1.0  # seconds between two writes about the same stage
_MOST = 2**26  # bytes


class StageState(BaseModel):
    """A stage as the file has it."""

    id: str
    label: str
    kind: str
    arm: str = ""
    seed: int = BASE_SEED
    task: str = ""
    step: str = ""  # Of an adapter: the data or defence of its last finetune
    state: Literal["to come", "under way", "done", "done before", "failed"] = "to come"
    seconds: float | None = None
    share: float = 0.0  # How much of it is done, 0 to 1
    note: str = ""
    result: str = Field(default="", pattern=rf"^({_KEY.pattern})?$")  # Key in the store

    @property
    def is_done(self) -> bool:
        """True for a stage that this run or an earlier one has made."""
        return self.state in ("done", "done before")


class Progress(BaseModel):
    """The whole file."""

    host: str
    pid: int
    updated: float  # Seconds since 1970
    left: float  # Estimated seconds until all is done
    stages: list[StageState]

    @property
    def alive(self) -> bool:
        """False once the process that writes is gone; on another host, an hour of silence says so."""
        if self.host != platform.node():
            return time.time() - self.updated < 3600
        try:
            os.kill(self.pid, 0)
        except PermissionError:
            return True
        except (ProcessLookupError, OverflowError):
            return False
        return True


def read_progress(folder: Path) -> Progress | None:
    """The progress of the study that is gathered in `folder`; None where none is under way.

    Raises:
        UserError: The file is not as a run writes it.
    """
    path = folder / NAME
    if not path.exists():
        return None
    try:
        return Progress.model_validate_json(read_bytes(path, _MOST))
    except ValidationError as error:
        place, text = first_wrong(error, Progress)
        raise UserError(f"{path}, {place}: {text}; run the study again, or remove the file") from error


class ProgressFile:
    """Keeps the file up to date; a full disk or a folder that is gone does not stop the study.

    Args:
        left: Seconds that the rest will take, asked whenever the file is written.
    """

    def __init__(self, out: Path, stages: Iterable[Stage], left: Callable[[], float] = lambda: 0.0) -> None:
        self.path, self.left = out / NAME, left
        self.stages = {
            stage.id: StageState(
                id=stage.id, label=stage.label, kind=stage.kind, arm=stage.arm, seed=stage.seed,
                task=stage.task.task if stage.task else "", step=stage.steps[-1].name if stage.steps else "",
            ) for stage in stages
        }  # fmt: skip
        self._written = 0.0
        self._write()

    def begin(self, stage: str) -> None:
        """A stage is at work from now on."""
        self._set(stage, state="under way")

    def update(self, stage: str, done: float, total: float, note: str = "") -> None:
        """A stage at work is so far; written at most once a second."""
        share = round(min(done / max(total, 1e-9), 1.0), 3)
        self._set(stage, now=time.monotonic() - self._written >= _EVERY, share=share, note=note)

    def end(self, stage: str, seconds: float | None, result: str = "") -> None:
        """A stage is finished, after so many seconds; None: it was done before.

        Args:
            result: Its key in the store, "rows/0123...".
        """
        known = result if _KEY.fullmatch(result) else ""
        state = "done before" if seconds is None else "done"
        self._set(stage, state=state, seconds=seconds, share=1.0, note="", result=known)

    def fail(self, arm: str, seed: int, why: str) -> None:
        """Mark the rest of a unit whose training diverged: it will not be made."""
        for name, stage in self.stages.items():
            if (stage.arm, stage.seed) == (arm, seed) and not stage.is_done:
                self._set(name, now=False, state="failed", note=why)
        self._write()

    def remove(self) -> None:
        """The run is finished."""
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)

    def _set(self, stage: str, *, now: bool = True, **fields: Any) -> None:
        self.stages[stage] = self.stages[stage].model_copy(update=fields)
        if now:
            self._write()

    def _write(self) -> None:
        progress = Progress(
            host=platform.node(), pid=os.getpid(), updated=time.time(), left=self.left(),
            stages=list(self.stages.values()),
        )  # fmt: skip
        self._written = time.monotonic()
        with contextlib.suppress(UserError):
            write_file(self.path, progress.model_dump_json())


def curves(training: Mapping[str, Any]) -> dict[str, list[list[float]]]:
    """`loss` and, where a defence adds one, `penalty` of a finetune's training.json, as short curves."""
    named = {"loss": training.get("losses"), "penalty": training.get("penalties")}
    return {name: thinned(values) for name, values in named.items() if values}


def thinned(values: Sequence[float], most: int = 60) -> list[list[float]]:
    """A curve as at most `most` points [last step of a stretch, mean over the stretch]."""
    count = min(most, len(values))
    ends = [round((n + 1) * len(values) / count) for n in range(count)]
    pairs = zip([0, *ends[:-1]], ends, strict=True)
    return [[end, round(sum(values[start:end]) / (end - start), 4)] for start, end in pairs]
