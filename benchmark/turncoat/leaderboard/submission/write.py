"""Write a draft as an entry folder: submission.json and the rows, whole or not at all."""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from turncoat.errors import UserError
from turncoat.leaderboard.entry.load import SUBMISSION, parse_submission, rows_name
from turncoat.leaderboard.entry.submission import SHAREABLE, Slug, Submission
from turncoat.leaderboard.entry.track import TrackTask
from turncoat.leaderboard.reading.findings import EntryRefused
from turncoat.leaderboard.reading.reader import EntryFiles, list_files, read_json, read_rows, rows_sha256
from turncoat.leaderboard.submission.draft import Cell, Draft
from turncoat.leaderboard.submission.rows import RowRequirements, RowsContent, entry_rows
from turncoat.safe_files import replace_folder
from turncoat.strict_model import wrong_fields

_SLUG = re.compile(Slug.__metadata__[0].pattern)  # type: ignore[attr-defined]
_OWN_ROWS = "leave --share out to store rows of your own"
Tick = Callable[[int, int], None]


@dataclass(frozen=True)
class Written:
    """An entry that was written; `shared` names the entry of each role whose rows are another's."""

    folder: Path
    files: int
    rows: int
    size: int
    shared: dict[str, str]
    notes: list[str]


@dataclass(frozen=True)
class _Other:
    """The entry that base, organism and control are shared with."""

    slug: str
    files: EntryFiles
    facts: Submission


def check_out(out: Path) -> None:
    """Check that an entry can be written there, before anything is read.

    Raises:
        UserError: The name is not a slug, or something else is there.
    """
    name = out.absolute().name
    if not _SLUG.fullmatch(name):
        raise UserError(
            f"--out {out}: '{name}' is not a name of an entry; accepted: small letters, digits, - and _, 80 "
            "at most, such as results/submissions/sgtr-insecure"
        )
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise UserError(f"--out {out} exists and is not a folder; name another one")
    there = {path.name for path in out.iterdir()} if out.is_dir() else set()
    if there and SUBMISSION not in there:
        raise UserError(f"--out {out} exists and is not an entry ({SUBMISSION} is missing); name another")
    if there - {SUBMISSION, "rows"}:
        more = ", ".join(sorted(there - {SUBMISSION, "rows"}))
        raise UserError(f"--out {out} holds more than an entry ({more}), which would be lost; move it away")


def write_entry(
    draft: Draft, out: Path, *, share: str | None = None, tick: Tick = lambda done, of: None
) -> Written:
    """Read the rows, fill in the facts, and put the folder into place; an earlier entry there is replaced.

    Args:
        out: The entry's folder; its name is the slug.
        share: Slug of an entry beside it that has the same base, organism and control rows.

    Raises:
        UserError: Rows or facts are not what the track takes, or `share` has other rows; nothing is written
            then.
    """
    check_out(out)
    other = None if share is None else _other(out, share, draft)
    uses = {use.task: use for use in draft.track.tasks_for(draft.facts["organism"]["name"])}
    contents = _read(draft, uses, tick)
    shared = {} if other is None else _shared(contents, other, draft)
    stored = {cell: content for cell, content in contents.items() if cell[0] not in shared}
    facts, seeds = dict(draft.facts), draft.facts["seeds"]
    facts["slug"] = out.absolute().name
    facts["tasks"] = _task_versions(draft)
    facts["rows"] = {
        "/".join(cell): {"sha256": hashlib.sha256(content.data).hexdigest(), "rows": content.rows}
        for cell, content in stored.items()
    }
    facts["shared"] = shared
    if other is not None:
        facts["adapters"] = _with_shared_adapters(facts["adapters"], shared, other, seeds)
    facts["wall_seconds"] = round(sum(s for role, s in draft.seconds.items() if role not in shared), 1)
    changes = _changes_prompt(contents, uses, other, seeds)
    facts["defence"] = {**facts["defence"], "changes_prompt": changes}
    submission = _checked(facts).model_dump(mode="json")
    draft.scrubber.check_row({key: value for key, value in submission.items() if key != "rows"}, SUBMISSION)
    files = {rows_name(*cell): content.data for cell, content in stored.items()}
    files[SUBMISSION] = (json.dumps(submission, indent=1, ensure_ascii=False) + "\n").encode()
    replace_folder(out, files)
    rows, size = sum(content.rows for content in stored.values()), sum(map(len, files.values()))
    homes = {role: str(one["entry"]) for role, one in shared.items()}
    return Written(out, len(stored), rows, size, homes, [*draft.notes, *draft.scrubber.notes])


def _read(draft: Draft, uses: Mapping[str, TrackTask], tick: Tick) -> dict[Cell, RowsContent]:
    needs = RowRequirements(draft.track.track, draft.scrubber, draft.hint)
    contents: dict[Cell, RowsContent] = {}
    counts: dict[str, tuple[int, Path]] = {}
    for done, (cell, path) in enumerate(draft.samples.items()):
        tick(done, len(draft.samples))
        contents[cell] = entry_rows(path, uses[cell[2]], needs)
        samples = contents[cell].samples
        number, first = counts.setdefault(cell[2], (samples, path))
        if number != samples:
            fix = f"all arms of an entry need the same number; {draft.hint(uses[cell[2]])}"
            raise UserError(f"{path}: {samples} samples of each question, and {number} in {first}; {fix}")
    tick(len(draft.samples), len(draft.samples))
    return contents


def _task_versions(draft: Draft) -> dict[str, float]:
    versions: dict[str, tuple[float, Path]] = {}
    for cell, version in draft.versions.items():
        known, first = versions.setdefault(cell[2], (version, draft.samples[cell]))
        if known != version:
            both = f"version {version:g} of {cell[2]}, and version {known:g} in {first}"
            fix = "measure all arms with the same release of Turncoat"
            raise UserError(f"{draft.samples[cell]}: {both}; {fix}")
    return {task: version for task, (version, _) in versions.items()}


def _other(out: Path, slug: str, draft: Draft) -> _Other:
    """The entry to share with: beside this one, of the same board."""
    if draft.facts["defence"]["setting"] == "none":
        raise UserError("--share: an undefended entry is what others share; leave --share out")
    if not _SLUG.fullmatch(slug) or slug == out.absolute().name:
        raise UserError(f"--share {slug}: the name of another entry beside {out} is expected")
    folder = out.absolute().parent / slug
    if not folder.is_dir():
        fix = "submit it first (--arm with the undefended organism)"
        raise UserError(f"--share {slug}: no entry at {folder}; {fix}")
    try:
        files = list_files(folder)
        facts = parse_submission(read_json(files, SUBMISSION))
    except EntryRefused as error:
        raise UserError(f"--share {slug}: that entry is not valid; fix it first\n{error}") from error
    for role in SHAREABLE:
        if role in facts.shared:
            home = facts.shared[role].entry
            raise UserError(
                f"--share {slug}: it shares its {role} rows with '{home}' itself; give --share {home}"
            )
    mine = f"{draft.facts['track']}/{draft.facts['model']['name']}/{draft.facts['organism']['name']}"
    if facts.board != mine:
        boards = f"the board {facts.board}, this entry of {mine}"
        raise UserError(f"--share {slug}: it is of {boards}; share within a board")
    return _Other(slug, files, facts)


def _shared(contents: Mapping[Cell, RowsContent], other: _Other, draft: Draft) -> dict[str, dict[str, str]]:
    """Role -> whose rows, after a look at every byte."""
    lacking = sorted(set(draft.facts["seeds"]) - set(other.facts.seeds))
    if lacking:
        fix = "leave --share out, or submit it again with them"
        raise UserError(f"--share {other.slug}: it has no seeds {lacking}; {fix}")
    for cell, content in contents.items():
        name = rows_name(*cell)
        if cell[0] not in SHAREABLE:
            continue
        theirs = other.files.sha256(name) if name in other.files else None
        if theirs != hashlib.sha256(content.data).hexdigest():
            why = f"{'has no such file' if theirs is None else 'holds other rows'}: {name}"
            raise UserError(f"--share {other.slug}: it {why} (of {draft.samples[cell]}); {_OWN_ROWS}")
    digests = {role: rows_sha256(other.files, f"rows/{role}/") for role in SHAREABLE}
    return {role: {"entry": other.slug, "rows_sha256": sha256} for role, sha256 in digests.items()}


def _with_shared_adapters(
    given: dict[str, dict[str, str]], shared: Mapping[str, Any], other: _Other, seeds: list[int]
) -> dict[str, dict[str, str]]:
    """The shared roles' adapters are the other entry's; another digest here means another adapter with equal
    rows, unless the entry is from before and names weights files."""
    hashes, renamed = dict(given), dict[str, str]()
    for role, theirs in other.facts.adapters.items():
        if role not in shared:
            continue
        wanted = {str(seed): theirs[str(seed)] for seed in seeds if str(seed) in theirs}
        for seed, mine in given.get(role, {}).items():
            if (due := wanted.get(seed, mine)) != mine and len(due) == len(mine):
                why = f"its {role} adapters have other hashes than yours"
                raise UserError(f"--share {other.slug}: {why}; {_OWN_ROWS}")
            renamed[mine] = due
        hashes[role] = wanted
    # A defence at inference has the organism's adapters.
    return {role: {s: renamed.get(sha, sha) for s, sha in seeds.items()} for role, seeds in hashes.items()}


def _changes_prompt(
    contents: Mapping[Cell, RowsContent],
    uses: Mapping[str, TrackTask],
    other: _Other | None,
    seeds: list[int],
) -> bool:
    """True if any rendered prompt of the defended arm differs from the undefended one's."""
    folder = f"seed-{seeds[0]}"
    for task in uses:
        mine = contents.get(("defended", folder, task))
        if mine is None:
            continue
        if (undefended := contents.get(("organism", folder, task))) is not None:
            prompts: Mapping[int, str] = undefended.prompts
        else:
            assert other is not None
            rows = read_rows(other.files, rows_name("organism", folder, task))
            prompts = {row["doc_id"]: str(row.get("prompt_hash", "")) for _, row in rows}
        if dict(mine.prompts) != dict(prompts):
            return True
    return False


def _checked(facts: dict[str, Any]) -> Submission:
    try:
        return Submission.model_validate(facts)
    except ValidationError as error:
        wrong = wrong_fields(error, Submission)
        lines = [f"{SUBMISSION}, {'.'.join(map(str, loc))}: {one.text}" for loc, one in wrong.items()]
        hint = "--contact, --defence-name, --summary, --paper and --code say such fields"
        raise UserError("\n".join([*lines, hint])) from error
