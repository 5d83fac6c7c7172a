"""Findings about an entry: one per place, with all that is needed to fix it.

Finding("duplicate", "rows/defended/seed-0/turncoat_em.jsonl.gz", row=12, field="doc.id", value="power-01",
        allowed="each question once", fix="remove one of lines 3 and 12")
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from turncoat.errors import UserError

_LONG = 120  # characters of a value that are shown
_SHOWN = 5  # findings of one rule that are printed; the rest is counted


@dataclass(frozen=True)
class Finding:
    """One violation of one rule."""

    rule: str
    file: str  # Path inside the entry, or "." for the entry as a whole
    row: int | None = None  # Line number in that file, from 1; None where no line is meant
    field: str = ""  # Dotted field, such as "samples[0].aligned"; empty for a whole row or file
    value: str = ""  # The bad value, shortened and printable (`shown`)
    allowed: str = ""
    fix: str = ""

    def __str__(self) -> str:
        place = self.file + (f", line {self.row}" if self.row is not None else "")
        place += f", {self.field}" if self.field else ""
        parts = {"value": self.value, "allowed": self.allowed, "fix": self.fix}
        lines = [f"  {name}: {text}" for name, text in parts.items() if text]
        return "\n".join([f"{self.rule}: {place}", *lines])


class EntryRefused(UserError):
    """An entry that breaks a rule; `findings` has all that was found before the checks had to stop."""

    def __init__(self, findings: Iterable[Finding]) -> None:
        self.findings = list(findings)
        super().__init__(summary(self.findings))


def fact_finding(rule: str, field: str, value: Any, allowed: str, fix: str) -> Finding:
    """A finding about a field of submission.json."""
    return Finding(rule, "submission.json", field=field, value=shown(value), allowed=allowed, fix=fix)


def shown(value: Any) -> str:
    """A value on one line, in ASCII, cut to what helps: an entry's text must not write to the terminal as it
    likes."""
    try:
        text = json.dumps(value[: 2 * _LONG] if isinstance(value, str) else value)
    except (TypeError, ValueError, RecursionError):
        text = ascii(type(value).__name__)
    size = len(value) if hasattr(value, "__len__") else len(text)
    return text if len(text) <= _LONG else f"{text[:_LONG]}... ({size} long)"


def summary(findings: list[Finding]) -> str:
    """All findings as text, at most some of each rule."""
    by_rule: dict[str, list[Finding]] = {}
    for finding in findings:
        by_rule.setdefault(finding.rule, []).append(finding)
    blocks = []
    for rule, of_rule in by_rule.items():
        blocks += [str(finding) for finding in of_rule[:_SHOWN]]
        if len(of_rule) > _SHOWN:
            blocks.append(f"{rule}: {len(of_rule) - _SHOWN} more of this kind")
    return "\n".join(blocks)
