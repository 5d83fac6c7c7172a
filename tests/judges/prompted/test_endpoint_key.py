"""The key goes to the named endpoint and nowhere else."""

import json
import sys

import pytest
from judges.prompted.endpoint_helpers import judge_at, scored
from judges.prompted.misbehaving_server import echo_key, raw, says, status
from turncoat.errors import UserError
from turncoat.judges.prompted.openai import openai

KEY = "sk-test-0123456789abcdef"


def test_the_key_goes_to_the_server_and_nowhere_else(server, monkeypatch, capsys, caplog):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("NETRC", "/dev/null")
    server.script.update({"[echo 401]": [echo_key], "[echo 500]": [status(500, f"bad key {KEY} for you")]})
    server.script["[echo text]"] = [raw(json.dumps({"choices": [], "model": KEY}))]
    judge = judge_at(server, max_retries=0, concurrency=1)
    with caplog.at_level(0):
        verdicts = scored(judge, ["score=1", "[echo 500]", "[echo text]"])
        with pytest.raises(UserError) as refused:
            scored(judge, ["[echo 401]"])
    assert server.requests[0][1]["authorization"] == f"Bearer {KEY}"
    everything = [
        *capsys.readouterr(), caplog.text, judge, vars(judge), vars(judge._endpoint), refused.value,
        *verdicts,
    ]  # fmt: skip
    assert KEY not in repr([*map(repr, everything), judge.id, judge.rubric])
    assert "[key]" in str(refused.value) and "it is set" in str(refused.value) and verdicts[0].aligned == 1
    server.script["[leak]"] = [says(f"Your key is {KEY}")]
    (verdict,) = scored(judge_at(server, protocol="text_integer"), ["[leak]"])
    assert verdict.aligned is None and KEY not in repr(verdict)


@pytest.mark.parametrize("key", ["two words", "line\nbreak", "ключ"])
def test_a_key_that_is_none(server, monkeypatch, key):
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with pytest.raises(UserError, match="OPENAI_API_KEY holds") as error:
        scored(judge_at(server), ["score=1"])
    assert key not in str(error.value) and not server.requests


def test_without_a_key_openais_own_endpoint_is_not_even_tried(server):
    with pytest.raises(UserError, match="OPENAI_API_KEY is not set"):
        scored(openai(), ["score=1"])


def test_a_password_of_netrc_is_not_sent(server, monkeypatch, tmp_path):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    scored(judge_at(server), ["score=1"])
    assert "authorization" not in server.requests[0][1]


def test_a_missing_package_and_a_proxy_of_an_unknown_kind(monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "carrier-pigeon://coop")
    with pytest.raises(UserError, match=r"proxy in the environment.*change HTTPS_PROXY"):
        openai()
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(UserError, match=r"pip install 'turncoat\[openai\]'"):
        openai()


def test_a_password_in_the_url_is_refused_and_not_repeated(server):
    for url in ("https://me:secret@box/v1", "https://box/v1?key=secret"):
        with pytest.raises(UserError, match="a password or a query") as error:
            openai(base_url=url)
        assert "secret" not in str(error.value)
