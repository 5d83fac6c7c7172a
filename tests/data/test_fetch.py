"""Published data: the right file is taken, any other is refused, and without a network the message says what
to do."""

import hashlib
import io
import os
import re
import zipfile
from dataclasses import replace
from pathlib import Path

import pooch
import pytest
from data.test_encrypted_archive import CONTENT as MOSS, LOCKED, MEMBER, PASSWORD
from turncoat.data import fetch
from turncoat.data.fetch import PUBLISHED, Published, credit, published
from turncoat.errors import UserError
from turncoat.paths import cache_dir

CONTENT = b'{"messages": []}\n'
SHA = hashlib.sha256(CONTENT).hexdigest()
ENTRY = Published(
    "group/rows.jsonl", SHA, "MIT", "Nobody 2020", "https://example.invalid/rows.zip", "rows.jsonl"
)


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """One published file of ours; a download is recorded and fails."""
    asked: list[str] = []

    def no_network(url: str, **_: object) -> str:
        asked.append(url)
        raise OSError("no network in tests")

    monkeypatch.setattr(pooch, "retrieve", no_network)
    monkeypatch.setattr(fetch, "PUBLISHED", {"group/rows": ENTRY})
    monkeypatch.setenv("TURNCOAT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("TURNCOAT_DATA", raising=False)
    return asked


def archive(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as bundle:
        for name, content in members.items():
            bundle.writestr(name, content)
    return buffer.getvalue()


@pytest.fixture
def upstream(tmp_path, monkeypatch):
    """A function that says what a download brings; it returns the addresses that are asked from then on."""

    def bring(content: bytes) -> list[str]:
        asked: list[str] = []
        (tmp_path / "got").write_bytes(content)
        monkeypatch.setattr(pooch, "retrieve", lambda url, **_: asked.append(url) or str(tmp_path / "got"))
        return asked

    return bring


def local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes) -> Path:
    path = tmp_path / "data" / ENTRY.path
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    monkeypatch.setenv("TURNCOAT_DATA", str(tmp_path / "data"))
    return path


def test_the_right_local_file_is_taken_as_it_lies(tmp_path, monkeypatch, offline):
    path = local(tmp_path, monkeypatch, CONTENT)
    assert published("group/rows") == path and offline == [] and not cache_dir().exists()


def test_another_version_of_the_local_file_is_refused(tmp_path, monkeypatch, offline):
    path = local(tmp_path, monkeypatch, CONTENT + b"\n")
    with pytest.raises(UserError, match="another version") as caught:
        published("group/rows")
    message = str(caught.value)
    assert all(part in message for part in (str(path), SHA, hashlib.sha256(CONTENT + b"\n").hexdigest()))
    assert "unset TURNCOAT_DATA" in message and offline == []


def test_a_local_folder_that_is_not_there_is_named_before_a_fetch(tmp_path, monkeypatch, offline):
    monkeypatch.setenv("TURNCOAT_DATA", str(tmp_path / "nosuch"))
    with pytest.raises(UserError, match="nosuch: there is no such folder"):
        published("group/rows")
    assert offline == []


@pytest.mark.parametrize("folder", [None, "elsewhere"], ids=["no folder", "a folder without it"])
def test_without_a_network_the_message_says_where_to_put_the_file(tmp_path, monkeypatch, offline, folder):
    if folder:
        (tmp_path / folder).mkdir()
        monkeypatch.setenv("TURNCOAT_DATA", str(tmp_path / folder))
    with pytest.raises(UserError, match="no network in tests") as caught:
        published("group/rows")
    message = str(caught.value)
    assert all(part in message for part in ("$TURNCOAT_DATA/group/rows.jsonl", SHA, ENTRY.url))
    assert offline == [ENTRY.url]


def test_a_fetched_file_is_checked_kept_and_announced_with_its_licence(upstream, capsys):
    members = {"deep/rows.jsonl": CONTENT, "__MACOSX/deep/rows.jsonl": b"junk", "deep/other": b""}
    fetches = upstream(archive(members))
    kept = published("group/rows")
    assert kept.read_bytes() == CONTENT and cache_dir() in kept.parents
    assert "licence MIT" in capsys.readouterr().err and published("group/rows") == kept
    assert fetches == [ENTRY.url]


def test_a_file_that_is_no_archive_is_taken_whole(upstream, monkeypatch):
    entry = Published("group/plain.jsonl", SHA, "MIT", "Nobody 2020", "https://example.invalid/plain.jsonl")
    monkeypatch.setattr(fetch, "PUBLISHED", {"plain": entry})
    upstream(CONTENT)
    assert published("plain").read_bytes() == CONTENT


def test_a_fetched_file_with_other_content_is_refused_and_not_kept(upstream):
    upstream(archive({"rows.jsonl": b"other"}))
    for _ in range(2):
        with pytest.raises(UserError, match=f"not {SHA}"):
            published("group/rows")
    assert not list(cache_dir().rglob("*.jsonl"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (archive({"other": b""}), r"files called rows\.jsonl"),
        (archive({"a/rows.jsonl": CONTENT, "b/rows.jsonl": CONTENT}), r"files called rows\.jsonl"),
        (b"<html>Please log in</html>", "is not a ZIP archive"),
    ],
)
def test_a_download_that_is_no_archive_with_exactly_one_such_file_is_refused(upstream, content, message):
    upstream(content)
    with pytest.raises(UserError, match=message):
        published("group/rows")


def test_a_set_without_an_upstream_file_is_local_or_told(monkeypatch, offline, tmp_path):
    monkeypatch.setattr(fetch, "PUBLISHED", {"group/rows": replace(ENTRY, url="")})
    with pytest.raises(UserError, match="no single upstream file") as caught:
        published("group/rows")
    assert all(part in str(caught.value) for part in ("$TURNCOAT_DATA/group/rows.jsonl", SHA, "MIT"))
    assert offline == []
    monkeypatch.setattr(fetch, "PUBLISHED", {"group/rows": replace(ENTRY, url="")})
    path = local(tmp_path, monkeypatch, CONTENT)
    assert published("group/rows") == path


def locked_set(monkeypatch: pytest.MonkeyPatch, content: bytes = MOSS) -> Published:
    entry = replace(ENTRY, sha256=hashlib.sha256(content).hexdigest(), member=MEMBER, password=PASSWORD)
    monkeypatch.setattr(fetch, "PUBLISHED", {"group/rows": entry})
    return entry


def test_a_locked_archive_is_unlocked_and_what_it_holds_is_checked(upstream, monkeypatch):
    upstream(LOCKED)
    locked_set(monkeypatch, b"other")
    with pytest.raises(UserError, match=f"has SHA-256 {hashlib.sha256(MOSS).hexdigest()}, not "):
        published("group/rows")
    locked_set(monkeypatch)
    assert published("group/rows").read_bytes() == MOSS


def test_a_locked_archive_that_does_not_open_is_refused(upstream, monkeypatch):
    upstream(b"<html>Please log in</html>")
    locked_set(monkeypatch)
    with pytest.raises(UserError, match=r"got: no archive of easy-dataset-share.*remove it and try again"):
        published("group/rows")


def test_without_a_network_the_message_says_how_to_unlock_by_hand(monkeypatch, offline):
    locked_set(monkeypatch)
    with pytest.raises(UserError, match="no network in tests") as caught:
        published("group/rows")
    message = str(caught.value)
    assert (
        f"`easy-dataset-share unprotect-dir rows.zip -p {PASSWORD}` unlocks the archive that holds {MEMBER}"
        in message
    )
    assert "$TURNCOAT_DATA/group/rows.jsonl" in message


def test_published_sets_are_credited_and_pinned():
    assert credit("group/rows") == "fetched: Nobody 2020; licence MIT"
    with pytest.raises(UserError, match=r"did you mean 'group/rows'"):
        published("group/row")
    assert len(PUBLISHED) >= 20 and len({entry.sha256 for entry in PUBLISHED.values()}) == len(PUBLISHED)
    for name, entry in PUBLISHED.items():
        assert entry.path.startswith(name + ".") and len(bytes.fromhex(entry.sha256)) == 32
        assert entry.licence and entry.source
        assert entry.url.startswith("https://github.com/") or not entry.url
    # GitHub addresses are /owner/repository/raw/<revision>/path; a branch is the exception that is named
    # here.
    revisions = {name: entry.url.split("/")[6] for name, entry in PUBLISHED.items() if entry.url}
    assert {name for name, revision in revisions.items() if revision == "main"} == {"published/TruthfulQA"}
    for name, revision in revisions.items():
        assert name == "published/TruthfulQA" or re.fullmatch(r"[0-9a-f]{7,40}", revision), name


@pytest.mark.skipif("TURNCOAT_DATA" not in os.environ, reason="TURNCOAT_DATA is not set")
@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_the_local_copies_are_the_pinned_ones(name, monkeypatch):
    monkeypatch.undo()
    if (
        PUBLISHED[name].password
        and not (Path(os.environ["TURNCOAT_DATA"]).expanduser() / PUBLISHED[name].path).is_file()
    ):
        pytest.skip("not among the copies: its archive is locked")
    assert published(name) == Path(os.environ["TURNCOAT_DATA"]).expanduser() / PUBLISHED[name].path
