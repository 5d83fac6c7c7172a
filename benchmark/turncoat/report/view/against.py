"""Two runs side by side: what differs between them, and the contrasts that they have in common.

No test is made between runs: their questions, seeds or models may differ, and their errors are not paired.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from turncoat.report.content import ReportContent
from turncoat.report.tables.contrasts import contrast_decimals
from turncoat.report.tables.table import Cell, Table, interval_cell, numbers, words
from turncoat.stats.contrasts import CLAIMS

_TITLES = {CLAIMS[0]: "Differences, about these trained adapters", CLAIMS[1]: "Differences, about the recipe"}
_NO_TEST = (
    "Each interval is of its own run; nothing here tests one run against the other. A difference counts only "
    "where a contrast inside one run says so."
)


def against_tables(contents: Mapping[str, ReportContent]) -> list[Table]:
    """Tables of two runs by name: their facts where they differ, then one of contrasts for each claim."""
    names = list(contents)
    facts = {name: dict(_facts(content)) for name, content in contents.items()}
    keys = dict.fromkeys(key for of in facts.values() for key in of)
    rows = [[key, *(of.get(key, "n/a") for of in facts.values())] for key in keys]
    differing = [[Cell(text) for text in row] for row in rows if len(set(row[1:])) > 1]
    tables = [Table("What differs", "", words("Fact", *names), differing, ())]
    for claim in CLAIMS:
        cells = {name: dict(_contrasts(content, claim)) for name, content in contents.items()}
        pairs = dict.fromkeys(pair for of in cells.values() for pair in of)
        lines = [
            [Cell(pair[0]), Cell(pair[1]), *(of.get(pair, Cell("n/a")) for of in cells.values())]
            for pair in pairs
        ]
        columns = [*words("Contrast", "Metric"), *numbers(*names)]
        tables.append(Table(_TITLES[claim], _NO_TEST, columns, lines, ()))
    return tables


def _facts(content: ReportContent) -> Iterator[tuple[str, str]]:
    yield "study", content.study
    yield from ((f"model: {key}", str(value)) for key, value in content.model.items())
    yield from ((key, str(value)) for key, value in content.facts.items())
    yield "judge", content.judge_name or "none"
    yield "arms", ", ".join(arm.name for arm in content.arms)
    yield "turncoat", str(content.provenance.get("turncoat", "n/a"))


def _contrasts(content: ReportContent, claim: str) -> Iterator[tuple[tuple[str, str], Cell]]:
    frame: Any = content.sorted_contrasts(claim)
    for row in frame.itertuples():
        metric = content.metric(str(row.metric))
        decimals = contrast_decimals(content, metric)
        cell = interval_cell(row.difference, row.low, row.high, decimals, signed=True)
        yield (str(row.name), f"{metric.label} ({metric.unit})"), cell
