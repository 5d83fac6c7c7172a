"""Hostile text where it is shown: spreadsheets, Markdown, consoles."""

import csv
import io
import re

import pytest

pytest.importorskip("hypothesis")
from hypothesis import example, given, settings, strategies as st
from rich.table import Table
from rich.text import Text
from turncoat.report.render.markdown import escape
from turncoat.shown_text import TextConsole, for_spreadsheet, from_spreadsheet, visible

quick = settings(max_examples=200)
hostile = st.text(
    st.sampled_from(
        "=+-@\t\r\n ;,'\"|`<>[]()!*_\\&#a1.\x1b\x9b\x00\u202e\u2028\u200b\ufeff\xa0\uff1d\ud800\U0001f600"
    ),
    max_size=8,
) | st.text(max_size=12)
numbers = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-9, 9)
# As on the board, text comes first in a line: a number there is joined to what follows by other separators.
lines = st.lists(st.tuples(hostile, hostile | numbers, hostile, numbers), min_size=1, max_size=3)
NUMBER = re.compile(r"-?[0-9.]+(e[+-]?[0-9]+)?")
FORMULAS = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
CUT = ["-0", "+1", "=1", " -0", "\ufeff\u200b=1", "\t=1", "\n=1", "a;=1", "a|@b", "a\t\uff1d1", "a\r\n-1",
       "a; \"'=1", 'a;"=1', "a;\n;=1", ";", "a\n", "a;\"\"", '"=1', '";=1', "-1;-2", "'=1;=2", "=1,2",
       "a,;-2", "a;\u2028+1"]  # fmt: skip


def cut_into_cells(rows: list[tuple[object, ...]], separator: str) -> list[str]:
    """Cells that a spreadsheet with this separator sees in a file written like the board, blanks stripped."""
    stream = io.StringIO(newline="")
    csv.writer(stream, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n").writerows(
        [for_spreadsheet(value) for value in row] for row in rows
    )
    cells = csv.reader(io.StringIO(stream.getvalue(), newline=""), delimiter=separator)
    return [re.sub("^[\\s\u200b\ufeff]+|[\\s\u200b\ufeff]+$", "", cell) for row in cells for cell in row]


@quick
@given(lines)
@example([("-0", 1, "", 1)])
@example([("a", "b;=1", "=1", -1)])
@example([("a", 1, "b;", -1), ("=1", -1, "c", 1)])
@example([("a", '"";"=1"', '";"=1', -1)])
def test_no_cell_is_a_formula_however_the_file_is_cut_into_cells(rows: list[tuple[object, ...]]) -> None:
    for separator in ",;\t|":
        for cell in cut_into_cells(rows, separator):
            assert not cell.startswith(FORMULAS) or (separator == "," and NUMBER.fullmatch(cell)), (
                separator,
                cell,
            )


@pytest.mark.parametrize("text", CUT)
@pytest.mark.parametrize("row", [0, 1, 2])
def test_no_known_way_to_cut_a_cell_makes_a_formula(text: str, row: int) -> None:
    cells: list[object] = ["a", "b", "c", -1]
    cells[row] = text
    for separator in ";\t|":
        assert not any(cell.startswith(FORMULAS) for cell in cut_into_cells([tuple(cells)] * 2, separator))
    assert [cell for cell in cut_into_cells([tuple(cells)], ",") if cell.startswith(FORMULAS)] == ["-1"]


@pytest.mark.parametrize(
    "value", [-0.12, 3, None, True, ".5", "1e-05", "sgtr-after", "a=b", "[0.1, -0.2]", "a - b; c", ""]
)
def test_numbers_and_plain_text_stay_as_they_are(value: object) -> None:
    assert for_spreadsheet(value) == value


@pytest.mark.parametrize(
    "text",
    ["=1+1", "+1+1", "-2-3", "-0", "+1e-05", "@SUM(A1)", "\t=1", "\r=1", " =1", "-", "+0.12 [0.05, 0.19]"],
)
def test_what_a_spreadsheet_would_run_becomes_text(text: str) -> None:
    assert for_spreadsheet(text).startswith("'")


def test_the_guard_takes_linear_time() -> None:
    assert for_spreadsheet("\n;" * 200_000 + "=") == "'" + "\n;" * 200_000 + "'="


@quick
@given(hostile)
def test_markdown_has_no_markup_left(text: str) -> None:
    shown = escape(text).replace("<br>", " ")
    assert not set(shown) & set("<>|`\n\r\x1b\x9b\x00\u202e")
    assert re.search(r"(?<!\\)[\[\]*_!]", shown) is None


@quick
@given(hostile)
@example("\n- a\n- b;=1")
@example("\t=1")
def test_a_defused_cell_is_read_back_as_it_was(text: str) -> None:
    if not re.search("'[\\s\u200b\ufeff]*[-+=@\uff1d\uff0b\uff0d\uff20]|^'[\t\n\r]", text):
        assert from_spreadsheet(for_spreadsheet(text)) == visible(text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b]0;t\x07b\x9bc", r"a\u001b]0;t\u0007b\u009bc"),
        ("\u202ea\u2066\ud800", r"\u202ea\u2066\ud800"),
        ("a\r\nb\tc\rd", "a\nb\tc\nd"),
        ("caf\xe9 \u05d0 \U0001f469\u200d\U0001f52c \\", "caf\xe9 \u05d0 \U0001f469\u200d\U0001f52c \\"),
    ],
)
def test_what_steers_a_screen_is_visible(text: str, shown: str) -> None:
    assert visible(text) == shown and visible(shown) == shown


@quick
@given(hostile)
@example("[link=http://x]b[/link] [/x] \\[/x] :smile:")
@example("\x1b[31mred\u202e")
def test_a_console_shows_strings_cells_titles_and_texts_alike(text: str) -> None:
    console = TextConsole(file=io.StringIO(), width=300, force_terminal=True, color_system=None)
    table = Table(text, title=text)
    table.add_row(text)
    console.print(text, table, Text(text), "end")
    shown = console.file.getvalue()
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e\ud800]", shown)
    assert all(word in shown for word in visible(text).split())


def test_a_table_with_escapes_keeps_its_columns() -> None:
    console = TextConsole(file=io.StringIO(), width=80)
    table = Table(box=None)
    for cells in (("\x1b[31mred", "1"), ("blue", "2")):
        table.add_row(*cells)
    console.print(table)
    red, blue = console.file.getvalue().splitlines()[-2:]
    assert red.index("1", 12) == blue.index("2")
