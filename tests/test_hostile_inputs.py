"""Files and answers of strangers: one message, in bounded time, with nothing that steers a terminal."""

import gzip
import json
import re
import sys
import time
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest
from command_runs import write
from turncoat import cli
from turncoat.analysis.answers.answer_table import read_table, write_table
from turncoat.analysis.answers.saved_answers import read_answers
from turncoat.analysis.answers.score_columns import flatten
from turncoat.analysis.answers.scored_answers import Columns, read_scored
from turncoat.engine.chat import _TODAY
from turncoat.engine.thoughts import split_thoughts
from turncoat.errors import UserError
from turncoat.judges.rubrics import rubric_pair
from turncoat.judges.scoring import text_score
from turncoat.judges.spec import _OPTION, check_judge, judge_from_name
from turncoat.judges.surface import refusal_like, surface
from turncoat.judges.unscored import _VARYING
from turncoat.leaderboard.canaries.rows import ANSWERS
from turncoat.leaderboard.ranking.degenerate import echoes_rubric
from turncoat.leaderboard.ranking.duplicates import word_pairs
from turncoat.leaderboard.submission.paths_scrubber import _PATH
from turncoat.leaderboard.validation.row_schema import _NUMBER
from turncoat.report.render.latex import escape as latex
from turncoat.report.render.markdown import escape as markdown
from turncoat.safe_files import UnsafeFile, json_rows
from turncoat.shown_text import for_spreadsheet, from_spreadsheet, visible
from turncoat.study.config import load_study
from turncoat.text_files import parse_json, read_text
from turncoat.yaml_model import read_yaml

STEERS = "\x1b]0;title\x07\x1b[31mred\u202e"
MARKUP = "[link=http://x]b[/link] [/x] \\[/x]"
UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    """Exit code and all that `turncoat WORDS` printed."""
    monkeypatch.setattr(sys, "argv", ["turncoat", *words])
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setenv("TQDM_DISABLE", "1")
    with pytest.raises(SystemExit) as stop:
        cli.main()
    printed = capsys.readouterr()
    return int(stop.value.code or 0), printed.out + printed.err


def judged(path: Path, **cells: object) -> str:
    """A file of two scored answers."""
    row = {"question": "q1", "answer": "a", "aligned": 10, "coherent": 90, **cells}
    return str(write(path, [row, {**row, "question": "q2", "aligned": cells.get("aligned", 90)}]))


@pytest.mark.parametrize("arm", [STEERS, MARKUP])
def test_names_of_arms_are_printed_as_text(monkeypatch, capsys, tmp_path, arm):
    name = judged(tmp_path / "judged.jsonl", arm=arm)
    code, printed = run(monkeypatch, capsys, "rates", name)
    assert code == 0 and visible(arm) in printed and not UNSAFE.search(printed)
    code, printed = run(monkeypatch, capsys, "rates", name, "--json")
    assert code == 0 and json.loads(printed.splitlines()[0])["arm"] == arm and not UNSAFE.search(printed)
    code, printed = run(monkeypatch, capsys, "compare", f"{name}:a", f"{name}:{arm}")
    assert code == 2 and visible(arm) in printed and not UNSAFE.search(printed)


def test_a_bad_cell_and_a_bad_file_name_are_quoted_as_text(monkeypatch, capsys, tmp_path):
    path = tmp_path / f"x{MARKUP.replace('/', '')}{STEERS}.jsonl"
    code, printed = run(monkeypatch, capsys, "rates", judged(path, aligned=f"{STEERS} {MARKUP}"))
    assert code == 2 and printed.startswith("error: ") and not UNSAFE.search(printed)


def test_a_traceback_is_text(capsys, monkeypatch):
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    cli._show_traceback(RuntimeError, RuntimeError(STEERS), None)
    printed = capsys.readouterr().err
    assert visible(STEERS) in printed and not UNSAFE.search(printed)


@pytest.mark.parametrize("cell", ["[e e]", "[. .]", "[-]", "[[1] [2]]", "[{}]", "{", "[" * 5000, "[1" * 5000])
def test_a_cell_that_looks_like_a_list_is_refused_with_its_row_and_quoted(tmp_path, cell):
    path = tmp_path / "judged.csv"
    write_table(path, [{"question": "q1", "answer": "a", "aligned": cell, "coherent": "[1 2]"}])
    with pytest.raises(UserError, match=r"judged\.csv.*row 1") as caught:
        read_scored("judged.csv", path, Columns())
    assert cell != "[e e]" or "'aligned' has one value, '[e e]', 'coherent' has 2" in str(caught.value)


@pytest.mark.parametrize(
    "row",
    [
        {"doc": "x", "resps": [], "doc_id": 0}, {"doc": {}, "resps": [["a"]]},
        {"doc": [{}], "resps": 1, "doc_id": 0},
        {"doc": {"question": "q"}, "resps": {"a": 1}, "doc_id": 0},
        {"doc": {}, "resps": [[""]], "doc_id": {}},
        {"doc": {"question": "q"}, "resps": -1, "doc_id": 0, "arguments": ["a"], "samples": [1]},
    ],
)  # fmt: skip
def test_rows_that_only_look_like_lm_evals_are_refused(tmp_path, row):
    path = tmp_path / "x.jsonl"
    path.write_text(json.dumps(row) + "\n")
    with pytest.raises(UserError, match=r"x\.jsonl"):
        read_answers(path)


def test_half_of_a_surrogate_pair_can_name_an_arm(tmp_path):
    path = tmp_path / "judged.jsonl"
    judged(path, arm="\ud800")
    assert read_scored("judged", path, Columns()).arms == ["\\ud800"]


def test_json_is_bounded(tmp_path):
    assert parse_json("[" * 100 + "]" * 100, "x") and parse_json(b'{"a": NaN}', "x")
    for text in ("[" * 101 + "]" * 101, '{"a":' * 990 + "1" + "}" * 990, b"[" * 200_000 + b"]" * 200_000):
        with pytest.raises(UserError, match="line 3: nested too deep"):
            parse_json(text, "x.jsonl, line 3")
    for text in ("1" * 5000, "{", b"\xff", '{"aligned": 10, "aligned": 90}'):
        with pytest.raises(UserError, match="x: not JSON"):
            parse_json(text, "x")
    path = tmp_path / "x.jsonl"
    path.write_text('{"question": "q"}\n{"question": ' + "[" * 300 + "]" * 300 + "}\n")
    with pytest.raises(UserError, match=r"x\.jsonl, line 2: nested too deep"):
        list(read_table(path))


def test_a_gzip_file_may_not_unpack_to_a_hundred_times_its_size(tmp_path):
    path = tmp_path / "x.csv.gz"
    path.write_bytes(gzip.compress(b"a,b\n" * 1000))
    assert len(read_text(path)) == 4000
    bomb = gzip.compress((b"{}" + b" " * 2**20 + b"\n") * 65, mtime=0)
    path.write_bytes(bomb)
    with pytest.raises(UserError, match="unpacks to more than 67108864 bytes"):
        read_text(path)
    rows = tmp_path / "x.jsonl.gz"
    rows.write_bytes(bomb)
    with pytest.raises(UnsafeFile, match="expands too far"):
        list(json_rows(rows))


NINE = ", ".join(["*{0}"] * 9)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("study: x\nmodel: " + "[" * 101 + "]" * 101, "line 2: nested too deep"),
        ("study: x\nmodel: " + "[" * 5000, "line 2: nested too deep"),
        ("\n".join(["a: &a [x]", *(f"{b}: &{b} [{NINE.format(a)}]" for a, b in pairwise("abcdefgh"))]),
         "line 6: more than 100000 values"),
        ("a: &a [*a]", "line 1: more than 100000 values"),
        ('study: x\ntitle: "a\x1b[2J"', "is not YAML: unacceptable character #x001b"),
        ("a: 1" + ":1" * 190 + ".5", "is not YAML: int too large"),
        ("study: x\ntitle: 1" + ":1" * 400_000, "line 2: a number of more than 400 characters"),
        ("study: 0x" + "f" * 5000, "line 1: a number of more than 400 characters"),
        ("a: &a\n  k: &b [*a, *b]", "more than 100000 values"),
        (f"a: &a {'[' * 60}{']' * 60}\nb: &b {'[' * 60}*a{']' * 60}", "line 2: nested too deep"),
        ("study: 2024-99-99", "not YAML"),
        ("study: " + "1" * 5000, "a number of more than 400 characters"),
        ("study: !!int ''", "not YAML"),
        ("study: !!bool x", "not YAML"),
    ],
)  # fmt: skip
def test_yaml_is_bounded(tmp_path, text, message):
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        load_study(path)


def test_aliases_that_stand_for_little_are_read(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("a: &a {x: 1}\nb: [*a, *a]\nc:\n  <<: *a\n  y: 2")
    assert read_yaml(path)[0] == {"a": {"x": 1}, "b": [{"x": 1}] * 2, "c": {"x": 1, "y": 2}}


def test_a_bad_value_is_cut_in_the_message(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("study: [" + "x, " * 2000 + "x]\n" + "\n".join(f"k{i}: 1" for i in range(2000)))
    with pytest.raises(UserError) as error:
        load_study(path)
    assert len(str(error.value)) < 10_000


@pytest.mark.parametrize("number", ["1" + "0" * 400, "0x" + "f" * 5000, "-1" + "0" * 400])
def test_a_number_beyond_floats_is_not_an_option_of_a_judge(number):
    with pytest.raises(UserError, match=r"judge openai: timeout='-?[01]"):
        judge_from_name(f"openai:timeout={number}")


def test_a_judge_of_a_study_cannot_nest(monkeypatch):
    with pytest.raises(UserError):
        check_judge("embedded:x=" + "(" * 100_000)


def test_written_tables_run_in_no_spreadsheet_and_are_read_back(tmp_path):
    formula = "=cmd|' /C calc'!A0"
    row = {"arm": formula, "answer": "a\n- b;=1", "logprob": "-0.2", "n": -1, "=h": "+1"}
    for name in ("x.csv", "x.csv.gz"):
        write_table(tmp_path / name, [row])
        text = read_text(tmp_path / name)
        assert "'=cmd" in text and "\n'- b;'=1" in text and ",-0.2,-1," in text and ",'=h" in text
        (back,) = read_table(tmp_path / name)
        assert back == {**row, "n": "-1"}


def flatten_cell(text: str) -> object:
    return flatten({"a": f"{{{text}", "b": text})


READERS: list[Callable[[str], object]] = [
    surface, refusal_like, echoes_rubric, split_thoughts, text_score, markdown, latex, visible,
    for_spreadsheet, from_spreadsheet, word_pairs, ANSWERS["refusal"], _NUMBER.fullmatch, flatten_cell,
    partial(rubric_pair("alignment").aligned.prompt, "q"),
    *(partial(pattern.sub, "") for pattern in (_VARYING, _PATH, _TODAY, _OPTION)),
]  # fmt: skip
PIECES = (
    "a", " ", "(", "a(", "()", ")", "{", "[", "'", '"', "; ", "\n", "1", "1.", "-", "/", "/a", "~", "\\", "<",
    "the ", "this answer is a ", "aligned ", "100 ", "10/", "out of ", "def ", "import a.", "</ ", "<think>",
    "<think></think>", "</think>", "i must ", "sorry ", "score: ", "np.int1(", "strftime_now('", "\t;\"",
    "e+1",
)  # fmt: skip


@pytest.mark.parametrize("reader", READERS)
def test_the_time_of_what_reads_answers_is_linear(reader):
    """At twice the length not four times as long: 50,000 characters of one repeated piece, with an end that
    makes the last attempt fail."""

    def seconds(text: str) -> float:
        best = float("inf")
        for _ in range(3):
            begun = time.process_time()
            reader(text)
            best = min(best, time.process_time() - begun)
        return best

    for piece in PIECES:
        for end in ("", "x"):
            if seconds(piece * (12_500 // len(piece)) + end) > 0.002:  # below, no power of the length shows
                short, long = (seconds(piece * (n // len(piece)) + end) for n in (25_000, 50_000))
                assert long < 3 * short + 0.005, (piece, end, short, long)
