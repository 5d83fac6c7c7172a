"""Copied rows are found task by task and within tolerance; weak defences and rows that were made again are
not blamed."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from leaderboard.board_entries import write
from leaderboard.entry_files import edit, put, read_rows, write_rows
from turncoat.leaderboard.entry.load import load_entry
from turncoat.leaderboard.ranking.flags import Candidate, candidate, copy_flags
from turncoat.leaderboard.verification.status import Trust

CHOICE, LOSS, PERSONA = "turncoat_choice", "turncoat_insecure_code_loss", "turncoat_persona"
EM, CUE = "turncoat_em", "turncoat_em_cue"
Rows = list[dict[str, Any]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path, "none")
    write(tmp_path, "good", effect=0.1, shared="none")
    write(tmp_path, "mine", effect=0.3, shared="none")
    return tmp_path


def take(home: Path, task: str, source: Path, change: Callable[[dict[str, Any]], None] = lambda row: None):
    """Put one task's rows of another arm (a folder) in the place of those of defended, seed 0."""
    rows = read_rows(source / f"{task}.jsonl.gz")
    for row in rows:
        change(row)
    write_rows(home / f"rows/defended/seed-0/{task}.jsonl.gz", rows)


def nudge(row: dict[str, Any]) -> None:
    for name in row["metrics"]:
        if isinstance(row[name], float):
            row[name] += 1e-6 * (1 + row["doc_id"])


def reword(row: dict[str, Any]) -> None:
    for sample in row["samples"]:
        sample["text"] = sample["text"].replace(sample["text"].split()[4], "perhaps").upper()


def flagged(folder: Path, *, trust: str = "self-reported") -> list[str]:
    trusts = Trust("self-reported", "")
    found = {
        home.name: candidate(load_entry(home), trusts, is_canary=home.name.startswith("canary"))
        for home in folder.iterdir()
    }
    mine = found.pop("mine")
    others: list[Candidate] = list(found.values())
    flags = copy_flags(replace(mine, trust=Trust(trust, "")), others)  # type: ignore[arg-type]
    return [f"{flag.name}: {flag.why}" for flag in flags]


def test_honest_entries_copy_nobody(folder: Path) -> None:
    assert flagged(folder) == []


@pytest.mark.parametrize(
    ("task", "source", "change", "name", "words"),
    [
        (EM, "none/rows/base/base", None, "is the base", f"answers of {EM}"),
        (CUE, "none/rows/base/base", reword, "is the base", f"answers of {CUE}"),
        (CHOICE, "none/rows/base/base", nudge, "is the base", f"numbers of {CHOICE}"),
        (LOSS, "none/rows/organism/seed-0", nudge, "changes nothing", f"numbers of {LOSS}"),
        (LOSS, "none/rows/organism/seed-1", nudge, "copied rows", "organism arm"),
        (PERSONA, "none/rows/control/seed-2", nudge, "is the control", "rows of its defended arm"),
        (EM, "mine/rows/defended/seed-1", reword, "one training, several seeds", f"answers of {EM}"),
        (LOSS, "mine/rows/benign/seed-0", nudge, "copied rows", "benign arm"),
        (
            EM,
            "good/rows/defended/seed-2",
            reword,
            "copied rows",
            "good has the same, its defended arm at training seed 2",
        ),
        (
            LOSS,
            "good/rows/benign/seed-1",
            nudge,
            "copied rows",
            "good has the same, its benign arm at training seed 1",
        ),
    ],
)
def test_one_task_of_one_seed_that_is_another_arms_is_found(
    folder, task, source, change, name, words
) -> None:
    take(folder / "mine", task, folder / source, change or (lambda row: None))
    found = flagged(folder)
    assert any(text.startswith(name) and words in text for text in found), found


def test_the_adapter_of_another_entry_is_found(folder: Path) -> None:
    for slug, facts in {"good": {"defended": {"2": "a" * 64}}, "mine": {"defended": {"0": "a" * 64}}}.items():
        edit(folder / slug, put(adapters=facts))
    assert any(
        "the adapter of its defended arm at training seed 0: good has the same" in t for t in flagged(folder)
    )


def test_a_reference_that_was_made_again_is_no_copy(folder: Path) -> None:
    write(folder, "mine", effect=0.3)  # the same recipe gives the same base, organism and control
    assert flagged(folder) == []
    write(folder, "canary-base", shared="none", copy="base")  # its defended arm is that base
    assert flagged(folder) == []


def test_a_defence_at_inference_may_leave_tasks_as_they_were_and_rows_made_again_may_be_the_bases(
    folder,
) -> None:
    write(folder, "mine", effect=0.3, shared="none", setting="inference", benign=False)
    take(folder / "mine", LOSS, folder / "none/rows/organism/seed-0")
    assert flagged(folder) == []
    take(folder / "mine", EM, folder / "none/rows/base/base")
    assert [text.split(":")[0] for text in flagged(folder)] == ["is the base", "copied rows"]
    assert flagged(folder, trust="verified") == []
