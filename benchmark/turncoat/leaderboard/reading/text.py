r"""Make an entry's text harmless where it is shown: spreadsheets, Markdown, terminals.

for_spreadsheet("=1+1")                            # "'=1+1": a cell of text
for_markdown("[a](b) | c")                         # one inert line, no link and no further cell
for_terminal("a\x1b[2Jb")                          # "a\x1b[2Jb": nothing but printable characters

HTML needs none of these: jinja2's autoescape does it.
"""

import re
from typing import Any

# The full-width forms are read as formulas by spreadsheets in East Asian locales.
_FORMULA = "=+\\-@\uff1d\uff0b\uff0d\uff20"
_BLANK = r"\s\u200b\ufeff"
_FORMULA_AT_START = re.compile(f"[{_BLANK}]*[{_FORMULA}]")
# A run of separators, blanks and quotes inside a text, and the formula sign after it. The sign is optional,
# so that every run is consumed by one match and the time stays linear.
_CUT = re.compile(f'([;|\t\n][;|"{_BLANK}]*)([{_FORMULA}]?)')


def for_spreadsheet(value: Any) -> Any:
    """A cell for a CSV file that no spreadsheet takes for a formula; controls and bidi overrides become
    U+FFFD.

    Write the file with commas and `csv.QUOTE_NONNUMERIC` or `QUOTE_ALL`. A spreadsheet that separates by
    semicolons, tabs or bars sees quotes only where its own cells start: it cuts `1,"a;=1+1"` in two and would
    run the second half, and it joins `"-0",1` to one cell. So a text gets an apostrophe before a formula sign
    at its start and after each such separator, also where the text by itself is a number.
    Numbers and None are returned as they are.
    """
    if not isinstance(value, str):
        return value
    from turncoat.formats import safe_text

    text = safe_text(value)
    cut = _CUT.sub(lambda run: f"{run[1]}'{run[2]}" if run[2] else run[0], text)
    return f"'{cut}" if text.startswith(("\t", "\n")) or _FORMULA_AT_START.match(cut) else cut


def for_markdown(text: str) -> str:
    """One line of inert Markdown, in a table cell or out of it; the report's own rule
    (`report.markdown.escape`)."""
    from turncoat.report.render.markdown import escape

    return escape(text)


def for_terminal(text: str) -> str:
    r"""One line of printable characters: controls, line ends, bidi and invisible characters as \x1b, \n,
    \u202e.

    A backslash is doubled, so that two texts never look the same.
    """
    return "".join(
        char if char.isprintable() and char != "\\" else char.encode("unicode_escape").decode("ascii")
        for char in text
    )
