"""Every number of the README that a run gave is what the committed rows say; `readme_marks` has the grammar of the marks."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from results.readme_marks import ROOT, Mark, agrees, marks_of, prose, record, values_of
from rich.console import Console
from turncoat.report.write import report_run

README = (ROOT / "README.md").read_text(encoding="utf-8")
PROSE = prose(README)
MARKS = list(marks_of(PROSE))

# What looks like a result and is none, or what no committed file can confirm, with the reason.
UNCONFIRMED = {
    "Python 3.11": "a version",
    "torch 2.11": "a version",
    "Apache-2.0": "a licence",
    "CC0-1.0": "a licence",
    "arXiv:2606.23700": "a paper",
    "93 MB": "the size of a download",
    "11 min 23 s": "wall-clock time of one machine; run.json keeps the stages only",
    "10 min 28 s": "wall-clock time of an earlier version",
    "6.3 GB": "memory of an earlier version on one machine",
    "5 min 36 s": "wall-clock time of one machine",
    "95% of random": "the percentile that is meant",
    "[95% CI]": "the level of the intervals",
    "+0.161 and +0.114": "earlier runs of the demo, whose rows are not kept: said so that the choice of dose is not hidden",
}
RESULT = re.compile(
    r"(?<![\w.])[+-]?\d*\.\d+%?(?![\w.]*\d)|\d+(?:\.\d+)?%|\b\d+ of \d+\b|\b\d+ (?:min|s|ms|hours?|MB|GB)\b"
)


def unmarked(text: str, listed: dict[str, str] = UNCONFIRMED) -> list[str]:
    """Numbers of a prose that look like results and have neither a mark nor a reason."""
    left = list(text)
    for mark in marks_of(text):
        for start, end in mark.places:
            left[start:end] = "#" * (end - start)
    rest = re.sub(r"<!--[^<>]*-->", "", "".join(left))
    for snippet in listed:
        rest = re.sub(r"\s+".join(map(re.escape, snippet.split())), "", rest)
    return RESULT.findall(rest)


def test_there_are_marks():
    assert len(MARKS) >= 30


@pytest.mark.parametrize("mark", MARKS, ids=lambda mark: mark.text)
def test_marked_numbers_are_what_the_committed_files_say(mark: Mark):
    assert agrees(mark.shown, mark.values) == []


def test_no_result_of_the_readme_is_without_a_mark_or_a_reason():
    assert unmarked(PROSE) == []


def test_the_list_holds_nothing_that_the_readme_no_longer_says():
    said = " ".join(PROSE.split())
    assert [snippet for snippet in UNCONFIRMED if " ".join(snippet.split()) not in said] == []


@pytest.mark.parametrize("number", ["+0.21", "an AUC of .7", "12.5%", "7%", "3 of 8", "9 min", "0.2 [0.1, 0.3]"])
def test_a_number_without_a_mark_is_found(number):
    assert unmarked(f"Then {number}, they say.")
    assert not unmarked(prose(f"Then `{number}`, they say.\n\n    {number}\n\nNot more."))


def test_a_wrong_number_and_a_mark_in_the_wrong_place_are_found():
    held = values_of("judge/sensitivity")[0]
    good, wrong = f"{held:.2f}", f"{held + 0.01:.2f}"
    assert [agrees(mark.shown, mark.values) for mark in marks_of(f"{good}<!--judge/sensitivity-->")] == [[]]
    assert all(agrees(mark.shown, mark.values) for mark in marks_of(f"{wrong}<!--judge/sensitivity-->"))
    for text in (f"{good} of the answers<!--judge/sensitivity-->", "none<!--judge/sensitivity-->"):
        with pytest.raises(ValueError, match="directly before"):
            list(marks_of(text))
    for nothing in ("judge", "demo/recipe/no such contrast/persona_fixed", "demo/report/it is {} times better"):
        with pytest.raises(ValueError, match=r"is no mark|means nothing"):
            values_of(nothing)


def _excerpt() -> list[list[str]]:
    """What the README quotes of the demo's output, in the pieces between the cuts."""
    block = README.partition("(cuts marked `[...]`")[2].partition("\n\n")[2].partition("\n\nand leaves")[0]
    assert all(line.startswith("    ") for line in block.splitlines() if line)
    lines = [line[4:].rstrip() for line in block.splitlines()]
    pieces: list[list[str]] = [[]]
    for line in lines:
        if line.strip() == "[...]":
            pieces.append([])
        elif line or pieces[-1]:
            pieces[-1].append(line)
    return pieces


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    run: Path = ROOT / "results" / "demo"
    copy = tmp_path_factory.mktemp("printed") / "demo"
    shutil.copytree(run, copy, ignore=shutil.ignore_patterns("*.md", "*.csv", "*.html", "*.png"))
    console = Console(width=80, record=True, quiet=False, file=(copy / "out.txt").open("w", encoding="utf-8"))
    report_run(copy, console)
    return [line.rstrip() for line in console.export_text().splitlines()]


def test_the_demo_s_excerpt_is_what_its_report_prints(printed):
    progress, *pieces = _excerpt()
    at = 0
    for piece in pieces:
        while piece and not piece[-1]:
            piece = piece[:-1]
        found = [n for n in range(at, len(printed)) if printed[n : n + len(piece)] == piece]
        near = next((n for n in range(at, len(printed)) if printed[n] == piece[0]), at)
        assert found, "\n".join(
            ["the README quotes", *piece, "", "the report prints", *printed[near : near + len(piece)]]
        )
        at = found[0] + len(piece)
    vector = record("demo")["persona"]
    told = f"layer {vector['layer']} of 30, fixed now: it ranks {100 * vector['pairs_ranked_right']:.0f}% of "
    assert any(told + f"{vector['n_selection_pairs']} selection pairs right" in line for line in progress)
