"""`turncoat verify` from the command line: exit codes, the record, what is refused."""

import json

import pytest
import typer
from leaderboard.made_entry import make_entry
from leaderboard.verification.test_rejudge import Remembers, scores
from turncoat.commands.leaderboard.verify import verify
from turncoat.errors import UserError
from turncoat.judges import spec as load
from turncoat.leaderboard.reading.findings import EntryRefused, Finding
from turncoat.leaderboard.validation import validate
from typer.testing import CliRunner

APP = typer.Typer()
APP.command()(verify)


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("TURNCOAT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(validate, "validate_entry", lambda folder, said: [])
    return make_entry(tmp_path, slug="none", setting="none")


@pytest.fixture
def run(home, tmp_path, monkeypatch):
    known = scores(home)

    def call(*words: str, rubric: str, move: float = 0.0):
        judge = Remembers(known, rubric=rubric, move=move)
        monkeypatch.setattr(load, "_built", lambda spec: judge)
        return CliRunner().invoke(APP, [str(home), "--out", str(tmp_path / "out"), *words])

    return call


def rubric(home) -> str:
    return json.loads((home / "submission.json").read_text())["judge"]["rubric"]


def test_scores_that_do_not_agree_fail_and_say_where(home, run, tmp_path):
    done = run("--judge", "embedded", rubric=rubric(home), move=-5.0)
    assert done.exit_code == 1 and "NOT verified: 84 of the scores differ" in done.output
    assert "rows/base/base/turncoat_em.jsonl.gz, line 1, samples[0].judge_aligned" in done.output
    assert json.loads((tmp_path / "out" / "none.json").read_text())["verdict"] != "verified"


def test_scores_that_agree_and_another_judge(run, tmp_path, home):
    done = run("--judge", "embedded", rubric="another@1", move=-5.0)
    assert done.exit_code == 0 and "nothing was written" in done.output and not (tmp_path / "out").exists()
    done = run(
        "--judge",
        "embedded",
        "--nonce",
        "7a",
        "--by",
        "A. Nother",
        "--date",
        "2026-01-31",
        rubric=rubric(home),
    )
    assert done.exit_code == 0, done.output
    told = json.loads((tmp_path / "out" / "none.json").read_text())
    assert (told["slug"], told["how"], told["verdict"]) == ("none", "rejudge", "verified")
    assert (told["by"], told["date"], told["nonce"], told["fraction"]) == (
        "A. Nother", "2026-01-31", "7a", 1.0,
    )  # fmt: skip
    assert told["compared"] == told["agreeing"] == 84
    assert "84 of 84 rows agree" in done.output and "--nonce 7a" in done.output


def test_ctrl_c_writes_nothing(home, run, tmp_path, monkeypatch):
    def stopped(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(Remembers, "score", stopped)
    assert run("--judge", "embedded", rubric=rubric(home)).exit_code != 0 and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "match"),
    [
        ([], "--adapters DIR or --run RUN"),
        (["--adapters", "a", "--run", "b"], "one"),
        (["--run", "nowhere"], "no run.json there"),
        (["--judge", "embedded", "--date", "31.1."], "YYYY-MM-DD"),
        (["--judge", "embedded", "--fraction", "2"], "--fraction 2"),
        (["--judge", "embedded", "--role", "defended"], "accepted: base, organism, control"),
        (["--adapters", "nowhere"], "no folder with adapters"),
    ],
)
def test_what_cannot_be_is_refused(run, words, match):
    done = run(*words, rubric="any@1")
    assert isinstance(done.exception, UserError) and match in str(done.exception)


def test_an_entry_that_is_not_good_is_not_run(home, run, monkeypatch):
    bad = Finding("duplicate", "rows/base/base/turncoat_em.jsonl.gz", row=2)
    monkeypatch.setattr(validate, "validate_entry", lambda folder, said: [bad])
    done = run("--judge", "embedded", rubric=rubric(home))
    assert isinstance(done.exception, EntryRefused) and done.exception.findings == [bad]
