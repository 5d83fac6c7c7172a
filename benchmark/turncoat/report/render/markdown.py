"""The report as Markdown: readable raw, and on any page that renders GitHub's tables."""

import re
from collections.abc import Iterable, Sequence

from turncoat import formats
from turncoat.report.content import ReportContent
from turncoat.report.overview import AnswerPair, overview
from turncoat.report.tables.background import (
    arms_table,
    checks_table,
    glossary_table,
    provenance_table,
    run_table,
    seed_name,
    seed_noise_table,
    timings_table,
)
from turncoat.report.tables.contrasts import ClaimSection, claim_section
from turncoat.report.tables.four_axes import four_axes_table
from turncoat.report.tables.levels import estimates_table
from turncoat.report.tables.misalignment import corrected_table, leak_table, misalignment_table
from turncoat.report.tables.table import Cell, Column, Table, words
from turncoat.report.tables.training import training_table
from turncoat.shown_text import visible
from turncoat.stats.contrasts import CLAIMS

SHOWN_QUESTIONS = 3
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "|": "&#124;", "`": "&#96;", "@": "&#64;", "\\": "&#92;"}
_BACKSLASHED = re.compile(r"([*_\[\]~#!$])")
_BLOCK_STARTS = re.compile(r"^(\s*)([-+=]|\d+[.)])")


def render_markdown(content: ReportContent) -> str:
    """The whole report; answers of the first questions only, the rest is in `answers.csv` and the HTML
    page."""
    first = overview(content)
    headline, *others = first.verdict
    parts = [
        f"# {escape(content.title)}",
        escape(content.question),
        f"**{escape(headline)}**",
        *map(escape, others),
        "![Differences between arms, with their intervals](figure.png)",
        _section(first.levels),
    ]
    parts += [_pair(first.pair)] if first.pair else []
    parts += [_section(first.claims)] if first.claims.rows else []
    withheld = [f"{item.what}: {item.why}" for item in content.withheld]
    parts += ["## What is withheld, and why", _bullets(withheld)] if withheld else []
    parts += [_section(checks_table(content))] if content.checks else []
    parts += [_claims(claim_section(content, claim)) for claim in CLAIMS]
    tables = [four_axes_table(content)] if len(content.axes) else []
    tables += [misalignment_table(content)] if len(content.judged) else []
    tables += [corrected_table(content)] if len(content.corrected) else []
    tables += [leak_table(content)] if len(content.leaks) else []
    tables += [estimates_table(content), seed_noise_table(content), arms_table(content)]
    tables += [training_table(content)] if len(content.training) else []
    parts += [_section(table) for table in tables if len(table.columns) > 1]
    parts += _answers(content)
    parts += [_section(table(content)) for table in (run_table, timings_table, provenance_table)]
    parts += [_section(glossary_table(content))]
    return "\n\n".join(parts) + "\n"


def _pair(pair: AnswerPair) -> str:
    left, right = pair.answers
    columns = words(*(f"{answer.arm}, {answer.seed}" for answer in pair.answers))
    rows = [[Cell(left.text), Cell(right.text)], [Cell(left.scores), Cell(right.scores)]]
    heading = f"## One question, two answers\n\n**{escape(pair.question)}**"
    return "\n\n".join([heading, grid(columns, rows), escape(pair.rule)])


def escape(text: str) -> str:
    r"""Any text as one line of inert Markdown: no HTML, no table cell, no link, no emphasis; newlines become
    <br>.

    Pipes, backticks and backslashes become entities, as renderers disagree about `\|` inside tables.
    """
    lines = []
    for line in visible(text).split("\n"):
        line = "".join(_ENTITIES.get(character, character) for character in line)
        line = line.replace("://", "&#58;//").replace("www.", "www&#46;")
        line = re.sub(r"(?<!&)#", r"\\#", _BACKSLASHED.sub(lambda m: "\\" * (m[0] != "#") + m[0], line))
        # "- x", "+ x", "===", "1. x" only mean something at the start of a line
        lines.append(_BLOCK_STARTS.sub(lambda m: m[1] + m[2][:-1] + "\\" + m[2][-1], line))
    return "<br>".join(lines)


def _section(table: Table) -> str:
    parts = [f"## {table.heading}", table.sentence]
    if table.rows:
        parts.append(grid(table.columns, table.rows))
    notes = list(table.notes) if table.rows or table.notes else ["n/a: nothing to show."]
    parts += [escape(note) for note in notes]
    return "\n\n".join(parts)


def _claims(section: ClaimSection) -> str:
    parts = [f"## {section.heading}", section.sentence]
    for table in section.tables:
        parts += [f"### {escape(table.heading)}", f"{escape(table.sentence)}."]
        parts.append(grid(table.columns, table.rows))
        parts += [escape(note) for note in table.notes]
    return "\n\n".join(parts + [escape(note) for note in section.notes])


def grid(columns: Sequence[Column], rows: Iterable[Iterable[Cell]]) -> str:
    """The lines of a Markdown table."""
    head = "| " + " | ".join(escape(column.label) for column in columns) + " |"
    rule = "|" + "|".join(" --- " if column.kind == "words" else " ---: " for column in columns) + "|"
    body = ["| " + " | ".join(map(_cell, row, columns)) + " |" for row in rows]
    return "\n".join([head, rule, *body])


def _cell(cell: Cell, column: Column) -> str:
    # numbers come from `formats` and hold nothing that Markdown reads, so they stay as they are
    text = cell.text if column.kind == "number" else escape(cell.text)
    return f"**{text}**" if cell.strong and text else text


def _bullets(sentences: Iterable[str]) -> str:
    return "\n".join(f"- {escape(sentence)}" for sentence in sentences)


def _answers(content: ReportContent) -> list[str]:
    frame = content.sorted_answers()
    questions = list(dict.fromkeys(frame["question_id"]))
    parts = ["## Answers"]
    if not questions:
        return [*parts, "n/a: the study sampled no answers."]
    shown = questions[:SHOWN_QUESTIONS]
    parts.append(
        f"The first answer of every arm and seed to the first {len(shown)} of {len(questions)} questions, in "
        "the order of their ids, not chosen. All answers: answers.csv, or report.html."
    )
    columns = words("Arm", "Seed", "Answer", "Finish")
    for question in shown:
        rows = frame[frame["question_id"] == question]
        parts.append(f"### {escape(str(question))}: {escape(str(rows.iloc[0]['question']))}")
        firsts = rows[~rows.duplicated(["arm", "seed"])]
        cells = [
            [
                Cell(content.arm(row.arm).label), Cell(seed_name(content, row.arm, row.seed)),
                Cell(str(row.text)), Cell(formats.text_or_empty(row.finish)),
            ]
            for row in firsts.itertuples()
        ]  # fmt: skip
        parts.append(grid(columns, cells))
    return parts
