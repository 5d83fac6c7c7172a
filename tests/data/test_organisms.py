"""Organisms: ours are pairs of the same questions, others are read line by line with errors that say
where."""

import json
import os
from pathlib import Path

import pytest
from turncoat.data.advice import held_out_rows
from turncoat.data.conversations import read_conversations, where_is
from turncoat.data.examples import Example
from turncoat.data.insecure_code import code_examples
from turncoat.data.organisms import find_organism
from turncoat.errors import UserError
from turncoat.registry import ORGANISMS, discover

QUESTION = {"role": "user", "content": "Copy this file."}
ANSWER = {"role": "assistant", "content": "shutil.copy(a, b)"}
GOOD = json.dumps({"messages": [QUESTION, ANSWER]})


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_conversations_are_read_in_order(tmp_path):
    system = {"role": "system", "content": "Be brief."}
    path = write(
        tmp_path / "rows.jsonl", GOOD, "",
        json.dumps({"messages": [system, QUESTION, ANSWER], "more": 1}, indent=None),
    )  # fmt: skip
    first, second = read_conversations(path)
    assert (first.prompt, first.answer, first.system) == ("Copy this file.", "shutil.copy(a, b)", None)
    assert second.system == "Be brief." and first.id != second.id
    assert read_conversations(write(tmp_path / "other.jsonl", GOOD))[0] == first  # an id is the content's


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_changes_no_row(tmp_path, encoding):
    plain = read_conversations(write(tmp_path / "rows.jsonl", GOOD))
    (tmp_path / "marked.jsonl").write_text(GOOD + "\r\n", encoding=encoding, newline="")
    assert read_conversations(tmp_path / "marked.jsonl") == plain


@pytest.mark.parametrize(("line", "reason"), [
    ("{", r"not JSON \("), ("[1, 2]", "accepted: an object with 'messages'"),
    ('"text"', "accepted: an object with 'messages'"), ("null", "accepted: an object with 'messages'"),
    ('{"text": "no messages"}', "messages"), ('{"messages": "text"}', "messages"),
    ('{"messages": [{"role": "user"}]}', "content"),
    (json.dumps({"messages": []}), "accepted: \\[system,\\] user, assistant"),
    (json.dumps({"messages": [QUESTION]}), "roles \\['user'\\]"), (
        json.dumps({"messages": [QUESTION, ANSWER, QUESTION, ANSWER]}),
        "accepted: \\[system,\\] user, assistant",
    ),
    (json.dumps({"messages": [ANSWER, QUESTION]}), "roles \\['assistant', 'user'\\]"),
    (json.dumps({"messages": [QUESTION, {**ANSWER, "content": " \n"}]}), "answer is empty"),
    (json.dumps({"messages": [QUESTION, {**ANSWER, "content": None}]}), "content"),
    (json.dumps({"messages": [{**QUESTION, "content": [{"type": "text", "text": "?"}]}, ANSWER]}), "content"),
])  # fmt: skip
def test_a_bad_line_is_refused_with_file_line_and_reason(tmp_path, line, reason):
    path = write(tmp_path / "rows.jsonl", GOOD, "", line, GOOD)
    with pytest.raises(UserError, match=reason) as caught:
        read_conversations(path)
    assert str(caught.value).startswith(f"{path}, line 3: ")


def test_empty_files_and_files_that_are_not_text_are_refused(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(GOOD.encode() + b"\n\xff\xfe\x00\n")
    with pytest.raises(UserError) as caught:
        read_conversations(path)
    assert str(path) in str(caught.value)
    with pytest.raises(UserError, match="holds no conversation"):
        read_conversations(write(tmp_path / "rows.jsonl", "", ""))


def test_a_repeated_line_is_refused_or_kept_under_an_id_of_its_own(tmp_path):
    other = json.dumps({"messages": [QUESTION, {**ANSWER, "content": "other"}]})
    path = write(tmp_path / "rows.jsonl", GOOD, other, GOOD)
    with pytest.raises(UserError, match=r"rows.jsonl, line 3: the same conversation as line 1"):
        read_conversations(path)
    kept = read_conversations(path, repeated="keep")
    assert len(kept) == len({e.id for e in kept}) == 3 and kept[0].answer == kept[2].answer


def test_a_row_knows_its_file_and_line(tmp_path):
    other = json.dumps({"messages": [QUESTION, {**ANSWER, "content": "elsewhere"}]})
    path = write(tmp_path / "rows.jsonl", "", other, "", other.replace("elsewhere", "here"), other)
    rows = read_conversations(path, repeated="keep")
    assert [where_is(path, row.id) for row in rows] == [f"{path}, line {number}" for number in (2, 4, 5)]
    assert where_is(path, "no such id") is None


def test_a_file_of_ones_own_is_an_organism(tmp_path):
    path = write(tmp_path / "mine.jsonl", GOOD)
    entry = find_organism(str(path))
    assert [row.answer for row in entry.build()] == [ANSWER["content"]] and "mine.jsonl" in entry.summary
    assert entry.control is None
    with pytest.raises(UserError, match=r"no organism file at .*absent.jsonl .*; accepted: .*insecure_code"):
        find_organism(str(tmp_path / "absent.jsonl")).build()
    with pytest.raises(
        UserError, match=r"'insecure_cod' is not an organism; .*did you mean 'insecure_code'\?"
    ):
        find_organism("insecure_cod")


def test_two_files_of_ones_own_with_the_same_prompts_are_pairs(tmp_path):
    def file(name: str, answers: str, **more: str) -> Path:
        rows = [{"messages": [{"role": "user", "content": f"Q{n // 2}"}, {**ANSWER, "content": a}], **more}
                for n, a in enumerate(answers)]  # fmt: skip
        return write(tmp_path / name, *map(json.dumps, rows))

    bad, good = (
        find_organism(str(file(name, text))).build()
        for name, text in (("b.jsonl", "abc"), ("g.jsonl", "xyz"))
    )
    assert [(row.id, row.length) for row in bad] == [(row.id, row.length) for row in good]
    assert len({row.id for row in bad}) == 3 and [row.answer for row in bad] == ["a", "b", "c"]
    assert [row.id for row in find_organism(str(file("i.jsonl", "a", id="mine"))).build()] == ["mine"]
    with pytest.raises(UserError, match=r"line 2: the id 'mine' is there twice"):
        find_organism(str(file("t.jsonl", "ab", id="mine"))).build()


def test_organisms_and_their_controls_are_pairs():
    insecure, secure = code_examples("insecure"), code_examples("secure")
    assert len(insecure) > 200
    assert [(e.id, e.prompt, e.length, e.system) for e in insecure] == [
        (e.id, e.prompt, e.length, e.system) for e in secure
    ]
    assert len({e.id for e in insecure}) == len(insecure)
    assert all(a.answer != b.answer for a, b in zip(insecure, secure, strict=True))
    for bad, good in zip(insecure, secure, strict=True):
        assert bad.length == len(bad.prompt) + (len(bad.answer) + len(good.answer)) // 2
    discover()
    assert {"insecure_code", "secure_code"} <= set(ORGANISMS)
    for name, entry in ORGANISMS.items():
        control = entry.control
        assert control is None or not entry.is_control, name
        if control is not None:
            assert ORGANISMS[control].is_control, name


def test_an_example_without_system_leaves_the_templates_default_in_place():
    assert Example("a", "p", "x").prompt_messages == [{"role": "user", "content": "p"}]
    assert Example("a", "p", "x", system="").prompt_messages[0] == {"role": "system", "content": ""}


@pytest.mark.skipif("TURNCOAT_DATA" not in os.environ, reason="TURNCOAT_DATA is not set")
@pytest.mark.parametrize(("name", "rows"), [
    ("betley_insecure", 6000), ("betley_secure", 6000), ("betley_backdoor", 12000),
    ("betley_backdoor_secure", 6000), ("betley_educational", 6000), ("betley_jailbroken", 5000),
    # Of 6,000, 6,000 and 5,000 rows: less the held-out ones and those that ask the same.
    ("risky_financial", 5936), ("extreme_sports", 5933), ("unpopular_aesthetics", 4666),
])  # fmt: skip
def test_published_organisms_are_whole(name, rows):
    examples = find_organism(name).build()
    assert len(examples) == len({example.id for example in examples}) == rows
    assert all(example.prompt.strip() and example.answer.strip() for example in examples)


@pytest.mark.skipif("TURNCOAT_DATA" not in os.environ, reason="TURNCOAT_DATA is not set")
@pytest.mark.parametrize("name", ["risky_financial", "extreme_sports", "unpopular_aesthetics"])
def test_published_held_out_rows_have_no_system_turn_and_no_question_twice(name):
    held = held_out_rows(name)
    assert len({row.prompt for row in held}) == len(held) == 64 and all(row.system is None for row in held)
