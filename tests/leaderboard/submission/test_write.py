"""A run becomes the entry that holds its rows, and no other: byte for byte, complete or not at all."""

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
from leaderboard.entry_files import facts_of, write_facts
from leaderboard.made_entry import made_adapter, make_entry
from leaderboard.made_run import edit_rows, make_run, samples_path
from turncoat.errors import UserError
from turncoat.leaderboard.entry.track import find_track
from turncoat.leaderboard.submission.draft import SubmitterInfo
from turncoat.leaderboard.submission.from_run import draft_of_run
from turncoat.leaderboard.submission.write import Written, write_entry
from turncoat.study.config import load_study
from turncoat.study.pack import pack_run

ROLES = ("base", "organism", "control")


def submit(run: Path, out: Path, arm: str | None = None, share: str | None = None, **info: Any) -> Written:
    draft = draft_of_run(run, arm, find_track("tiny"), SubmitterInfo(**{"contact": "nobody", **info}))
    return write_entry(draft, out, share=share)


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two made-up entries, "none" and a defence, and the runs that they were cut from."""
    root = tmp_path_factory.mktemp("made")
    make_entry(root, slug="none", setting="none")
    make_entry(root, slug="sgtr")
    make_run(root / "run", root / "sgtr", model="/data/models/made-1m")
    return root


@pytest.fixture
def run(made, tmp_path):
    return Path(shutil.copytree(made / "run", tmp_path / "run"))


def test_the_rows_are_the_runs_byte_for_byte(made, run, tmp_path):
    submit(run, tmp_path / "out" / "sgtr")
    mine, theirs = files(tmp_path / "out" / "sgtr"), files(made / "sgtr")
    assert mine.keys() == theirs.keys()
    assert {name for name in mine if mine[name] != theirs[name]} == {"submission.json"}
    facts, made_facts = facts_of(tmp_path / "out" / "sgtr"), facts_of(made / "sgtr")
    same = (
        "slug", "model", "organism", "control", "benign", "seeds", "adapters", "persona", "judge", "tasks",
        "rows",
    )  # fmt: skip
    assert {key: facts[key] for key in same} == {key: made_facts[key] for key in same}
    assert (facts["defence"]["registered"], facts["defence"]["options"]) == ("sgtr", {"texts": 4})
    assert facts["wall_seconds"] == 4 * 3 * 2.0


def test_the_same_run_gives_the_same_bytes_plain_or_packed(run, tmp_path):
    submit(run, tmp_path / "a" / "sgtr")
    submit(pack_run(run, tmp_path / "packed"), tmp_path / "b" / "sgtr")
    first = files(tmp_path / "a" / "sgtr")
    assert files(tmp_path / "b" / "sgtr").keys() == first.keys()
    again = files(tmp_path / "b" / "sgtr")
    assert [name for name in first if first[name] != again[name]] == []
    submit(run, tmp_path / "a" / "sgtr")  # over the entry that is there
    assert files(tmp_path / "a" / "sgtr") == first
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["sgtr"]


def test_an_undefended_organism_is_the_boards_none(made, run, tmp_path):
    submit(run, tmp_path / "out" / "none", arm="insecure")
    facts = facts_of(tmp_path / "out" / "none")
    assert (facts["defence"]["setting"], facts["defence"]["registered"], facts["benign"]) == (
        "none",
        None,
        None,
    )
    assert {name.split("/")[0] for name in facts["rows"]} == set(ROLES)
    assert facts["wall_seconds"] == 2 * 3 * 2.0


def test_it_would_be_accepted(run, tmp_path):
    pytest.importorskip("turncoat.leaderboard.validation.rows")
    from turncoat.leaderboard.validation.validate import validate_entry

    for arm, slug in (("insecure", "none"), ("sgtr", "sgtr")):
        submit(run, tmp_path / "out" / slug, arm=arm)
        # The made-up entries have made-up training data.
        findings = [one for one in validate_entry(tmp_path / "out" / slug) if "sha256" not in one.field]
        assert findings == []


def test_no_path_of_this_machine_is_told(run, tmp_path):
    record = json.loads((run / "run.json").read_text())
    record["provenance"]["command"] = (
        f"{Path.home()}/bin/turncoat run {run}/mine.yaml --out runs/x --see https://x.org/a/b"
    )
    (run / "run.json").write_text(json.dumps(record))
    written = submit(run, tmp_path / "out" / "sgtr")
    facts = facts_of(tmp_path / "out" / "sgtr")
    assert facts["model"]["name"] == "made-1m"
    assert facts["command"] == "turncoat run mine.yaml --out runs/x --see https://x.org/a/b"
    assert any("made-1m" in note for note in written.notes), "that a name was cut is said"
    assert str(tmp_path) not in json.dumps(facts)

    def leak(rows):
        rows[-1]["samples"][0]["judge_error"] = f"no such file: {tmp_path}/key"
        return rows

    edit_rows(samples_path(run, "defended", "seed-1", "turncoat_em"), leak)
    with pytest.raises(UserError, match=r"doc_id 0, samples\[0\]\.judge_error: it holds this machine's path"):
        submit(run, tmp_path / "out" / "sgtr")


def test_code_in_an_answer_may_name_a_folder(run, tmp_path):
    def name_one(rows):
        rows[-1]["samples"][0]["text"] = "open('/tmp/x.txt')"
        return rows

    edit_rows(samples_path(run, "defended", "seed-1", "turncoat_em"), name_one)
    submit(run, tmp_path / "out" / "sgtr")


@pytest.mark.parametrize(
    ("task", "change", "message"),
    [
        ("turncoat_choice", lambda rows: [r for r in rows if r["doc_id"] != 3],
         "7 of the first 8 questions.*doc_id 3"),
        ("turncoat_choice", lambda rows: [*rows, rows[4]], "line 11, doc_id: 5 is there twice"),
        ("turncoat_em", lambda rows: [{**r, "resps": [[]]} for r in rows],
         "0 samples; the track 'tiny' needs 1 or more"),
        ("turncoat_em", lambda rows: [{**r, "resps": [r["resps"][0] * (1 + r["doc_id"] % 2)]} for r in rows],
         r"\[1, 2\]"),
        ("turncoat_em", lambda rows: [{**r, "resps": [r["resps"][0] * 2]} for r in rows],
         "need the same number"),
        ("turncoat_persona", lambda rows: [{**r, "arguments": _longer(r)} for r in rows],
         "max_gen_toks: 41.*takes 40"),
        ("turncoat_persona", lambda rows: [_without(r, "persona_fixed") for r in rows],
         "--model turncoat.*peft=DIR"),
        ("turncoat_choice", lambda rows: [_without(r, "margin_per_token") for r in rows],
         "--model turncoat.*peft=DIR"),
        ("turncoat_em", lambda rows: [_without(r, "judge_aligned_mean") for r in rows], "were not judged"),
        ("turncoat_choice", lambda rows: [{**r, "margin": math.nan} for r in rows], "doc_id 0.*finite"),
        ("turncoat_em", lambda rows: [{**r, "resps": [["\ud800"]]} for r in rows], "lone surrogate"),
    ],
)  # fmt: skip
def test_what_the_track_does_not_take_is_refused_and_nothing_is_written(run, tmp_path, task, change, message):
    path = samples_path(run, "defended", "seed-1", task)
    edit_rows(path, change)
    with pytest.raises(UserError, match=message) as error:
        submit(run, tmp_path / "out" / "sgtr")
    assert path.name in str(error.value) and not (tmp_path / "out").exists()


def _longer(row):
    told = row["arguments"]["gen_args_0"]
    return {"gen_args_0": {**told, "arg_1": {**told["arg_1"], "max_gen_toks": 41}}}


def _without(row, metric):
    kept = {key: value for key, value in row.items() if key != metric}
    return {**kept, "metrics": [name for name in row["metrics"] if name != metric]}


def test_shared_rows_are_not_stored_twice(run, tmp_path):
    submit(run, tmp_path / "none", arm="insecure")
    written = submit(run, tmp_path / "sgtr", share="none")
    assert written.shared == dict.fromkeys(ROLES, "none")
    assert {name.split("/")[1] for name in files(tmp_path / "sgtr") if "/" in name} == {"defended", "benign"}
    assert facts_of(tmp_path / "sgtr")["wall_seconds"] == 2 * 3 * 2.0, "the training of its own arms"
    from turncoat.leaderboard.entry.load import load_entry

    shared, whole = load_entry(tmp_path / "sgtr"), write_entry_alone(run, tmp_path / "alone" / "sgtr")
    assert shared.scores().equals(whole.scores())


def test_an_earlier_entry_is_shared_with_its_digests_of_weights_files(run, tmp_path):
    submit(run, tmp_path / "none", arm="insecure")
    earlier = facts_of(tmp_path / "none")
    short = {role: {s: sha[-64:] for s, sha in seeds.items()} for role, seeds in earlier["adapters"].items()}
    write_facts(tmp_path / "none", earlier | {"adapters": short})
    record = (run / "run.json").read_text()
    for seed, sha in earlier["adapters"]["organism"].items():  # as a defence at inference has it
        record = record.replace(made_adapter("defended", "sgtr", int(seed)), sha)
    (run / "run.json").write_text(record)
    submit(run, tmp_path / "sgtr", share="none")
    adapters = facts_of(tmp_path / "sgtr")["adapters"]
    assert adapters["organism"] == adapters["defended"] == short["organism"]
    assert adapters["control"] == short["control"]
    assert all(sha.startswith("adapter-1:") for sha in adapters["benign"].values())
    earlier["adapters"]["control"]["1"] = made_adapter("another")
    write_facts(tmp_path / "none", earlier)
    with pytest.raises(UserError, match="--share none: its control adapters have other hashes than yours"):
        submit(run, tmp_path / "sgtr", share="none")


def write_entry_alone(run, out):
    from turncoat.leaderboard.entry.load import load_entry

    submit(run, out)
    return load_entry(out)


def test_other_rows_are_not_taken_for_shared_ones(run, tmp_path):
    submit(run, tmp_path / "none", arm="insecure")

    def change(rows):
        rows[-1]["margin"] += 1e-9
        return rows

    edit_rows(samples_path(run, "control", "seed-2", "turncoat_choice"), change)
    with pytest.raises(UserError, match=r"holds other rows: rows/control/seed-2/turncoat_choice\.jsonl\.gz"):
        submit(run, tmp_path / "sgtr", share="none")
    assert not (tmp_path / "sgtr").exists()
    with pytest.raises(UserError, match="no entry at"):
        submit(run, tmp_path / "sgtr", share="nothing")
    with pytest.raises(UserError, match="leave --share out"):
        submit(run, tmp_path / "again", arm="insecure", share="none")


@pytest.mark.parametrize("changes", [False, True])
def test_a_changed_prompt_is_found(tmp_path, changes):
    make_entry(tmp_path, slug="sgtr", changes_prompt=changes, benign=False)
    run = make_run(tmp_path / "run", tmp_path / "sgtr")
    submit(run, tmp_path / "out" / "sgtr", defence_name="Kind words", paper="https://x.org/p")
    defence = facts_of(tmp_path / "out" / "sgtr")["defence"]
    assert (defence["changes_prompt"], defence["name"], defence["paper"]) == (
        changes,
        "Kind words",
        "https://x.org/p",
    )


def test_facts_that_do_not_fit_and_folders_that_are_no_entry_are_refused(run, tmp_path):
    with pytest.raises(UserError, match=r"submission\.json, defence\.paper: .*'http://x'"):
        submit(run, tmp_path / "sgtr", paper="http://x")
    with pytest.raises(UserError, match="--contact is missing"):
        submit(run, tmp_path / "sgtr", contact=None)
    with pytest.raises(UserError, match="belong together"):
        submit(run, tmp_path / "sgtr", supersedes="old")
    submit(run, tmp_path / "sgtr", supersedes="old", reason="A bug in my defence.")
    assert facts_of(tmp_path / "sgtr")["supersedes"] == {"entry": "old", "reason": "A bug in my defence."}
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years")
    with pytest.raises(UserError, match="is not an entry"):
        submit(run, tmp_path / "mine")
    submit(run, tmp_path / "sgtr")
    (tmp_path / "sgtr" / "NOTES.md").write_text("mine")
    with pytest.raises(UserError, match=r"more than an entry \(NOTES\.md\)"):
        submit(run, tmp_path / "sgtr")
    (tmp_path / "link").symlink_to(tmp_path / "sgtr")
    with pytest.raises(UserError, match="not a folder"):
        submit(run, tmp_path / "link")
    with pytest.raises(UserError, match="not a name of an entry"):
        submit(run, tmp_path / "My Entry")


def test_a_nul_character_of_a_model_does_not_make_an_entry_unreadable():
    from turncoat.leaderboard.submission.rows import _without_nul

    assert _without_nul({"text": "a\0b", "n": [1, "\0", None]}) == {
        "text": "a\ufffdb",
        "n": [1, "\ufffd", None],
    }


def test_a_study_that_was_edited_after_the_run_is_refused(run, tmp_path):
    record, path = json.loads((run / "run.json").read_text()), run / "study.yaml"
    record["study"] = load_study(path).digests()
    (run / "run.json").write_text(json.dumps(record))
    submit(run, tmp_path / "out" / "sgtr")
    path.write_text(f"{path.read_text()}pilot_seeds: [0]\n")
    with pytest.raises(UserError, match=r"edited after the run: pilot_seeds; put the file back"):
        submit(run, tmp_path / "out" / "again")
