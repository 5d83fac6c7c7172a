"""Good entries are accepted; for each rule there is a bad one, and what is said about it is written down
beside it."""

import re
from pathlib import Path
from typing import Any

import pytest
from leaderboard.bad_entries import CASES, NO_CASE, TEXTS, spoilt, told
from leaderboard.entry_files import edit, put
from leaderboard.made_entry import make_entry
from turncoat.leaderboard.entry.maintainers import FILE, VERIFICATIONS
from turncoat.leaderboard.reading.findings import Finding, shown, summary
from turncoat.leaderboard.reading.reader import RULES
from turncoat.leaderboard.validation.validate import validate_entry
from turncoat.training.adapter_digest import FORM

PACKAGE = Path(__file__).parents[3] / "benchmark" / "turncoat" / "leaderboard"


def test_good_entries_have_no_finding(tmp_path):
    make_entry(tmp_path, slug="none", setting="none")
    shared = dict.fromkeys(("base", "organism", "control"), "none")
    assert validate_entry(tmp_path / "none") == []
    assert validate_entry(make_entry(tmp_path, slug="sgtr", shared=shared)) == []
    assert (
        validate_entry(make_entry(tmp_path, slug="own", shared=shared, registered=False, benign=False)) == []
    )
    said = {"defence": "system_prompt", "setting": "inference", "changes_prompt": True}
    assert validate_entry(make_entry(tmp_path, slug="said", shared=shared, **said)) == []


@pytest.mark.parametrize("rule", CASES)
def test_a_bad_entry_is_refused_in_these_words(rule, tmp_path):
    said = told(spoilt(rule, tmp_path))
    assert f"{rule}: " in said
    assert said == (TEXTS / f"{rule}.txt").read_text(encoding="utf-8"), "see bad_entries.py"
    for block in re.split(r"\n(?=\S)", re.sub(r"\n[a-z-]+: \d+ more of this kind", "", said.strip())):
        assert "allowed: " in block, "every refusal says what is accepted"
        assert "fix: " in block, "and what to do"


def test_every_rule_has_its_bad_entry():
    named = {"doc-hash", "target-hash"}  # made from the names of the keys
    for path in [*(PACKAGE / "validation").glob("*.py"), *(PACKAGE / "entry").glob("*.py")]:
        if path.name != "pull_request.py":
            text = path.read_text(encoding="utf-8")
            named |= set(re.findall(r'(?:_fact\(|[fF]inding\(|yield )\s*"([a-z-]+)",', text))
            either = re.findall(
                r'\brule(?:, allowed)? = \(?"([a-z-]+)"(?: if [^\n]+? else "([a-z-]+)")?', text
            )
            named |= {name for pair in either for name in pair if name}
    assert len(named) > 45
    assert named - set(RULES) <= set(CASES) | set(NO_CASE), "add a case to bad_entries.py"
    assert not set(CASES) & set(NO_CASE) and {path.stem for path in TEXTS.glob("*.txt")} == set(CASES)


def test_shared_rows_must_be_those_that_were_meant(tmp_path):
    make_entry(tmp_path, slug="none", setting="none")
    home = make_entry(tmp_path, shared=dict.fromkeys(("base", "organism", "control"), "none"))
    edit(home, put(shared__organism__rows_sha256="1" * 64))
    (finding,) = validate_entry(home)
    assert (finding.rule, finding.field) == ("shared-rows", "shared.organism.rows_sha256")


@pytest.mark.parametrize(
    "fact", [{"model__revision": "other"}, {"persona__layer": 3}, {"recipe": {"rows": 5}}], ids=str
)
def test_shared_rows_must_have_been_made_the_same_way(tmp_path, fact):
    make_entry(tmp_path, slug="none", setting="none")
    home = make_entry(tmp_path, shared=dict.fromkeys(("base", "organism", "control"), "none"))
    edit(home, put(**fact))
    assert {finding.rule for finding in validate_entry(home)} == {"shared-rows"}


def test_digests_of_weights_files_alone_are_those_of_earlier_entries(tmp_path):
    def older(told: dict[str, Any]) -> None:
        for role in told["shared"] or ("organism", "control"):
            seeds = told["adapters"].get(role, {})
            told["adapters"][role] = {seed: sha.removeprefix(FORM) for seed, sha in seeds.items()}
        told["adapters"] = {role: seeds for role, seeds in told["adapters"].items() if seeds}

    shared = dict.fromkeys(("base", "organism", "control"), "none")
    options = {"shared": shared, "setting": "inference", "defence": "system_prompt", "benign": False}
    earlier = make_entry(tmp_path / "submissions", slug="none", setting="none")
    home = make_entry(tmp_path / "submissions", **options)
    edit(earlier, older)
    assert {one.rule for one in validate_entry(earlier)} == {"adapter-form"}, "nobody listed it"
    (tmp_path / VERIFICATIONS).mkdir()
    (tmp_path / VERIFICATIONS / FILE).write_text("authors: {none: maintainers}")
    assert validate_entry(earlier) == []
    first = validate_entry(home)[0]
    assert (first.rule, first.field) == ("shared-rows", "adapters.organism.0"), "of another adapter"
    edit(home, older)
    edit(home, lambda told: told["adapters"].update(defended=told["adapters"]["organism"]))
    assert validate_entry(home) == [], "what is shared, and at inference acts on it"
    edit(home, lambda told: told["adapters"]["defended"].update({"1": "sha256:" + "9" * 64}))
    assert {(one.rule, one.field) for one in validate_entry(home)} == {("submission", "adapters.defended.1")}


@pytest.mark.parametrize("slug", ["../none", "/etc", "a/b", "..", "tiny.yaml"])
def test_shared_rows_and_tracks_are_never_paths(tmp_path, slug):
    home = make_entry(tmp_path)
    for fact in ({"shared": {"base": {"entry": slug, "rows_sha256": "0" * 64}}}, {"track": slug}):
        edit(home, put(**fact))
        assert "submission" in {finding.rule for finding in validate_entry(home)}


def test_an_organism_is_never_a_file(tmp_path):
    home = make_entry(tmp_path)
    (tmp_path / "own.jsonl").write_text("{}\n")
    edit(home, put(organism__name=str(tmp_path / "own.jsonl")))
    assert {finding.rule for finding in validate_entry(home)} == {"organism"}


def test_values_are_shown_short_and_printable():
    assert shown("\x1b[2J\u202e" + "x" * 10_000).isascii() and len(shown("x" * 10_000)) < 200
    assert shown(object()) == "'object'"
    many = [Finding("duplicate", "f", row) for row in range(50)]
    assert "45 more of this kind" in summary(many)
