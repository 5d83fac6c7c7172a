"""Validate an entry: all rules over facts, files and rows. No content of an entry can crash it."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from turncoat.leaderboard.canaries.listed import check_canary, read_canaries
from turncoat.leaderboard.entry.load import Entry, load_entry, rows_name
from turncoat.leaderboard.entry.maintainers import read_maintainers, records_beside
from turncoat.leaderboard.reading.findings import EntryRefused, Finding
from turncoat.leaderboard.validation.facts import check_adapter_form, check_facts, check_names
from turncoat.leaderboard.validation.identity import check_identity

_STOP = 200  # findings after which an entry is not read on
Log = Callable[[str], None]


def validate_entry(folder: Path, log: Log = lambda _: None, *, author: str | None = None) -> list[Finding]:
    """All that is wrong with an entry, in the order of the checks; empty for a good one.

    Checks that need what an earlier one found wanting are not made: fix it, and validate again.

    Args:
        author: Account that submits the entry; None where that is not known.

    Raises:
        UserError: The maintainers' file is not right.
    """
    try:
        log("files and facts")
        entry = load_entry(folder)
        findings = check_names(entry)
        if findings:
            return findings
        records = records_beside(folder)
        maintainers = read_maintainers(records)
        findings = [
            *check_facts(entry), *check_identity(entry, maintainers, author),
            *(() if entry.slug in maintainers.authors else check_adapter_form(entry)),
            *check_canary(entry, read_canaries(records)),
        ]  # fmt: skip
        blocked = {"missing-rows", "missing-arm", "missing-control", "shared-rows", "judge"}
        if any(finding.rule in blocked for finding in findings):
            return findings
        # What is wrong with the facts shows in every task.
        return list(dict.fromkeys([*findings, *_rows(entry, log)]))
    except EntryRefused as refused:
        return refused.findings


def unchecked(entry: Entry) -> list[str]:
    """Evidence that cannot be checked here, a sentence each: `validate_entry` holds it to bounds only."""
    from turncoat.leaderboard.validation.expected import expected_rows, registry_tokenizer

    model = entry.submission.model.name
    uses = entry.track.tasks_for(entry.submission.organism.name)
    absent = [use.task for use in uses if expected_rows(use).task is None]
    texts = [f"the texts of {', '.join(absent)} are not here (TURNCOAT_DATA)"] if absent else []
    if any(check_adapter_form(entry)):
        texts.append("its adapters are named by an earlier digest: listed entries keep it, a copy may not")
    if registry_tokenizer(model) is not None:
        return texts
    return [f"token counts are held to bounds only: needs the tokenizer of {model!r}", *texts]


def _rows(entry: Entry, log: Log) -> list[Finding]:
    from turncoat.leaderboard.validation.prompt_change import check_prompt_change
    from turncoat.leaderboard.validation.rows import check_task_rows

    findings: list[Finding] = []
    for use in entry.track.tasks_for(entry.submission.organism.name):
        log(use.task)
        arms = [(role, seed) for role, seed, task in entry.cells() if task == use.task]
        cells = {arm: entry.rows(*arm, use.task) for arm in arms}
        name = partial(rows_name, task=use.task)
        try:
            findings += check_task_rows(use, cells, submission=entry.submission, name=name)
        except EntryRefused as refused:
            findings += refused.findings
        if len(findings) > _STOP:
            break
    return findings or check_prompt_change(entry)
