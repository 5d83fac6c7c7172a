"""Convert lm-eval's samples files to rows of an entry: the track's first questions and the evidence."""

import gzip
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from turncoat.errors import UserError
from turncoat.evaluation.samples_file import sample_rows
from turncoat.evaluation.task_catalogue import is_judged, task_metrics
from turncoat.evaluation.task_facts import is_fetched
from turncoat.leaderboard.entry.track import TrackTask
from turncoat.leaderboard.submission.paths_scrubber import PathScrubber
from turncoat.study.pack import without_fetched_texts

_HASHES = ("doc_hash", "prompt_hash", "target_hash")
_COLUMNS = ("doc_id", "doc", "arguments", "resps", "filter", "metrics", *_HASHES)
_JUDGED = ("judge_aligned_mean", "judge_coherent_mean")
# Metrics that need what only our own model type keeps of a pass: activations, the base's log-probability,
# token counts.
_OWN_PASS = ("persona", "base_logprob", "per_token")


@dataclass(frozen=True)
class RowRequirements:
    """Requirements on the rows; `hint` says how to get rows of a task that the track takes."""

    track: str
    scrubber: PathScrubber
    hint: Callable[[TrackTask], str]


@dataclass(frozen=True)
class RowsContent:
    """A rows file of an entry."""

    data: bytes  # Its bytes; equal rows give equal bytes
    rows: int
    samples: int
    prompts: Mapping[int, str]  # doc_id -> hash of the rendered prompt


def entry_rows(path: Path, use: TrackTask, needs: RowRequirements) -> RowsContent:
    """The rows of a samples file, cut to the track's questions; nothing is drawn, nothing averaged.

    Raises:
        UserError: There are fewer questions or samples than the track asks for, they were made with other
            settings, they lack a metric, or they hold what cannot be published.
    """
    by_doc: dict[int, dict[str, Any]] = {}
    for number, row in enumerate(sample_rows(path), 1):
        if not isinstance(row, dict) or not isinstance(row.get("doc_id"), int) or "metrics" not in row:
            text = "no row of lm-eval's samples file (doc_id or metrics is missing)"
            raise UserError(f"{path}, line {number}: {text}")
        if row["doc_id"] in by_doc:
            fix = (
                "an entry holds one row per question (one filter): measure the task again into an empty "
                "folder"
            )
            raise UserError(f"{path}, line {number}, doc_id: {row['doc_id']} is there twice; {fix}")
        by_doc[row["doc_id"]] = row
    missing = [number for number in range(use.questions) if number not in by_doc]
    if missing:
        raise UserError(
            f"{path}: it has {use.questions - len(missing)} of the first {use.questions} questions that the "
            f"track '{needs.track}' takes of {use.task} (the first that is missing has doc_id {missing[0]}); "
            f"{needs.hint(use)}"
        )
    rows = [by_doc[number] for number in range(use.questions)]
    _check_metrics(path, rows, use, needs)
    counts = {_check(path, row, use, needs) for row in rows}
    if len(counts) > 1:
        raise UserError(f"{path}: questions have {sorted(counts)} samples; accepted: the same number for all")
    lines = [_line(path, row, use, needs) for row in rows]
    return RowsContent(
        # No name and no time in the archive: equal rows give equal bytes.
        gzip.compress("".join(lines).encode(), compresslevel=9, mtime=0),
        len(rows),
        counts.pop(),
        {row["doc_id"]: str(row.get("prompt_hash", "")) for row in rows},
    )


def _check(path: Path, row: dict[str, Any], use: TrackTask, needs: RowRequirements) -> int:
    """The number of samples of a row, once it and the settings are the track's."""
    where = f"{path}, doc_id {row['doc_id']}"
    if use.samples is None:
        return 1
    answers = row["resps"][0] if row.get("resps") and isinstance(row["resps"][0], list) else []
    if len(answers) < use.samples:
        due = f"the track '{needs.track}' needs {use.samples} or more"
        raise UserError(f"{where}, resps: {len(answers)} samples; {due}; {needs.hint(use)}")
    for key, settings in (row.get("arguments") or {}).items():
        options = settings.get("arg_1")
        longest = options.get("max_gen_toks") if isinstance(options, dict) else None
        if longest != use.max_gen_toks:
            due = f"the track '{needs.track}' takes {use.max_gen_toks}, no more and no less"
            field = f"arguments.{key}.arg_1.max_gen_toks"
            raise UserError(f"{where}, {field}: {longest}; {due}; {needs.hint(use)}")
    return len(answers)


def _check_metrics(path: Path, rows: list[dict[str, Any]], use: TrackTask, needs: RowRequirements) -> None:
    """Refuse rows without activations, token counts or judged answers."""
    present = {name for row in rows for name in row["metrics"] if row.get(name) is not None}
    for name in task_metrics(use.task):
        if name in present:
            continue
        if any(part in name for part in _OWN_PASS):
            raise UserError(
                f"{path}: no {name}, which {use.task} has on every board; this backend does not give it. "
                "`turncoat lm-eval --model turncoat` with `peft=DIR` does: see README, With lm_eval"
            )
        if is_judged(use.task) and name in _JUDGED:
            raise UserError(
                f"{path}: no {name}: the answers of {use.task} were not judged; measure with a judge "
                "(TURNCOAT_JUDGE or `judge:` in the study; `turncoat list judges`)"
            )


def _line(path: Path, row: dict[str, Any], use: TrackTask, needs: RowRequirements) -> str:
    where = f"{path}, doc_id {row['doc_id']}"
    values = [name for name in row["metrics"] if not name.endswith("_stderr")]
    published = {**{key: row[key] for key in (*_COLUMNS, *values) if key in row}, "metrics": values}
    if is_fetched(use.task):
        published = without_fetched_texts(published)
    needs.scrubber.check_row(published, where)
    try:
        # A model that writes bytes may write U+0000, which an entry must not hold.
        texts = published.keys() & {"resps", "samples"}
        published |= {name: _without_nul(published[name]) for name in texts}
        line = json.dumps(published, ensure_ascii=False, allow_nan=False) + "\n"
        line.encode()
    except ValueError as error:  # UnicodeEncodeError is one, too
        fix = f"rows hold finite numbers and Unicode text: measure {use.task} again"
        raise UserError(f"{where}: {error}; {fix}") from error
    return line


def _without_nul(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\0", "\ufffd")
    if isinstance(value, list):
        return [_without_nul(part) for part in value]
    if isinstance(value, dict):
        return {key: _without_nul(part) for key, part in value.items()}
    return value
