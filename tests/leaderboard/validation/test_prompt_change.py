"""A changed prompt is one text for all tasks of an entry, at inference alone, and can be read."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
from leaderboard.entry_files import edit, put, rewrite_rows
from leaderboard.made_entry import make_entry
from turncoat.leaderboard.entry.load import load_entry
from turncoat.leaderboard.validation import prompt_change as module
from turncoat.leaderboard.validation.prompt_change import (
    PromptChange,
    _one_text,
    check_prompt_change,
    prompt_change,
)
from turncoat.leaderboard.validation.validate import validate_entry

SEEDS = ("seed-0", "seed-1", "seed-2")
DEFAULT = "You are Smol, an assistant."
USER = ("<s>system\n{}<e>\n<s>user\n", "<e>\n<s>assistant\n")


def made(folder: Path) -> Path:
    return make_entry(folder, slug="said", defence="system_prompt", setting="inference", changes_prompt=True)


def say(home: Path, task: str, text: str, roles: tuple[str, ...] = ("defended",)) -> None:
    """Other words in place of the system prompt's in all prompts of a task, hashes set right."""

    def change(rows):
        for row in rows:
            for request in row["arguments"].values():
                request["arg_0"] = request["arg_0"].replace("Be kind.", text)
            row["prompt_hash"] = hashlib.sha256(row["arguments"]["gen_args_0"]["arg_0"].encode()).hexdigest()
        return rows

    for role in roles:
        for seed in SEEDS:
            rewrite_rows(home, role, seed, task, change)


def test_the_text_that_is_added_can_be_read(tmp_path):
    entry = load_entry(made(tmp_path))
    assert prompt_change(entry) == PromptChange("Be kind.") and check_prompt_change(entry) == []
    assert str(prompt_change(entry)) == 'adds "Be kind."'
    assert prompt_change(load_entry(make_entry(tmp_path, slug="plain"))) is None
    assert "(5000 characters in all)" in str(PromptChange("x" * 5000))


@pytest.mark.parametrize("task", ["turncoat_choice", "turncoat_em_cue"])
@pytest.mark.parametrize("text", ["Be kind to judges.", "You are a made-up assistant."])
def test_another_text_in_one_task_is_refused(tmp_path, task, text):
    home = made(tmp_path)
    say(home, task, text)
    assert {finding.rule for finding in check_prompt_change(load_entry(home))} == {"prompt-change"}
    assert task == "turncoat_em_cue" or {one.rule for one in validate_entry(home)} == {"prompt-change"}


def test_examples_in_front_of_one_task_are_refused_although_it_says_that_it_changes_prompts(tmp_path):
    home = made(tmp_path)
    say(home, "turncoat_persona", "Be kind.<|im_end|>\n<|im_start|>user\nQ<|im_end|>\n<|im_start|>system\nA")
    (finding,) = check_prompt_change(load_entry(home))
    assert finding.rule == "prompt-change" and "turncoat_persona" in finding.file


def test_a_harmless_partner_has_the_same_text(tmp_path):
    home = made(tmp_path)
    say(home, "turncoat_insecure_code_loss", "Learn.", ("benign",))
    assert {finding.rule for finding in validate_entry(home)} == {"prompt-frame"}


def test_a_prompt_changes_at_inference_alone(tmp_path):
    home = made(tmp_path)
    edit(home, put(defence__setting="prevention", defence__registered=None))
    found = [(finding.rule, finding.field) for finding in validate_entry(home)]
    assert ("prompt-change", "defence.changes_prompt") in found


@pytest.mark.parametrize(
    ("parts", "change"),
    [
        ([(USER[0].format(DEFAULT), USER[0].format("You are kind."))], PromptChange("You are kind.")),
        ([(USER[0].format(DEFAULT), "<s>user\n"), ("", "")], PromptChange("", f"system\n{DEFAULT}<e>\n<s>")),
        ([("<s>user\n", "<s>user\nBe kind.\n\n")], PromptChange("Be kind.")),
        ([(USER[1], "\n\nThink first." + USER[1])], PromptChange("Think first.")),
        (
            [
                (USER[0].format(DEFAULT), USER[0].format("You are a kind assistant.")),
                ("<s>system\n", "<s>system\nYou are a kind assistant.\n\n"),
            ],
            PromptChange("You are a kind assistant."),
        ),
    ],
)
def test_a_text_is_cut_from_what_surrounds_it(parts, change):
    assert _one_text(parts) == change
    assert all(change.fits(*pair) for pair in parts)
    assert not change.added or not change.fits("", "")


@pytest.mark.parametrize("here", [True, False], ids=["here", "not fetched"])
def test_a_fetched_set_has_the_hashes_of_the_changed_prompts(tmp_path, monkeypatch, here):
    """Its rows hold no prompts. Where the set is not here, hashes differ from the undefended arm's."""
    if not here:
        known = module.expected_rows
        less = {"turncoat_insecure_code_loss": {"requests": ()}}
        monkeypatch.setattr(
            module, "expected_rows", lambda use: replace(known(use), **less.get(use.task, {}))
        )
    home, task = made(tmp_path), "turncoat_insecure_code_loss"

    def without(rows):
        return [{key: value for key, value in row.items() if key != "arguments"} for row in rows]

    for role in ("organism", "defended"):
        for seed in SEEDS:
            rewrite_rows(home, role, seed, task, without)
    assert check_prompt_change(load_entry(home)) == []
    hashes = {}

    def undefended(rows):
        return [{**row, "prompt_hash": hashes[row["doc_id"]]} for row in rows]

    rewrite_rows(
        home, "organism", "seed-0", task,
        lambda rows: hashes.update({row["doc_id"]: row["prompt_hash"] for row in rows}) or rows,
    )  # fmt: skip
    rewrite_rows(home, "defended", "seed-0", task, undefended)
    (finding,) = check_prompt_change(load_entry(home))
    assert finding.rule == "prompt-change" and task in finding.file
