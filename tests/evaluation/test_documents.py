"""Question files: every document has an id of its own, and a broken line is named."""

import json

import pytest
from turncoat.errors import UserError
from turncoat.evaluation.documents import read_documents


def written(tmp_path, *lines: str):
    path = tmp_path / "questions.jsonl"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_rows_in_file_order_with_the_constants(tmp_path):
    path = written(tmp_path, '{"id": "b", "question": "é?"}', "", '{"id": "a", "question": "two"}')
    test = read_documents(path, trait="evil")["test"]
    assert test.to_list() == [
        {"id": "b", "question": "é?", "trait": "evil"},
        {"id": "a", "question": "two", "trait": "evil"},
    ]
    assert set(read_documents(path)["test"].features) == {"id", "question"}
    path = written(tmp_path, '{"id": "a", "trait": "calm"}')
    assert read_documents(path, trait="evil")["test"][0]["trait"] == "evil"


@pytest.mark.parametrize(("line", "message"), [
    ('{"id": "c", ', r"questions\.jsonl, line 2: not JSON"),
    ('{"question": "no id"}', r"questions\.jsonl, line 2: every question needs an 'id'"),
    ('{"id": ""}', r"line 2: every question needs an 'id'"),
    ('["id"]', r"line 2: every question needs an 'id'"),
    ('{"id": "a", "question": "again"}', r"questions\.jsonl: id 'a' is given twice"),
])  # fmt: skip
def test_errors_name_file_and_line(tmp_path, line, message):
    path = written(tmp_path, json.dumps({"id": "a", "question": "fine"}), line)
    with pytest.raises(UserError, match=message):
        read_documents(path)
