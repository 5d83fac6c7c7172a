"""The report's first screen in a terminal: verdict, levels, claims with their checks, two answers, the
files."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table as RichTable
from rich.text import Text

from turncoat import formats
from turncoat.report.content import ReportContent
from turncoat.report.overview import AnswerPair, overview
from turncoat.report.tables.background import checks_summary
from turncoat.report.tables.table import Cell, Table
from turncoat.shown_text import visible

_LABEL_WIDTH = 21
_GAP = 2
_NARROWEST = 12  # of a number's column, so that its name does not become a tower of words
_ANSWER_LINES = 5


def print_report(content: ReportContent, console: Console, files: Mapping[str, Path] | None = None) -> None:
    """Print the first screen, for 80 to 120 columns; no number is wrapped, and nothing is read as markup.

    `files` are the paths that `write_report` returned, to say where the rest is.
    """
    _Printer(content, console).report(files or {})


class _Printer:
    def __init__(self, content: ReportContent, console: Console) -> None:
        self.content = content
        self.console = console

    def report(self, files: Mapping[str, Path]) -> None:
        first = overview(self.content)
        self.line(self.content.title, "bold")
        self.line(self.content.question, "italic")
        self.console.print()
        for place, sentence in enumerate(first.verdict):
            self.line(sentence, "" if place else "bold")
        self.levels(first.levels)
        if first.claims.rows:
            self.claims(first.claims)
        if self.content.checks:
            self.line(f"Checks: {checks_summary(self.content)}.", "dim")
        for item in self.content.withheld:
            self.line(f"Withheld: {item.what}: {item.why}")
        if first.pair:
            self.pair(first.pair)
        self.where(files)

    def text(self, text: str, style: str = "") -> Text:
        """Inert text: control characters shown, what the console's encoding lacks replaced."""
        encoding = self.console.encoding or "utf-8"
        return Text(visible(text).encode(encoding, "replace").decode(encoding), style)

    def line(self, text: str, style: str = "") -> None:
        self.console.print(self.text(text, style))

    def heading(self, text: str, sentence: str = "") -> None:
        self.console.print()
        self.line(text, "bold")
        if sentence:
            self.line(sentence, "dim")

    def levels(self, table: Table) -> None:
        """A row per arm; as many columns side by side as fit, the others in a block below."""
        self.heading(table.heading, table.sentence)
        widths = []
        for i, column in enumerate(table.columns[1:], start=1):
            texts = [row[i].text for row in table.rows]
            widths.append(max(_NARROWEST, *map(len, [*texts, *column.label.split()])))
        for chunk in _chunks(widths, self.console.width - _LABEL_WIDTH):
            self.console.print()
            grid = self._grid("", _LABEL_WIDTH, [(table.columns[i + 1].label, widths[i]) for i in chunk])
            for row in table.rows:
                grid.add_row(self.text(row[0].text), *(self._number(row[i + 1]) for i in chunk))
            self.console.print(grid)
        for note in table.notes:
            self.line(note, "dim")

    def claims(self, table: Table) -> None:
        """Each comparison with its measures, and its check on the line below."""
        self.heading(table.heading, table.sentence)
        measure, check = 1, len(table.columns) - 1
        shown = range(measure + 1, check)
        for wrapped in (18, 8):  # what may be wrapped, lists of trainings, makes room for the measure
            widths = []
            for i in shown:
                texts = [(len(row[i].text), _fixed(row[i])) for row in table.rows]
                needed = [length if fixed else min(length, wrapped) for length, fixed in texts]
                widths.append(max(*needed, *map(len, table.columns[i].label.split())))
            room = max(_NARROWEST, self.console.width - sum(width + _GAP for width in widths))
            if room >= _LABEL_WIDTH:
                break
        heads = [(table.columns[i].label, width) for i, width in zip(shown, widths, strict=True)]
        groups: list[list[Sequence[Cell]]] = []
        for row in table.rows:
            if row[0].text:
                groups.append([])
            groups[-1].append(row)
        for group in groups:
            self.console.print()
            self.line(group[0][0].text, "bold")
            grid = self._grid("", room, heads)
            for row in group:
                grid.add_row(self.text(row[measure].text), *(self._number(row[i]) for i in shown))
            self.console.print(grid)
            last = group[0][check]
            self.line(f"Check: {last.text}", "red" if last.strong else "dim")
        self.console.print()
        for note in table.notes:
            self.line(note, "dim")

    def pair(self, pair: AnswerPair) -> None:
        """Two answers to one question, each cut to a few lines."""
        self.heading("One question, two answers", pair.rule)
        self.console.print()
        self.line(formats.clip(pair.question, 3 * self.console.width), "italic")
        for answer in pair.answers:
            self.console.print()
            self.line(f"{answer.arm}, {answer.seed} ({answer.scores})", "dim")
            text = formats.clip(answer.text, _ANSWER_LINES * (self.console.width - _GAP)) or "(empty)"
            self.console.print(Padding(self.text(text), (0, 0, 0, _GAP)))

    def where(self, files: Mapping[str, Path]) -> None:
        if not files:
            return
        self.heading("Files")
        folders = sorted({str(path.parent) for path in files.values()})
        for folder in folders:
            names = ", ".join(path.name for path in files.values() if str(path.parent) == folder)
            # a path that is broken cannot be clicked or copied
            self.console.print(self.text(folder), soft_wrap=True)
            self.console.print(Padding(self.text(names), (0, 0, 0, 2)))

    def _number(self, cell: Cell) -> Text:
        """A cell; a number may not be broken."""
        shown = self.text(cell.text, "dim" if cell.missing else "bold" if cell.strong else "")
        shown.no_wrap = _fixed(cell)
        return shown

    def _grid(self, label: str, label_width: int, columns: list[tuple[str, int]]) -> RichTable:
        """A table of a label column and right-aligned columns, every width given: rich is left nothing to
        squeeze."""
        grid = RichTable(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, _GAP - 1, 0, 0))
        grid.add_column(self.text(label), width=label_width, overflow="fold")
        for heading, width in columns:
            grid.add_column(self.text(heading), width=width, justify="right", vertical="top")
        return grid


def _fixed(cell: Cell) -> bool:
    """True for a number, which may not be wrapped."""
    return cell.value is not None or cell.missing


def _chunks(widths: list[int], room: int) -> list[list[int]]:
    """Positions of the columns, grouped so that each group fits into `room` characters; never an empty
    group."""
    chunks: list[list[int]] = []
    used = room + 1
    for index, width in enumerate(widths):
        if not chunks or used + width + _GAP > room:
            chunks.append([])
            used = 0
        chunks[-1].append(index)
        used += width + _GAP
    return chunks
