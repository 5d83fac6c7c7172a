"""Validate the rows of one task, all roles and seeds together.

One task at a time, all roles and seeds together: much of what is checked is that the arms were asked the
same. Each step looks at rows that passed the one before, so that one mistake is reported once:

    form        keys, types, bounds                            row_schema.py
    documents   the track's questions, word for word           documents.py
    prompts     the task's words in one frame                  prompts.py
    samples     number, seeds, projections, verdicts           samples.py
    evidence    fields of the answers against each other       evidence.py
    numbers     every metric recomputed from its evidence      numbers.py
    versions    of the task and the rubric                     versions.py
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from turncoat.leaderboard.entry.submission import Submission
from turncoat.leaderboard.entry.track import TrackTask
from turncoat.leaderboard.reading.findings import EntryRefused, Finding
from turncoat.leaderboard.validation.documents import check_documents
from turncoat.leaderboard.validation.evidence import check_evidence
from turncoat.leaderboard.validation.expected import expected_rows
from turncoat.leaderboard.validation.numbers import check_numbers
from turncoat.leaderboard.validation.prompts import check_prompts
from turncoat.leaderboard.validation.row_schema import Row, read_row
from turncoat.leaderboard.validation.samples import check_samples
from turncoat.leaderboard.validation.versions import check_versions

Lines = Iterable[tuple[int, dict[str, Any]]]


def check_task_rows(
    use: TrackTask,
    cells: Mapping[tuple[str, str], Lines],
    *,
    submission: Submission,
    name: Callable[[str, str], str],
) -> list[Finding]:
    """All that is wrong with the rows of one task; empty for good rows.

    Args:
        cells: (role, seed folder) -> (line number, row) of its file, for all roles and seeds of the entry.
        name: (role, seed folder) -> the file's name, for findings.

    Raises:
        UserError: The task cannot be built here, which is not the entry's fault.
    """
    expected = expected_rows(use)
    findings = check_versions(submission, expected)
    rows: list[Row] = []
    unread: set[tuple[str, str]] = set()
    sampled = use.samples is not None
    for (role, seed), lines in cells.items():
        file = name(role, seed)
        try:
            for line, content in lines:
                row, wrong = read_row(role, seed, file, line, content, sampled=sampled, task=use.task)
                findings += wrong
                if row is None:
                    unread.add((role, seed))
                else:
                    rows.append(row)
        except EntryRefused as refused:
            findings += refused.findings
            unread.add((role, seed))
    findings += check_documents(expected, rows, {cell: name(*cell) for cell in cells}, unread)
    rows = _good(rows, findings)
    findings += check_prompts(expected, rows, submission)
    findings += check_samples(expected, rows, submission)
    rows = _good(rows, findings)
    findings += check_evidence(expected, rows, submission)
    return findings + check_numbers(expected, _good(rows, findings), submission.model.name)


def _good(rows: list[Row], findings: list[Finding]) -> list[Row]:
    """The rows that nothing was found in so far."""
    bad = {(finding.file, finding.row) for finding in findings if finding.row is not None}
    return [row for row in rows if (row.file, row.line) not in bad]
