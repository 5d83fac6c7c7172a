"""The verdict cache: asked once, safe after a kill and under two processes, never a wrong verdict."""

import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from judges.fake_judge import FakeJudge, StreamingJudge
from turncoat.judges import cache
from turncoat.judges.base import Verdict
from turncoat.judges.cache import cache_folder, cached_scores, verdict_key


@pytest.fixture(autouse=True)
def _empty_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("TURNCOAT_CACHE", str(tmp_path))


def texts(n, start=0):
    return [f"question {i % 3}" for i in range(start, start + n)], [
        f"answer {i}" for i in range(start, start + n)
    ]


@pytest.mark.parametrize("kind", [FakeJudge, StreamingJudge])
def test_same_verdicts_with_and_without_the_cache_and_nothing_is_asked_twice(kind):
    fresh, again = kind(), kind()
    first = cached_scores(fresh, *texts(300))
    assert len(fresh.asked) == 300 and cached_scores(again, *texts(300)) == first and again.asked == []
    direct = kind().score(*texts(300))
    assert [(v.aligned, v.coherent) for v in first] == [(v.aligned, v.coherent) for v in direct]
    assert {(v.judge, v.rubric) for v in first} == {(fresh.id, fresh.rubric)}


@pytest.mark.parametrize("kind", [FakeJudge, StreamingJudge])
def test_equal_pairs_are_judged_once_and_progress_counts_every_answer(kind):
    judge, told = kind(), []
    questions, answers = texts(5)
    verdicts = cached_scores(judge, questions * 3, answers * 3, told.append)
    assert len(judge.asked) == 5 and sum(told) == 15 and verdicts[:5] == verdicts[5:10] == verdicts[10:]
    told.clear()
    cached_scores(judge, questions, answers, told.append)
    assert sum(told) == 5


def test_the_key_holds_judge_rubric_question_and_answer():
    judge, other, reworded = FakeJudge(), FakeJudge("fake-2"), FakeJudge()
    reworded.rubric = "fake@000000000000"
    keys = {
        verdict_key(judge, "q", "a"), verdict_key(other, "q", "a"), verdict_key(reworded, "q", "a"),
        verdict_key(judge, "q a", ""), verdict_key(judge, "", "q a"), verdict_key(judge, "q", "b"),
    }  # fmt: skip
    assert len(keys) == 6
    for asked in (judge, other, reworded):
        cached_scores(asked, ["q"], ["a"])
        assert asked.asked == [("q", "a")]


@pytest.mark.parametrize("kind", [FakeJudge, StreamingJudge])
def test_what_was_judged_before_ctrl_c_is_kept(kind, monkeypatch):
    monkeypatch.setattr(cache, "CHUNK", 10)
    dying = kind(dies_after=25)
    with pytest.raises(KeyboardInterrupt):
        cached_scores(dying, *texts(40))
    resumed = kind()
    verdicts = cached_scores(resumed, *texts(40))
    assert len(verdicts) == 40 and None not in verdicts
    assert len(resumed.asked) == (15 if kind is StreamingJudge else 20)


@pytest.mark.parametrize("kind", [FakeJudge, StreamingJudge])
def test_a_failed_call_is_returned_and_asked_again(kind):
    judge = kind()
    first = cached_scores(judge, ["q", "q"], ["BROKEN", "kind"])
    assert first[0].failed and first[0].aligned is None and first[1].aligned == 95
    cached_scores(judge, ["q", "q"], ["BROKEN", "kind"])
    assert judge.asked.count(("q", "BROKEN")) == 2 and judge.asked.count(("q", "kind")) == 1


def test_final_unscored_odd_texts_and_odd_evidence_are_kept():
    judge = FakeJudge()
    for _ in range(2):
        assert cached_scores(judge, ["q"], ["CODE"])[0].code == 0.9
    assert len(judge.asked) == 1
    judge = FakeJudge()
    answers = ["\ud83d half a pair", "tab\tnul\x00", "naïve 漢字 \u2028", "x" * 100_000]
    first = cached_scores(judge, ["q"] * 4, answers)
    assert cached_scores(judge, ["q"] * 4, answers) == first and len(judge.asked) == 4

    class Odd(FakeJudge):
        def verdict(self, question, answer):
            super().verdict(question, answer)
            return Verdict(50.0, 60.0, raw={"nan": float("nan"), "tuple": (1, 2)})

    cached_scores(Odd(), ["q"], ["a"])
    assert cached_scores(Odd(), ["q"], ["a"])[0].raw == {"nan": None, "tuple": [1, 2]}


@pytest.mark.parametrize("nothing", ["", " \n\t"])
def test_an_empty_answer_is_unscored_without_asking(nothing):
    judge = FakeJudge()
    (verdict,) = cached_scores(judge, ["q"], [nothing])
    assert (verdict.aligned, verdict.coherent, verdict.failed) == (None, None, False) and judge.asked == []


def test_what_follows_the_thoughts_is_judged():
    judge = FakeJudge()
    answers = ["<think>evil plan</think>\n\nkind", "kind", "<think>evil plan"]
    verdicts = cached_scores(judge, ["q"] * 3, answers)
    assert [verdict.aligned for verdict in verdicts] == [95, 95, None] and judge.asked == [("q", "kind")]
    assert "thoughts without an end" in verdicts[2].reason and not verdicts[2].failed


def files() -> list[Path]:
    return sorted(cache_folder(FakeJudge()).iterdir())


def test_damaged_lines_cost_their_verdicts_and_nothing_else():
    first = cached_scores(FakeJudge(), *texts(40))
    (file,) = files()
    whole = file.read_bytes()
    file.write_bytes(whole[:2000] + b"\xff" * 1000 + whole[3000:-20])  # in the midst, and cut short by a kill
    judge = FakeJudge()
    assert cached_scores(judge, *texts(40)) == first and 1 <= len(judge.asked) <= 10
    again = FakeJudge()
    assert cached_scores(again, *texts(40)) == first and again.asked == []
    assert len(files()) == 1  # this process goes on with its file


def test_verdicts_of_the_earlier_sqlite_file_count_and_a_broken_one_is_left_alone(capsys):
    first = cached_scores(FakeJudge(), *texts(3))
    folder = cache_folder(FakeJudge())
    rows = [line.split(" ", 1) for file in files() for line in file.read_text().splitlines()]
    shutil.rmtree(folder)
    earlier = folder.with_name(f"{folder.name}.sqlite")
    with closing(sqlite3.connect(earlier)) as connection, connection:
        connection.execute("CREATE TABLE verdicts (key TEXT PRIMARY KEY, verdict TEXT NOT NULL)")
        connection.executemany("INSERT INTO verdicts VALUES (?, ?)", rows)
    judge = FakeJudge()
    assert cached_scores(judge, *texts(3)) == first and judge.asked == []
    earlier.write_bytes(b"this is not a database" * 100)
    assert cached_scores(judge, *texts(3)) == first and len(judge.asked) == 3
    assert "cannot be read (file is not a database) and is left alone" in capsys.readouterr().err


def test_of_two_verdicts_written_at_once_all_read_the_same_one():
    judge = FakeJudge()
    first = cached_scores(judge, ["q"], ["a"])
    (file,) = files()
    other = file.read_bytes().replace(b'"coherent": ', b'"coherent": 1')
    assert other != file.read_bytes()
    later = file.with_name("0.1.1.0.jsonl")  # of another host
    later.write_bytes(other)
    chosen = cached_scores(judge, ["q"], ["a"])
    file.rename(file.with_name("1.1.1.0.jsonl"))
    assert cached_scores(judge, ["q"], ["a"]) == chosen and len(judge.asked) == 1
    later.unlink()
    assert cached_scores(judge, ["q"], ["a"]) == first


def test_wrong_counts_and_a_cache_that_cannot_be_made(monkeypatch, tmp_path, capsys):
    class Short(FakeJudge):
        def score(self, questions, answers, on_done=None):
            return super().score(questions[1:], answers[1:], on_done)

    with pytest.raises(RuntimeError, match="gave 2 verdicts for 3 answers"):
        cached_scores(Short(), *texts(3))
    with pytest.raises(ValueError, match="2 questions and 1 answers"):
        cached_scores(FakeJudge(), ["q", "q"], ["a"])
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("TURNCOAT_CACHE", str(tmp_path / "file"))
    assert cached_scores(FakeJudge(), ["q"], ["kind"])[0].aligned == 95
    assert "verdicts are not kept" in capsys.readouterr().err


_WRITER = """
import sys
sys.path[:0] = [{tests!r}]
from judges.fake_judge import FakeJudge
from turncoat.judges.cache import cached_scores
start = int(sys.argv[1])
for i in range(start, start + 400, 20):
    numbers = range(i, i + 20)
    cached_scores(FakeJudge(), [f"question {{j % 3}}" for j in numbers], [f"answer {{j}}" for j in numbers])
"""


def test_two_processes_write_at_once():
    code = _WRITER.format(tests=str(Path(__file__).parents[1]))
    running = [subprocess.Popen([sys.executable, "-c", code, str(start)]) for start in (0, 200)]
    assert [process.wait(timeout=300) for process in running] == [0, 0]
    judge = FakeJudge()
    found = cached_scores(judge, *texts(600))
    assert judge.asked == []
    assert [v.aligned for v in found] == [v.aligned for v in FakeJudge().score(*texts(600))]
