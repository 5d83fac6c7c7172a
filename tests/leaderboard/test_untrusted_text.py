"""Hostile text where it is shown."""

from __future__ import annotations

import csv
import io
import re

import pytest

pytest.importorskip("hypothesis")
from hypothesis import given, settings
from hypothesis import strategies as st
from turncoat.leaderboard.untrusted import for_markdown, for_spreadsheet, for_terminal

quick = settings(max_examples=200, deadline=None)
hostile = st.text(
    st.sampled_from("=+-@\t\r\n ;,'\"|`<>[]()!*_\\&#a1.\x1b\x9b\x00\u202e\u2028\u200b\ufeff\xa0\uff1d\ud800\U0001f600"),
    max_size=8,
) | st.text(max_size=12)
NUMBER = re.compile(r"[+-]?[0-9.]+(e[+-]?[0-9]+)?", re.I)


@quick
@given(hostile)
def test_no_cell_is_a_formula_however_the_file_is_cut_into_cells(text: str) -> None:
    stream = io.StringIO()
    csv.writer(stream, quoting=csv.QUOTE_NONNUMERIC).writerow([text and for_spreadsheet(text), 1])

    for separator in ",;\t":
        for row in csv.reader(io.StringIO(stream.getvalue(), newline=""), delimiter=separator):
            bare = row[0].strip().strip("\u200b\ufeff").strip()
            assert not bare.startswith(
                ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
            ) or NUMBER.fullmatch(bare)
            assert not row[0].startswith(("\t", "\r", "\n"))


@pytest.mark.parametrize("value", [-0.12, 3, None, True, "-0.12", "+1e-05", ".5", "sgtr-after", "a=b", ""])
def test_numbers_and_plain_text_stay_as_they_are(value: object) -> None:
    assert for_spreadsheet(value) is value


@pytest.mark.parametrize("text", ["=1+1", "+1+1", "-2-3", "@SUM(A1)", "\t=1", "\r=1", " =1", "-", "+0.12 [0.05, 0.19]"])
def test_what_a_spreadsheet_would_run_becomes_text(text: str) -> None:
    assert for_spreadsheet(text).startswith("'")


@quick
@given(hostile)
def test_markdown_has_no_markup_left(text: str) -> None:
    shown = for_markdown(text).replace("<br>", " ")

    assert not set(shown) & set("<>|`\n\r\x1b\x9b\x00\u202e")
    assert re.search(r"(?<!\\)[\[\]*_!]", shown) is None


@quick
@given(hostile)
def test_a_terminal_gets_printable_text_that_says_exactly_what_was_there(text: str) -> None:
    shown = for_terminal(text)

    assert shown.isprintable()
    assert shown.encode("latin-1", "backslashreplace").decode("unicode_escape") == text
