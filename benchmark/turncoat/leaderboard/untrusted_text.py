r"""Text from an entry where it is shown: kept as it is in the data, made harmless for each place that reads it.

for_spreadsheet("=1+1")                            # "'=1+1": a cell of text
for_markdown("[a](b) | c")                         # one inert line, no link and no further cell
for_terminal("a\x1b[2Jb")                          # "a\x1b[2Jb": nothing but printable characters

HTML needs none of these: jinja2's autoescape does it.
"""

from __future__ import annotations

import re
from typing import Any

# The full-width forms are read as formulas by spreadsheets in East Asian locales.
_FORMULA = (*"=+-@", "\N{FULLWIDTH EQUALS SIGN}", "\N{FULLWIDTH PLUS SIGN}", "\N{FULLWIDTH HYPHEN-MINUS}",
            "\N{FULLWIDTH COMMERCIAL AT}")  # fmt: skip
_BLANK = re.compile("[\\s\u200b\ufeff]*")
_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")


def for_spreadsheet(value: Any) -> Any:
    """A cell for a CSV file that no spreadsheet takes for a formula; controls and bidi overrides become U+FFFD.

    Write the file with `csv.QUOTE_NONNUMERIC` or `QUOTE_ALL`: a spreadsheet that separates by semicolons would
    otherwise cut "a;=1+1" in two and run the second half.

    Args:
        value: Text, or a number, which is left alone as is text that is a number ("-0.12").
    """
    if not isinstance(value, str):
        return value
    from turncoat.report.formats import safe_text

    text = safe_text(value)
    bare = _BLANK.sub("", text, count=1)
    risky = text.startswith(("\t", "\n")) or bare.startswith(_FORMULA)
    return f"'{text}" if risky and not _NUMBER.fullmatch(text) else text


def for_markdown(text: str) -> str:
    """One line of inert Markdown, in a table cell or out of it; the report's own rule (`report.markdown.escape`)."""
    from turncoat.report.markdown import escape

    return escape(text)


def for_terminal(text: str) -> str:
    r"""One line of printable characters: controls, line ends, bidi and invisible characters as \x1b, \n, \u202e.

    A backslash is doubled, so that two texts never look the same.
    """
    return "".join(
        char if char.isprintable() and char != "\\" else char.encode("unicode_escape").decode("ascii") for char in text
    )
