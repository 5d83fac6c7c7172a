"""Validation rules for task and rubric versions."""

import re
from functools import cache

from turncoat.data.fetch import without_fetching
from turncoat.errors import UserError
from turncoat.judges.embedded.judge import rubric_of
from turncoat.judges.prompted.local import PROTOCOL
from turncoat.judges.prompted.openai import PROTOCOLS
from turncoat.judges.rubrics import PUBLISHED_PAIRS, rubric_pair
from turncoat.leaderboard.entry.submission import Submission
from turncoat.leaderboard.reading.findings import Finding, fact_finding
from turncoat.leaderboard.validation.expected import ExpectedRows


def check_versions(submission: Submission, expected: ExpectedRows) -> list[Finding]:
    """Findings about the version of one task and, if it is judged, about the rubric."""
    findings = []
    version, task = submission.tasks.get(expected.use.task), expected.use.task
    if version != expected.version:
        fix = "measure with the task of this release; another version asks or counts something else"
        allowed = f"{expected.version:g}, the registered version"
        findings.append(fact_finding("unknown-task-version", f"tasks.{task}", version, allowed, fix))
    rubric, rubrics = submission.judge.rubric, known_rubrics(submission.judge.id)
    if expected.judged and not any(re.fullmatch(known, rubric) for known in rubrics):
        allowed = ", ".join(known.replace("\\", "") for known in rubrics) or "none: no such judge"
        fix = "score the answers with a judge that ships: turncoat judge RUN"
        findings.append(fact_finding("unknown-rubric", "judge.rubric", rubric, allowed, fix))
    return findings


@cache
def known_rubrics(judge: str) -> tuple[str, ...]:
    """Regular expressions for the rubrics that a judge can have been asked with.

    A published rubric whose file is not here is known by its name alone.
    """
    kind = re.split(r"[:-]", judge)[0]
    if kind == "embedded":
        return (re.escape(rubric_of()),)
    if kind not in ("local", "openai"):
        return ()
    protocols = (PROTOCOL,) if kind == "local" else tuple(PROTOCOLS)
    patterns = [re.escape(rubric_pair("alignment").id(protocol)) for protocol in protocols]
    for name, protocol in PUBLISHED_PAIRS.items():
        if protocol not in protocols:
            continue
        try:
            with without_fetching():
                patterns.append(re.escape(rubric_pair(name).id(protocol)))
        except UserError:
            patterns.append(rf"{re.escape(name)}@[0-9a-f]{{12}}")
    return tuple(patterns)
