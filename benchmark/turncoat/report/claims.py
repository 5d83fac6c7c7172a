"""Page of claims for a referee: from each sentence to its tests, their numbers and the rows behind them."""

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass

from turncoat import formats
from turncoat.analysis.claims.spec import Claim, Claims, Expectation, Part
from turncoat.analysis.claims.verdict import Evidence, Verdict, claim_verdict, verdict_on
from turncoat.report.render.markdown import escape, grid
from turncoat.report.tables.table import Cell, numbers, words

_EXPECTED: Mapping[Expectation, str] = {
    "higher": "above 0", "lower": "below 0", "equivalent": "within the margin",
    "not_lower": "above minus the margin", "not_higher": "below the margin",
}  # fmt: skip

_ROWS = (
    "The part of an arm's name before the colon is its study. Its samples lie in `rows/ARM/seed-N/TASK` of "
    "the study's folder, one line for each item with the question, the answer and the score:"
)


@dataclass(frozen=True)
class PartResult:
    """One test of a claim with its evidence, read."""

    part: Part
    evidence: Evidence | None
    verdict: Verdict
    level: float

    @property
    def numbers(self) -> str:
        """The difference with its interval, in the metric's units."""
        if self.evidence is None or self.evidence.difference is None:
            return formats.NA
        low, high = self.evidence.interval(self.level) or (None, None)
        places = formats.decimals_for(formats.half_widths([(low, high)]), [self.evidence.difference])
        value = formats.number(self.evidence.difference, places, signed=True)
        return formats.with_interval(value, formats.interval(low, high, places))

    @property
    def detectable(self) -> str:
        """The smallest difference that such a test finds with 80% power."""
        return formats.significant(self.evidence and self.evidence.detectable(self.level), 2)

    @property
    def remark(self) -> str:
        """Limits of the part: what is missing, why it does not decide, notes on its evidence."""
        if self.part.missing:
            return f"missing: {self.part.missing}"
        if self.evidence is None:
            return "missing: its rows are not here"
        shown = f"shown, decides nothing: {self.part.context}" if self.part.context else ""
        return "; ".join(filter(None, (shown, self.evidence.note)))


@dataclass(frozen=True)
class ClaimResult:
    """A claim with the verdict on it."""

    claim: Claim
    verdict: Verdict
    parts: tuple[PartResult, ...]

    @property
    def reason(self) -> str:
        """Numbers of parts by verdict, and what cannot be told for want of rows."""
        deciding = [one for one in self.parts if one.part.decides]
        read = [one.verdict for one in deciding if not one.remark.startswith("missing")]
        counts = [f"{read.count(verdict)} {verdict}" for verdict in dict.fromkeys(read)]
        gone = [one.part.name for one in deciding if one.remark.startswith("missing")]
        counts += [f"{len(gone)} missing ({formats.first_of(gone, 3)})"] if gone else []
        tests = f"{len(deciding)} test{'s' * (len(deciding) != 1)}"
        return f"{tests}: {', '.join(counts)}" if deciding else "nothing that may decide"

    @property
    def data(self) -> str:
        """Studies of the rows that decide, and whether published numbers do."""
        used = [one.part for one in self.parts if one.part.decides and one.evidence is not None]
        studies = sorted({arm.partition(": ")[0] for part in used if not part.published for arm in part.arms})
        return ", ".join([*studies, *["published numbers"] * any(part.published for part in used)]) or "none"


def read_claims(claims: Claims, evidence: Mapping[tuple[str, str], Evidence | None]) -> list[ClaimResult]:
    """Verdicts from the evidence by (claim, part)."""
    results = []
    for claim in claims.items:
        given = [evidence.get((claim.id, part.name)) for part in claim.parts]
        parts = tuple(
            PartResult(part, one, verdict_on(part, one, claims.level), claims.level)
            for part, one in zip(claim.parts, given, strict=True)
        )
        results.append(ClaimResult(claim, claim_verdict(claim, given, claims.level), parts))
    return results


def claims_page(claims: Claims, results: list[ClaimResult], source: str) -> str:
    """The page as Markdown; `source` is the name of the file of claims."""
    confidence = formats.confidence_level(1 - 2 * claims.level)
    top = [
        [Cell(f"{n}. {one.claim.sentence}"), Cell(one.verdict, strong=True), Cell(one.reason), Cell(one.data)]
        for n, one in enumerate(results, 1)
    ]
    page = [
        f"# {escape(claims.title)}",
        f"Made by `turncoat claims` from `{source}` and the rows that it names. {escape(claims.registered)}",
        f"Brackets are {confidence} intervals: both ends are one-sided tests at {claims.level:g}. The margin "
        "is the smallest difference that counts. Detectable: the true difference that such a test finds with "
        "80% power. A claim of several tests is supported if all are, and refuted if one is at its share of "
        "the level; nothing is corrected over claims. All rules: "
        "[verdict.py](../../benchmark/turncoat/analysis/claims/verdict.py). Tests about the recipe sample "
        "training seeds and questions; published levels of one prompt sample seeds only, so that they say "
        "nothing about other prompts.",
        grid(words("Claim", "Verdict", "Its tests", "Decided by"), top),
    ]
    columns = [
        *words("Test", "Expected"),
        *numbers("Difference", "Margin", "Detectable", "Questions", "Seeds"),
    ]
    columns += words("Verdict", "Limits")
    for number, one in enumerate(results, 1):
        claim = one.claim
        page += [f"## {number}. {escape(claim.sentence)}", f"**{one.verdict}**. {escape(claim.origin)}."]
        page += [escape(claim.reading)] if claim.reading else []
        page += [grid(columns, [_line(part) for part in one.parts]), _sources(one.parts)]
    places: dict[str, list[str]] = {}
    for study in claims.studies:
        places.setdefault(claims.rows[study], []).append(f"`{study}`")
    page += ["## The rows", _ROWS, "\n".join(f"- {', '.join(names)}: {at}" for at, names in places.items())]
    lines = "\n\n".join(filter(None, page)).split("\n")
    return "\n".join(map(_wrapped, lines)) + "\n"


def _wrapped(line: str) -> str:
    """A line of prose or of a list at the repository's width; tables and headings as they are."""
    if line.startswith(("|", "#")):
        return line
    indent = "  " * line.startswith("- ")
    return textwrap.fill(line, 110, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def _line(one: PartResult) -> list[Cell]:
    part, evidence = one.part, one.evidence
    expected = _EXPECTED[part.expect] if part.expect else formats.NA
    margin = f"{part.margin:g}" if part.expect else formats.NA
    counts = [formats.NA, formats.NA] if evidence is None else [
        str(evidence.n_questions or formats.NA), evidence.n_seeds or formats.NA,
    ]  # fmt: skip
    texts = [part.name, expected, one.numbers, margin, one.detectable]
    return [*map(Cell, [*texts, *counts]), Cell(one.verdict, strong=part.decides), Cell(one.remark)]


def _sources(parts: tuple[PartResult, ...]) -> str:
    """Rows or published numbers of each part, and the reasons for the margins, once each."""
    lines: list[str] = []
    reasons: dict[str, None] = {}
    for one in parts:
        part = one.part
        if part.missing:
            continue
        where = part.source if part.published else f"{part.metric} of {part.task}"
        lines.append(
            f"- {escape(part.name)}: {escape(part.treated)} minus {escape(part.reference)}; {escape(where)}"
        )
        reasons.setdefault(f"{part.margin:g}: {part.why}")
    lines += [f"- margin {escape(reason)}" for reason in reasons]
    return "\n".join(lines)
