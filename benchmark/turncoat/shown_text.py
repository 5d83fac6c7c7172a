r"""Text from outside made harmless where it is shown: terminals, pages, spreadsheets, and back.

visible("a\x1b[2Jb\u202e")             # "a\u001b[2Jb\u202e" as printable characters
for_spreadsheet("=1+1")                # "'=1+1": a cell of text
from_spreadsheet("'=1+1")              # "=1+1"
TextConsole().print(text)              # a console on which every string is text

HTML and Markdown need their own escaping besides (jinja2's autoescape, `report.render.markdown.escape`).
"""

import re
import sys
from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

# C0 and C1 controls but tab and newline (terminal escapes among them), bidi overrides, lone surrogates.
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
# The full-width forms are read as formulas by spreadsheets in East Asian locales.
_FORMULA = "=+\\-@\uff1d\uff0b\uff0d\uff20"
_BLANK = r"\s\u200b\ufeff"
_FORMULA_AT_START = re.compile(f"[{_BLANK}]*[{_FORMULA}]")
# A run of separators, blanks and quotes inside a text, and the formula sign after it. The sign is optional,
# so that every run is consumed by one match and the time stays linear.
_CUT = re.compile(f'([;|\t\n][;|"{_BLANK}]*)([{_FORMULA}]?)')
_DEFUSED_CUT = re.compile(f"([;|\t\n][;|\"{_BLANK}]*)('(?=[{_FORMULA}]))?")
_DEFUSED_START = re.compile(f"'(?=[{_BLANK}]*[{_FORMULA}]|[\t\n])")


def visible(text: str) -> str:
    r"""The text with control, bidi-override and surrogate characters as \uXXXX, also legal in JSON strings.

    Line ends become a plain newline; newlines and tabs stay.
    """
    plain = text.replace("\r\n", "\n").replace("\r", "\n")
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", plain)


def warn(message: str) -> None:
    """Print "turncoat: message" on standard error."""
    print(f"turncoat: {visible(message)}", file=sys.stderr, flush=True)


def for_spreadsheet(value: Any) -> Any:
    """A cell for a CSV file that no spreadsheet takes for a formula, with `visible` text.

    A spreadsheet that separates by semicolons, tabs or bars sees quotes only where its own cells start: it
    cuts `1,"a;=1+1"` in two and would run the second half, and it joins `"-0",1` to one cell. So a text gets
    an apostrophe before a formula sign at its start and after each such separator, also where the text by
    itself is a number. Quote all texts (`csv.QUOTE_NONNUMERIC`) where a number may stand before them.
    Numbers and None are returned as they are.
    """
    if not isinstance(value, str):
        return value
    text = visible(value)
    cut = _CUT.sub(lambda run: f"{run[1]}'{run[2]}" if run[2] else run[0], text)
    return f"'{cut}" if text.startswith(("\t", "\n")) or _FORMULA_AT_START.match(cut) else cut


def from_spreadsheet(text: str) -> str:
    """A cell without the apostrophes that `for_spreadsheet` put before formula signs."""
    return _DEFUSED_CUT.sub(r"\1", _DEFUSED_START.sub("", text, count=1) if text[:1] == "'" else text)


class TextConsole(Console):
    """A rich console for text from outside: styles come from `Text` objects and `style=` alone.

    Args:
        options: Of `rich.console.Console`.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """The string as text; widths are those of what is shown."""
        return super().render_str(visible(text), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Printed segments made visible, control codes of rich itself apart."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(visible(segment.text), segment.style)
