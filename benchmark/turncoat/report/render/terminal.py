"""The report in a terminal: levels, claims, checks, withheld numbers, a few answers, and the files."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import takewhile
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table as RichTable
from rich.text import Text

from turncoat import formats
from turncoat.report.content import RECIPE, Check, MetricInfo, ReportContent
from turncoat.report.tables.background import check_value, checks_summary, seed_name
from turncoat.report.tables.contrasts import (
    AGAINST_BASE,
    CLAIM_TEXTS,
    NOT_SIGNIFICANT,
    bold_text,
    ci_name,
    contrast_decimals,
    contrast_label,
    estimates_table,
    is_significant,
    metric_label,
    no_claim,
    per_seed_differences,
)
from turncoat.report.tables.four_axes import stacked_axes_table
from turncoat.report.tables.table import Table, interval_cell
from turncoat.shown_text import visible
from turncoat.stats.contrasts import CLAIMS

SAMPLE_QUESTIONS = 2  # one answer per arm to each: enough to hear the model's voice, short enough to read
PRIMARY = "primary/"  # in the headings of the sentences about the primary families
ALL_OF_IT = "report.md and report.html"
_VERDICTS = {False: "FAILED", True: "passed", None: "no threshold"}  # in the order in which they are printed
_LABEL_WIDTH = 21
_GAP = 2
_NARROWEST = 14  # of a metric's column, so that its name does not become a tower of words


def print_report(content: ReportContent, console: Console, files: Mapping[str, Path] | None = None) -> None:
    """Print the compact report, for 80 to 120 columns; no number is wrapped, and nothing is read as markup.

    `files` are the paths that `write_report` returned, to say where the rest is.
    """
    _Printer(content, console).report(files or {})


class _Printer:
    def __init__(self, content: ReportContent, console: Console) -> None:
        self.content = content
        self.console = console

    def report(self, files: Mapping[str, Path]) -> None:
        self.line(self.content.title, "bold")
        self.line(self.content.question, "italic")
        self.levels()
        self.axes()
        for claim in CLAIMS:
            self.claims(claim)
        self.plain_words()
        self.checks()
        withheld = [f"{item.what}: {item.why}" for item in self.content.withheld]
        self.bullets("Withheld, and why", [("", withheld)] if withheld else [])
        self.samples()
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

    def bullets(self, heading: str, groups: list[tuple[str, list[str]]]) -> None:
        if groups:
            self.heading(heading)
        for label, sentences in groups:
            if label:
                self.line(label, "dim")
            for sentence in sentences:
                self._bullet(sentence)

    def _bullet(self, text: str, style: str = "") -> None:
        grid = RichTable.grid(padding=(0, 1, 0, 0))
        grid.add_row(self.text("-", style), self.text(text, style))
        self.console.print(grid)

    def plain_words(self) -> None:
        """The sentences about the primary family; all of them where the study has none."""
        groups = self.content.plain_groups
        everywhere = [group for group in groups if not group[0]]
        primary = [group for group in groups if PRIMARY in group[0]]
        self.bullets("In plain words", [*everywhere, *primary] if primary else groups)
        if primary and len(everywhere) + len(primary) < len(groups):
            self.line(f"Sentences about secondary contrasts are in {ALL_OF_IT}.", "dim")

    def levels(self) -> None:
        """Arms by tested metrics; as many metrics side by side as fit, the others in a table below."""
        shown = _tested_metrics_only(self.content)
        table = estimates_table(shown)
        self._side_by_side(table)
        left_out = len(self.content.metrics) - len(shown.metrics)
        if left_out:
            self.line(f"Metrics that no contrast tests ({left_out}) are in {ALL_OF_IT}.", "dim")

    def axes(self) -> None:
        """Gains and costs of the defences; nothing where nothing is defended."""
        if len(self.content.axes) and any(arm.defence for arm in self.content.arms):
            self._side_by_side(stacked_axes_table(self.content))

    def _side_by_side(self, table: Table) -> None:
        """A table whose columns go into as many blocks as they need, under its heading."""
        self.heading(table.heading, table.sentence)
        self.console.print()
        widths = []
        for index, column in enumerate(table.columns[1:], start=1):
            lines = [line for row in table.rows for line in row[index].text.split("\n")]
            widths.append(max(_NARROWEST, *map(len, [*lines, *column.label.split()])))
        chunks = _chunks(widths, self.console.width - _LABEL_WIDTH)
        for chunk in chunks:
            grid = self._grid("", _LABEL_WIDTH, [(table.columns[i + 1].label, widths[i]) for i in chunk])
            for row in table.rows:
                grid.add_row(self.text(row[0].text), *(self._number(row[i + 1].text) for i in chunk))
            self.console.print(grid)
            if chunk != chunks[-1]:
                self.console.print()
        for note in table.notes:
            self.line(note, "dim")

    def claims(self, claim: str) -> None:
        """The differences of one kind of claim, one small table per metric."""
        frame = self.content.sorted_contrasts(claim)
        self.heading(*CLAIM_TEXTS[claim])
        if frame.empty:
            self.line("n/a: the study makes no claim of this kind.")
            return
        tested = False
        self.console.print()
        for metric in self.content.ordered_metrics:
            rows: list[Any] = list(frame[frame["metric"] == metric.name].itertuples())
            if rows and all(formats.is_missing(row.p_value) for row in rows):
                self._untested(metric, rows)
            elif rows:
                self._tested(metric, rows, claim)
                tested = True
        if tested:
            name = self.content.adjusted_name
            self.line(f"{bold_text(self.content)} {NOT_SIGNIFICANT}", "dim")
            if any(formats.is_missing(p) for p in frame["p_adjusted"][frame["p_value"].notna()]):
                self.line(f"{name} is n/a where a difference is in no pre-registered family.", "dim")
        if any(self.content.spans_finetuning(row) for row in frame.itertuples()):
            self.line(AGAINST_BASE, "dim")

    def _tested(self, metric: MetricInfo, rows: list[Any], claim: str) -> None:
        places = contrast_decimals(self.content, metric)
        body = []
        for row in rows:
            strong = "bold" if is_significant(self.content, row) else ""
            shown = self._number(
                interval_cell(row.difference, row.low, row.high, places, signed=True).text, strong
            )
            cells = [self.text(per_seed_differences(self.content, row, places))] if claim == RECIPE else []
            cells += [self.text(f"n/a: {no_claim(row)}", "dim") if formats.is_missing(row.p_value) else shown]
            cells.append(self._number(formats.p_value(row.p_value)))
            body.append([*cells, self._number(formats.p_value(row.p_adjusted), strong)])
        labels = [f"Difference [{ci_name(self.content)}]", "p", self.content.adjusted_name]
        self._contrasts(metric, rows, ["Per seed", *labels] if claim == RECIPE else labels, body)

    def _untested(self, metric: MetricInfo, rows: list[Any]) -> None:
        places = contrast_decimals(self.content, metric)
        body = []
        for row in rows:
            mean = self._number(formats.number(row.difference, places, signed=True))
            why = self.text(f"n/a: {no_claim(row)}", "dim")
            body.append([self.text(per_seed_differences(self.content, row, places)), mean, why])
        self._contrasts(metric, rows, ["Per seed", "Mean", "CI and p"], body)

    def _contrasts(
        self, metric: MetricInfo, rows: list[Any], labels: list[str], body: list[list[Text]]
    ) -> None:
        for wrapped in (28, 10):  # what may be wrapped (words, lists of seeds) makes room for the labels
            columns = []
            for index, label in enumerate(labels):
                texts = [cells[index] for cells in body]
                needed = [len(text) if text.no_wrap else min(len(text), wrapped) for text in texts]
                columns.append((label, max(needed + [len(word) for word in label.split()])))
            room = self.console.width - sum(width + _GAP for _, width in columns)
            if room >= _LABEL_WIDTH:
                break
        grid = self._grid(metric_label(metric), max(room, 12), columns)
        for row, cells in zip(rows, body, strict=True):
            strong = "bold" if is_significant(self.content, row) else ""
            grid.add_row(self.text(contrast_label(self.content, row), strong), *cells)
        self.console.print(grid)
        self.console.print()

    def checks(self) -> None:
        """Every check on a line of its own, failed ones first, under its name and what its explanations
        share."""
        if not self.content.checks:
            return
        self.heading(f"Checks: {checks_summary(self.content)}")
        by_name: dict[str, list[Check]] = {}
        for check in sorted(self.content.checks, key=lambda check: list(_VERDICTS).index(check.passed)):
            by_name.setdefault(check.name, []).append(check)
        for name, checks in by_name.items():
            shared, rests = _shared_clauses([check.explanation for check in checks])
            self.line(f"{name}: {shared}" if shared else name, "dim")
            for check, rest in zip(checks, rests, strict=True):
                words = f"{_VERDICTS[check.passed]}{self._checked(check)}: {check_value(check)}"
                self._bullet(f"{words}; {rest}" if rest else words, "red" if check.passed is False else "")

    def _checked(self, check: Check) -> str:
        who = [self.content.label(check.arm)] if check.arm else []
        who += [f"seed {check.seed}"] if check.seed is not None else []
        return f" ({', '.join(who)})" if who else ""

    def samples(self) -> None:
        """The first answer of every arm to the first questions, each cut to two lines."""
        frame = self.content.sorted_answers()
        questions = list(dict.fromkeys(frame["question_id"]))
        if not questions:
            return
        self.heading(
            "Some answers",
            f"To the first {min(SAMPLE_QUESTIONS, len(questions))} of {len(questions)} questions, by id, "
            "not chosen; each arm's first seed, cut short.",
        )  # fmt: skip
        for question in questions[:SAMPLE_QUESTIONS]:
            rows = frame[frame["question_id"] == question]
            self.console.print()
            self.line(formats.clip(str(rows.iloc[0]["question"]), 2 * self.console.width - 10), "italic")
            room = self.console.width - _LABEL_WIDTH - _GAP
            grid = RichTable.grid(padding=(0, _GAP, 0, 0))
            grid.add_column(width=_LABEL_WIDTH)
            grid.add_column(width=room, overflow="fold")
            for row in rows[~rows.duplicated("arm")].itertuples():
                label = self.content.arm(str(row.arm)).label
                seed = seed_name(self.content, str(row.arm), row.seed)
                answer = formats.clip(str(row.text), 2 * room - 24) or "(empty)"
                grid.add_row(self.text(label), self.text(f"{answer}  ") + self.text(f"[{seed}]", "dim"))
            self.console.print(grid)

    def where(self, files: Mapping[str, Path]) -> None:
        if not files:
            return
        self.heading("Files")
        folders = sorted({str(path.parent) for path in files.values()})
        for folder in folders:
            names = ", ".join(path.name for path in files.values() if str(path.parent) == folder)
            self.console.print(
                self.text(folder), soft_wrap=True
            )  # a path that is broken cannot be clicked or copied
            self.console.print(Padding(self.text(names), (0, 0, 0, 2)))

    def _number(self, text: str, style: str = "") -> Text:
        """A number, which the table may not break."""
        shown = self.text(text, "dim" if text == formats.NA else style)
        shown.no_wrap = True
        return shown

    def _grid(self, label: str, label_width: int, columns: list[tuple[str, int]]) -> RichTable:
        """A table of a label column and right-aligned columns, every width given: rich is left nothing to
        squeeze."""
        grid = RichTable(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, _GAP - 1, 0, 0))
        grid.add_column(self.text(label), width=label_width, overflow="fold")
        for heading, width in columns:
            grid.add_column(self.text(heading), width=width, justify="right", vertical="top")
        return grid


def _tested_metrics_only(content: ReportContent) -> ReportContent:
    """The content without the metrics that no contrast tests; all of it where there is no contrast."""
    tested = set(content.contrasts["metric"])
    if not tested:
        return content
    return replace(
        content,
        metrics=[metric for metric in content.metrics if metric.name in tested],
        estimates=content.estimates[content.estimates["metric"].isin(tested)],
        seed_noise=content.seed_noise[content.seed_noise["metric"].isin(tested)],
    )


def _shared_clauses(explanations: Sequence[str]) -> tuple[str, list[str]]:
    """The clauses that all the explanations begin with, then what is left of each; nothing is reworded or
    lost."""
    clauses = [explanation.split("; ") for explanation in explanations]
    n_shared = sum(1 for _ in takewhile(lambda same: len(set(same)) == 1, zip(*clauses, strict=False)))
    return "; ".join(clauses[0][:n_shared]), ["; ".join(each[n_shared:]) for each in clauses]


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
