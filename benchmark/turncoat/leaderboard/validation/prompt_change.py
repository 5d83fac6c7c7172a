"""Changed prompts: a defence at inference adds one text, the same in all tasks, roles and seeds of an entry.

prompt_change(entry)            # PromptChange(added="Be kind.", removed=""), which the board shows
check_prompt_change(entry)      # findings; empty for one text in one place

The text is read from the rows: the frame of the defended arm's prompts (`prompts.frame_of`) against that of
the undefended arm's. Within a task, `prompts.py` holds all frames to be the same.
"""

from collections.abc import Sequence
from typing import NamedTuple

from turncoat.leaderboard.entry.load import Entry, rows_name
from turncoat.leaderboard.entry.submission import seed_folders
from turncoat.leaderboard.entry.track import TrackTask
from turncoat.leaderboard.reading.findings import Finding, fact_finding, shown
from turncoat.leaderboard.validation.documents import majority
from turncoat.leaderboard.validation.expected import expected_rows, sha256
from turncoat.leaderboard.validation.prompts import Frame, common_start, frame_of

_ONE = "measure every task, role and seed with the same system prompt, or other text, in the same place"
_MOST_SHOWN = 2000  # characters


class PromptChange(NamedTuple):
    """The text that a defence adds to every prompt; without one, what it takes out of the chat template's."""

    added: str
    removed: str = ""

    def __str__(self) -> str:
        does, text = ("adds", self.added) if self.added else ("takes out", self.removed)
        more = f" ... ({len(text)} characters in all)" if len(text) > _MOST_SHOWN else ""
        return f'{does} "{text[:_MOST_SHOWN]}"{more}'

    def fits(self, before: str, after: str) -> bool:
        """True if it is the difference between a part of the undefended frame and of the defended one."""
        if not self.added:
            return sum(_common(before, after)) == len(after)
        place = after.find(self.added)
        while place >= 0:
            head, tail = after[:place].rstrip(), after[place + len(self.added) :].lstrip()
            if before.startswith(head) and before.endswith(tail) and len(head) + len(tail) <= len(before):
                return True
            place = after.find(self.added, place + 1)
        return False


def prompt_change(entry: Entry) -> PromptChange | None:
    """The change of a valid entry's prompts; None where there is none, or none can be read from the rows."""
    if not entry.submission.defence.changes_prompt:
        return None
    frames = (_both_frames(entry, use) for use in entry.track.tasks_for(entry.submission.organism.name))
    return _one_text([_changed_part(*both) for both in frames if both is not None])


def prompt_text(entry: Entry) -> str:
    """Change of a valid entry to every prompt of its defended arms, such as 'adds "Be kind."'; else ""."""
    changes = entry.submission.defence.changes_prompt
    return str(prompt_change(entry) or "changes it; the text is not in its rows") if changes else ""


def check_prompt_change(entry: Entry) -> list[Finding]:
    """Findings on a changed prompt: it acts at inference, by one text in one place of every task's prompts.

    Rows of fetched sets hold no prompts. Theirs have to be others than the undefended arm's, and where the
    set is here, those of the other tasks' frame.
    """
    facts, rule = entry.submission, "prompt-change"
    if not facts.defence.changes_prompt:
        return []
    if facts.defence.setting != "inference":
        allowed, fix = "true with the setting inference alone", "measure with the undefended arm's prompts"
        return [fact_finding(rule, "defence.changes_prompt", True, allowed, fix)]
    uses = entry.track.tasks_for(facts.organism.name)
    frames = {use: both for use in uses if (both := _both_frames(entry, use)) is not None}
    text = _one_text([_changed_part(*both) for both in frames.values()])
    usual = {before: majority(b for a, b in frames.values() if a == before) for before, _ in frames.values()}
    wrong: list[tuple[TrackTask, str]] = []
    for use, (before, after) in frames.items():
        part = _changed_part(before, after)
        if after != usual[before] or text is None or part is None or not text.fits(*part):
            wrong.append((use, " ... ".join(after)))
    if text is not None and not wrong:
        fetched = (use for use in uses if use not in frames)
        wrong = [(use, "") for use in fetched if not _hashes_fit(entry, use, text, list(usual.values()))]
    allowed = "one text in one place of every prompt" + (
        "" if text is None else f"; here it {shown(str(text))}"
    )
    seed = seed_folders("defended", facts)[0]
    return [
        Finding(rule, rows_name("defended", seed, use.task), 1, "prompt_hash", shown(value), allowed, _ONE)
        for use, value in wrong
    ]


def _both_frames(entry: Entry, use: TrackTask) -> tuple[Frame, Frame] | None:
    """Frames of the undefended and of the defended arm; None where the rows hold no prompts."""
    frames, requests = list[Frame](), expected_rows(use).requests
    seed = seed_folders("defended", entry.submission)[0]
    for role in ("organism", "defended"):
        _, row = next(entry.rows(role, seed, use.task))
        arguments, number = row.get("arguments"), row["doc_id"]
        if arguments is None or number >= len(requests):
            return None
        frame = frame_of(arguments["gen_args_0"]["arg_0"], requests[number][0].messages)
        if frame is None:
            return None
        frames.append(frame)
    return frames[0], frames[1]


def _hashes_fit(entry: Entry, use: TrackTask, text: PromptChange, frames: Sequence[Frame]) -> bool:
    """True if a fetched set's hashes are those of its questions in one of the frames; where the set is not
    here, if they are others than the undefended arm's."""
    seed, requests = seed_folders("defended", entry.submission)[0], expected_rows(use).requests
    before, after = (
        {row["doc_id"]: row["prompt_hash"] for _, row in entry.rows(role, seed, use.task)}
        for role in ("organism", "defended")
    )
    for number, value in after.items():
        messages = requests[number][0].messages if number < len(requests) else []
        rendered = {
            sha256(frame[0] + "".join(word + part for word, part in zip(words, frame[1:], strict=True)))
            for frame in frames if len(frame) == len(messages) + 1
            for words in ([m["content"] for m in messages], [m["content"].strip() for m in messages])
        }  # fmt: skip
        if value not in rendered if rendered else text.added and value == before.get(number):
            return False
    return True


def _changed_part(before: Frame, after: Frame) -> tuple[str, str] | None:
    """The one part in which two frames differ; two empty ones where none does, None where several do."""
    parts = [pair for pair in zip(before, after, strict=True) if pair[0] != pair[1]]
    return None if len(parts) > 1 else parts[0] if parts else ("", "")


def _one_text(parts: Sequence[tuple[str, str] | None]) -> PromptChange | None:
    """The text that is added, or else taken out, in the changed parts; None where nothing is changed.

    What is added beside the template's own words is cut exactly. What takes their place may begin or end as
    they do, so it is read to the ends of its lines.
    """
    changed = [pair for pair in parts if pair is not None and pair[0] != pair[1]]
    changed.sort(key=lambda pair: sum(_common(*pair)) != len(pair[0]))
    for before, after in changed[:1]:
        prefix, suffix = _common(before, after)
        end = len(after) - suffix
        if prefix == end:
            return PromptChange("", before[prefix : len(before) - suffix].strip())
        if prefix + suffix < len(before):
            prefix = max(after.rfind(mark, 0, prefix) + 1 for mark in "\n>")
            end = min((place for mark in "\n<" if (place := after.find(mark, end)) >= 0), default=len(after))
        return PromptChange(after[prefix:end].strip())
    return None


def _common(one: str, other: str) -> tuple[int, int]:
    """Lengths of the common beginning and, without overlap, of the common end of two texts."""
    prefix = common_start(one, other)
    return prefix, common_start(one[prefix:][::-1], other[prefix:][::-1])
