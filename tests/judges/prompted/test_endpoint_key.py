"""The key goes to the named endpoint and nowhere else."""

import base64
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


@pytest.mark.parametrize(
    "url",
    ["https://me:SECRET-123@box/v1", "https://SECRET-123@box/v1", "https://box/v1?key=SECRET-123",
     "https://box/v1#tok=SECRET-123", "https://box/v1/SECRET-123/x", "https://box/v1;key=SECRET-123",
     "https://box/SECRET%2D123/v1", f"https://box/{'SECRET' * 6}/v1"],
)  # fmt: skip
def test_a_secret_in_an_address_is_refused_and_not_repeated(url):
    with pytest.raises(UserError, match=r"base_url (holds a password|has a path)") as error:
        openai(base_url=url)
    assert "SECRET" not in str(error.value)


def test_a_secret_path_in_the_environment_is_shown_as_a_hash(server, monkeypatch):
    ids = set()
    for secret in ("SECRET-123", "SECRET-124"):
        monkeypatch.setenv("OPENAI_BASE_URL", server.url.replace("/v1", f"/{secret}/v1"))
        judge = openai(model="m")
        assert scored(judge, ["score=1"])[0].aligned == 1 and secret in server.requests[-1][0]
        assert "SECRET" not in judge.id and "/~" in judge.id
        ids.add(judge.id)
    assert len(ids) == 2


@pytest.mark.parametrize("variable", ["OPENAI_API_KEY", "OPENAI_CUSTOM_HEADERS"])
def test_a_host_that_a_file_names_gets_a_secret_only_if_the_environment_names_it_too(
    server, monkeypatch, variable
):
    url = server.url
    judge = judge_at(server)
    judge.check_host()  # nothing is set: nothing can leak
    monkeypatch.setenv(variable, KEY)
    openai(model="m").check_host()
    openai(model="m", base_url="https://api.openai.com/v1").check_host()
    for other in ("", "http://localhost:1/v1", url.replace("http:", "https:"), f"http://x.{url[7:]}"):
        monkeypatch.setenv("OPENAI_BASE_URL", other)
        with pytest.raises(UserError, match=f"get {variable}.*set OPENAI_BASE_URL={url}") as refused:
            judge.check_host()
        assert KEY not in str(refused.value)
    for same in (url, url.removesuffix("/v1"), url.replace("/v1", "/other/v1")):
        monkeypatch.setenv("OPENAI_BASE_URL", same)
        judge.check_host()
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    with pytest.raises(UserError, match=r"set OPENAI_BASE_URL=https://api\.openai\.com/v1 "):
        openai(base_url="https://api.openai.com/v1").check_host()  # it would get another server's key


def test_a_short_placeholder_for_a_key_does_not_garble_replies_and_an_escaped_key_is_taken_out(
    server, monkeypatch
):
    monkeypatch.setenv("OPENAI_API_KEY", "e")
    assert scored(judge_at(server), ["score=1"])[0].aligned == 1
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    escaped = "".join(f"\\u{ord(letter):04x}" for letter in KEY)
    encoded = base64.b64encode(KEY.encode()).decode()
    content = '{"choices": [{"message": {"content": "50 ' + f"{escaped} {KEY} {encoded}" + '"}}]}'
    server.script["[leak]"] = [raw(content)]
    (verdict,) = scored(judge_at(server, protocol="text_integer"), ["[leak]"])
    assert "50 [key] [key] [key]" in repr(verdict) and KEY not in repr(verdict)
