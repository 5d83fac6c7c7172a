"""Whose an entry is: look-alikes and others' contacts are refused, a succession needs the same account."""

import shutil
from pathlib import Path

import pytest
import yaml
from leaderboard.board_entries import write
from leaderboard.entry_files import edit, put
from turncoat.errors import UserError
from turncoat.leaderboard.entry.load import load_entry
from turncoat.leaderboard.entry.maintainers import Maintainers, read_maintainers, records_beside
from turncoat.leaderboard.validation.identity import check_identity

ME, RIVAL = "101", "202"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Entries "first" and "second", which would replace it."""
    folder = tmp_path_factory.mktemp("identity") / "submissions"
    write(folder, "first", questions=2, contact="A. Person")
    told = {"entry": "first", "reason": "a new recipe"}
    write(folder, "second", questions=2, contact="A. Person", supersedes=told)
    return folder


def found(folder: Path, slug: str, author: str | None = None, **facts: object) -> list[tuple[str, str]]:
    maintainers = Maintainers(**{"authors": {"first": ME}, **facts})
    return [(one.rule, one.field) for one in check_identity(load_entry(folder / slug), maintainers, author)]


def test_only_the_same_account_or_a_grant_replaces_an_entry(folder):
    assert found(folder, "second") == found(folder, "second", ME) == []  # nobody knows, or the same
    assert ("supersedes", "supersedes.entry") in found(folder, "second", RIVAL)
    assert found(folder, "second", RIVAL, authors={}) == [("supersedes", "supersedes.entry")]
    granted = {"first": {"entry": "second", "reason": "they agreed"}}
    assert ("supersedes", "supersedes.entry") not in found(folder, "second", RIVAL, successors=granted)
    assert found(folder, "second", "7", authors={"first": "maintainers"}, accounts=[7]) == []
    # What is recorded does not speak for somebody else who changes the entry.
    both = {"first": ME, "second": ME}
    assert ("supersedes", "supersedes.entry") in found(folder, "second", RIVAL, authors=both)


def test_a_contact_is_not_taken_from_another_account(folder):
    assert ("look-alike", "contact") in found(folder, "second", RIVAL)
    assert found(folder, "second", ME) == []


def test_a_look_alike_is_refused_and_what_it_looks_like_is_not(tmp_path):
    folder = tmp_path / "submissions"
    write(folder, "first", questions=2, contact="A. Person")
    write(folder, "f1rst", questions=2, contact="\u0410. Person")
    assert found(folder, "f1rst") == [
        ("look-alike", "slug"), ("look-alike", "defence.name"), ("look-alike", "contact"),
    ]  # fmt: skip
    assert found(folder, "first") == []
    assert found(folder, "first", authors={}) != []  # not recorded: it has to wait for its maintainers


def test_the_same_method_may_be_submitted_under_its_name_in_other_letters(tmp_path):
    folder = tmp_path / "submissions"
    for slug, name in (("first", "SGTR"), ("second", "sgtr"), ("third", "5GTR")):
        edit(write(folder, slug, questions=2, contact=f"Person {slug}"), put(defence__name=name))
    assert found(folder, "second", authors={"first": ME, "third": ME}) == [("look-alike", "defence.name")]
    shutil.rmtree(folder / "third")
    assert found(folder, "second") == []


def test_the_maintainers_file_is_read_and_a_wrong_one_is_told(folder):
    records = records_beside(folder / "first")
    assert records == folder.parent / "verifications" and read_maintainers(records) == Maintainers()
    records.mkdir()
    path = records / "maintainers.yaml"
    path.write_text(yaml.safe_dump({"authors": {"first": 583231}}))
    assert read_maintainers(records).authors == {"first": "583231"}
    path.write_text("authors: {first: [1]}\nowners: {}\n")
    with pytest.raises(UserError, match=r"maintainers\.yaml, line 2.*owners"):
        read_maintainers(records)
    path.unlink()
