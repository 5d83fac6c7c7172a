"""Folder of a run before anything is made for it: writable, and free or this study's own.

    check_out(Path("runs/demo"), study)      # UserError where another study's rows would go

A folder belongs to a study that makes all of its rows again. Other words, more arms, seeds, tasks or
contrasts change no row; rows of seeds that are left out stay in the store.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from turncoat.errors import UserError
from turncoat.evaluation.remote_endpoint import LIMITS
from turncoat.formats import first_of
from turncoat.safe_files import check_writable, write_file
from turncoat.study.config import Study
from turncoat.yaml_model import read_yaml_model

_ROWS_HANG_ON = (
    "study",
    "model",
    "endpoint",
    "dtype",
    "training",
    "sampling_seed",
    "persona",
    "judge",
    "generation",
    "log_likelihoods",
    "smoke",
)
_NO_ROW_HANGS_ON = {*LIMITS, "report_to"}


def study_text(study: Study) -> str:
    """A study as a run folder's study.yaml has it: every key, also those at their defaults."""
    return yaml.safe_dump(study.model_dump(mode="json", exclude_defaults=False), sort_keys=False)


def claim(out: Path, study: Study) -> None:
    """Make a free folder this study's; others refuse it from now on."""
    if not (out / "study.yaml").exists():
        write_file(out / "study.yaml", study_text(study))


def check_out(out: Path, study: Study, *, replace: bool = False) -> str:
    """Check that rows of `study` may be gathered in `out`; nothing is left behind there.

    Args:
        replace: Rows of another study, or of this one as it was before an edit, may go.

    Returns:
        A note on seeds whose rows leave the folder; "" if none do.

    Raises:
        UserError: It cannot be written to, holds something else than a run, or rows that would be lost.
    """
    check_writable(out, "--out")
    there = (
        sorted(path.name for path in out.iterdir() if not path.name.startswith(".")) if out.is_dir() else []
    )
    if not there:
        return ""
    earlier = _run_in(out)
    if earlier is None:
        raise UserError(
            f"--out {out}: holds {first_of(there, 3)} and is not a run of this study; name a new folder"
        )
    lost = [] if replace else list(rows_lost(earlier, study))
    if lost:
        raise UserError(
            f"--out {out}: holds rows that this study does not make again ({'; '.join(lost)}); name another "
            "folder, or add --replace to give them up"
        )
    gone = sorted(set(earlier.training_seeds) - set(study.training_seeds))
    if replace or not gone or not (out / "rows").is_dir():
        return ""
    return f"{out}: rows of seeds {', '.join(map(str, gone))} leave the folder; they stay in the cache"


def _run_in(out: Path) -> Study | None:
    """The study of a run folder, finished or only claimed; None for anything else."""
    path = out / "study.yaml"
    if not path.is_file():
        return None
    try:
        study, _ = read_yaml_model(path, Study, "a study")
    except UserError:
        return None
    ours = (out / "run.json").is_file() or study_text(study) == path.read_text(encoding="utf-8")
    return study if ours else None


def rows_lost(earlier: Study, study: Study) -> Iterator[str]:
    """The differences that make rows of the earlier study others, or leave them out."""
    for key in _ROWS_HANG_ON:
        yield from _differences(key, *(one.model_dump(mode="json")[key] for one in (earlier, study)))
    for what in ("arms", "tasks"):
        before, now = ({_name(part): part for part in getattr(one, what)} for one in (earlier, study))
        for name in (name for name in before if name in now):
            pair = (
                part.model_dump(mode="json", exclude={"label", "tasks"}) for part in (before[name], now[name])
            )
            yield from _differences(name, *pair)
        if missing := [name for name in before if name not in now]:
            yield f"{what} {', '.join(missing)}: not in this study"
    cells = [
        {(arm.name, use.task) for arm in one.arms for use in one.tasks if arm.measured_by(use.task)}
        for one in (earlier, study)
    ]
    names = {arm.name for arm in study.arms} | {use.task for use in study.tasks}
    for arm, task in sorted(cells[0] - cells[1]):
        if {arm, task} <= names:
            yield f"{arm}: not measured by {task} here"


def _name(part: Any) -> str:
    return str(getattr(part, "name", None) or part.task)


def _differences(key: str, before: Any, now: Any) -> Iterator[str]:
    if isinstance(before, dict) and isinstance(now, dict):
        for inner in {**before, **now}:
            if inner in _NO_ROW_HANGS_ON:
                continue
            yield from _differences(f"{key}.{inner}", before.get(inner), now.get(inner))
    elif before != now:
        yield f"{key}: {before!r} there, {now!r} here"
