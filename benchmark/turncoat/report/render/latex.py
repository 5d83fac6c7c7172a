r"""A table as LaTeX with booktabs: \input{table.tex} in a document that loads booktabs and graphicx."""

import re
import textwrap
import unicodedata
from collections.abc import Sequence
from dataclasses import replace

from turncoat.report.tables.table import Cell, Column, Table
from turncoat.shown_text import visible

_SPECIAL = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%",
    "_": r"\_", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\ensuremath{<}",
    ">": r"\ensuremath{>}", "|": r"\textbar{}", '"': r"\textquotedbl{}",
    "\N{MINUS SIGN}": r"\ensuremath{-}", "\N{PLUS-MINUS SIGN}": r"\ensuremath{\pm}",
    "\N{MULTIPLICATION SIGN}": r"\ensuremath{\times}", "\N{DAGGER}": r"\textdagger{}", "\N{EN DASH}": "--",
    "\N{EM DASH}": "---", "\N{RIGHTWARDS ARROW}": r"\ensuremath{\rightarrow}",
    "\N{LEFTWARDS ARROW}": r"\ensuremath{\leftarrow}", "\N{HORIZONTAL ELLIPSIS}": r"\ldots{}",
    "\N{LEFT SINGLE QUOTATION MARK}": "`", "\N{RIGHT SINGLE QUOTATION MARK}": "'",
    "\N{LEFT DOUBLE QUOTATION MARK}": "``", "\N{RIGHT DOUBLE QUOTATION MARK}": "''",
}  # fmt: skip
_HYPHEN = re.compile(r"(?<![\w-])-(?=[\d.])")
_LONG = 34  # characters; a column of words with a longer cell wraps
_BROAD = 8  # columns; a table with more is set on its side
# characters; a longer heading of numbers is stacked, or it would make the column and so the print small
_HEADING = 20
_WRAPPED = 36  # characters of a wrapped column that a line holds at the least
_ROOM = {False: 44, True: 26}  # lines that a page holds beside caption and notes, upright and on its side

DOCUMENT = r"""\documentclass{article}
\usepackage[T1]{fontenc}
\usepackage[margin=2cm]{geometry}
\usepackage{booktabs,graphicx,pdflscape}
\begin{document}
%s
\end{document}
"""


def escape(text: str) -> str:
    """Any text as one line that LaTeX prints as it is; characters that a standard font lacks become their
    plain letter or ?."""
    line = " ".join(visible(text).split())
    return "".join(_SPECIAL.get(character) or _plain(character) for character in line)


def latex_table(sections: Sequence[tuple[str, Table]], *, name: str, caption: str) -> str:
    """One float for each section (sub-heading or "", table), several where a page is too short for it.

    The first label is `tab:<name>`, later ones end in `-2`, `-3`; notes stand below a section's last float.
    """
    floats = []
    for number, (heading, table) in enumerate(sections, 1):
        label = f"{name}-{number}" if number > 1 else name
        parts = _parts(table)
        for part in parts:
            more = "" if part is parts[0] else " (continued)"
            floats.append(_float(part, "" if more else label, f"{caption} {heading}".strip() + more))
    return "\n".join(floats)


def document(names: Sequence[str]) -> str:
    """A document that shows the tables of these files."""
    return DOCUMENT % "\n".join(rf"\input{{{name}}}\clearpage" for name in names)


def _parts(table: Table) -> list[Table]:
    """The table in pieces that fit a page each."""
    pieces: list[list[Sequence[Cell]]] = [[]]
    used = 0
    for row in table.rows:
        lines = max(
            -(-len(cell.text) // _WRAPPED) if column.kind == "words" and _wraps(table, place) else 1
            for place, (cell, column) in enumerate(zip(row, table.columns, strict=True))
        )
        if pieces[-1] and used + lines > _ROOM[len(table.columns) > _BROAD]:
            pieces.append([])
            used = 0
        pieces[-1].append(row)
        used += lines
    last = len(pieces) - 1
    return [replace(table, rows=r, notes=table.notes if i == last else []) for i, r in enumerate(pieces)]


def _float(table: Table, label: str, caption: str) -> str:
    turned = len(table.columns) > _BROAD
    # \width is that of the tabular: it is made narrower where it would not fit, and never wider
    fit = r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%"
    lines = [
        *([r"\begin{landscape}"] if turned else []),
        r"\begin{table}[htbp]",
        r"\centering\small",
        rf"\caption{{{escape(caption)}}}",
        *([rf"\label{{tab:{label}}}"] if label else []),
        fit,
        rf"\begin{{tabular}}{{{''.join(_alignment(table, place) for place in range(len(table.columns)))}}}",
        r"\toprule",
        _line([_heading(column) for column in table.columns]),
        r"\midrule",
        *(_line(list(map(_cell, row, table.columns))) for row in table.rows),
        r"\bottomrule",
        r"\end{tabular}}",
        *(rf"\par\smallskip{{\footnotesize\raggedright {escape(note)}\par}}" for note in table.notes),
        r"\end{table}",
        *([r"\end{landscape}"] if turned else []),
    ]
    return "\n".join(lines) + "\n"


def _alignment(table: Table, place: int) -> str:
    if table.columns[place].kind == "number":
        return "r"
    return r"p{0.24\linewidth}" if _wraps(table, place) else "l"


def _wraps(table: Table, place: int) -> bool:
    return any(len(row[place].text) > _LONG for row in table.rows)


def _heading(column: Column) -> str:
    if column.kind == "words" or len(column.label) <= _HEADING:
        return escape(column.label)
    lines = textwrap.wrap(" ".join(column.label.split()), _HEADING, break_on_hyphens=False)
    stacked = r" \\ ".join(escape(line) for line in lines)
    return rf"\shortstack[r]{{{stacked}}}"


def _cell(cell: Cell, column: Column) -> str:
    text = escape(cell.text)
    if column.kind == "number":
        text = _HYPHEN.sub(r"\\ensuremath{-}", text)  # a minus, not a hyphen
    return rf"\textbf{{{text}}}" if cell.strong and text else text


def _line(cells: Sequence[str]) -> str:
    # a bracket right after \\ would be read as its optional argument
    first, *others = cells
    return " & ".join([f"{{}}{first}" if first.startswith("[") else first, *others]) + r" \\"


def _plain(character: str) -> str:
    if ord(character) < 128:
        return character
    letters = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode("ascii")
    return "".join(_SPECIAL.get(letter, letter) for letter in letters) or "?"
