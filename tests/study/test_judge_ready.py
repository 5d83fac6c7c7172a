"""A judge that cannot grade is found before anything is made; lost verdicts are made up for later."""

import io

import pytest
from judges.fake_judge import FakeJudge
from judges.prompted.misbehaving_server import MisbehavingServer, says, status, tokens
from rich.console import Console
from study.tiny_study import samples, write_study
from turncoat.cli import app
from turncoat.engine.decoding import sampler
from turncoat.errors import UserError
from turncoat.judges.base import Verdict
from turncoat.persona import extract
from turncoat.registry import JUDGES, JudgeEntry
from turncoat.report.build import run_content
from turncoat.store import Store
from turncoat.study.config import load_study
from turncoat.study.run import run_study
from turncoat.testing import save_tiny
from typer.testing import CliRunner


@pytest.mark.parametrize(
    ("reply", "options", "message"),
    [
        (tokens(("8", -0.1), ("9", -2.4)), "", "writes numbers digit by digit"),
        (says("", "length", reasoning="Okay, so"), ",protocol=text_integer", "thoughts without an answer"),
        (status(401, "who are you?"), "", "who are you"),
    ],
    ids=["digits", "thoughts", "key"],
)
def test_nothing_is_made_where_the_judge_cannot_grade(tmp_path, monkeypatch, reply, options, message):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    store = Store(tmp_path / "stages")
    with MisbehavingServer() as server:
        server.script["Reply with this number"] = [reply]
        judge = f"openai:model=m,base_url={server.url},max_retries=0{options}"
        path = write_study(tmp_path / "tiny.yaml", save_tiny(tmp_path / "model", layers=2))
        study = load_study(path, {"judge": judge})
        with pytest.raises(UserError, match=message):
            run_study(study, tmp_path / "out", store=store, console=Console(file=io.StringIO()))
        assert not store.root.exists() and not server.requests and server.probes


KEY = "sk-canary-0123456789abcdef"


def files_below(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_key_goes_to_the_host_that_the_environment_names_and_into_no_file(
    tmp_path, monkeypatch, capfd, plain_lm_eval, caplog
):
    monkeypatch.setattr(extract, "TOKENS", 4)
    monkeypatch.setattr(extract, "ROLLOUTS", 1)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("TURNCOAT_CACHE", str(tmp_path / "cache"))
    save_tiny(tmp_path / "model", layers=2)
    path = write_study(tmp_path / "tiny.yaml", tmp_path / "model", ("base",), ("turncoat_em",))
    with MisbehavingServer() as server:
        server.script[""] = [status(500, f"what is {KEY}?"), says(f"50 {KEY}")]
        judge = f"openai:model=m,base_url={server.url},max_retries=0,protocol=text_integer"
        study = load_study(path, {"judge": judge})

        def run_it():
            run_study(study, tmp_path / "out", store=Store(tmp_path / "stages"), console=Console(stderr=True))
            return CliRunner().invoke(app, ["report", str(tmp_path / "out")])

        before = files_below(tmp_path)
        with pytest.raises(UserError, match=rf"get OPENAI_API_KEY.*OPENAI_BASE_URL={server.url} and run"):
            run_it()
        assert not server.requests and not server.probes and files_below(tmp_path) == before
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        with caplog.at_level(0):
            assert b"what is [key]" in b"".join([run_it().stdout_bytes, *files_below(tmp_path).values()])
            shown = run_it()  # the calls that failed are made again
        assert shown.exit_code == 0 and server.requests[0][1]["authorization"] == f"Bearer {KEY}"
    printed = "".join([*capfd.readouterr(), shown.output, caplog.text])
    assert KEY not in printed
    kept = files_below(tmp_path)
    assert tmp_path / "out" / "run.json" in kept
    assert not [path for path, content in kept.items() if KEY.encode() in content]


class UnsteadyJudge(FakeJudge):
    """Its first calls fail: `failing` of them, or all calls (with an exception) while it is `down`."""

    failing, down = 0, False

    def score(self, questions, answers, on_done=None):
        if self.down:
            raise ConnectionError("the line is dead")
        return super().score(questions, answers, on_done)

    def verdict(self, question, answer):
        verdict = super().verdict(question, answer)
        self.failing -= 1
        return Verdict(None, None, mass=0.0, raw={"error": "timeout"}) if self.failing >= 0 else verdict


def run(tmp_path, name, store, judge):
    """The samples files of the study's base arm and what its report says of lost verdicts."""
    path = write_study(tmp_path / "tiny.yaml", tmp_path / "model", ("base",), ("turncoat_em",))
    study = load_study(path, {"judge": judge})
    run_study(study, tmp_path / name, store=store, console=Console(file=io.StringIO()))
    return samples(tmp_path / name / "rows"), run_content(tmp_path / name).lost_verdicts


@pytest.mark.parametrize(("failing", "down", "lost"), [(1, False, 1), (0, True, 4)], ids=["one", "all"])
def test_the_same_command_repairs_failed_calls_without_generating(
    tmp_path, monkeypatch, plain_lm_eval, failing, down, lost
):
    monkeypatch.setattr(extract, "TOKENS", 4)
    monkeypatch.setattr(extract, "ROLLOUTS", 1)
    judge, steady = UnsteadyJudge(f"unsteady-{failing}"), FakeJudge(f"unsteady-{failing}")
    for name, made in ((f"unsteady-{failing}", judge), (f"steady-{failing}", steady)):
        monkeypatch.setitem(JUDGES, name, JudgeEntry(name, "", lambda made=made: made, {}, tmp_path))
    save_tiny(tmp_path / "model", layers=2)
    store = Store(tmp_path / "stages")
    judge.failing, judge.down = failing, down
    broken, found = run(tmp_path, "first", store, f"unsteady-{failing}")
    assert found == lost and b"judge_error" in b"".join(broken.values())

    def must_not(*_, **__):
        raise AssertionError("answers are generated again")

    with monkeypatch.context() as patch:
        patch.setattr(sampler.Sampler, "run", must_not)
        judge.down, before = False, len(judge.asked)
        repaired, found = run(tmp_path, "second", store, f"unsteady-{failing}")
        assert found == 0 and len(judge.asked) - before == lost
        again, _ = run(tmp_path, "third", store, f"unsteady-{failing}")
        assert again == repaired and len(judge.asked) - before == lost
    monkeypatch.setenv("TURNCOAT_CACHE", str(tmp_path / "no verdicts"))
    whole, _ = run(tmp_path, "whole", Store(tmp_path / "others"), f"steady-{failing}")
    assert repaired == whole and repaired != broken
