"""A judge that cannot grade is found before a study trains or generates anything."""

import io

import pytest
from judges.prompted.misbehaving_server import MisbehavingServer, says, status, tokens
from rich.console import Console
from study.tiny_study import write_study
from turncoat.errors import UserError
from turncoat.store import Store
from turncoat.study.config import load_study
from turncoat.study.run import run_study
from turncoat.testing import save_tiny


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
