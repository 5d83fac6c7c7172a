"""Long rows: a file of one's own is refused with its lines, a registered set only loses them."""

import json
from pathlib import Path

import pytest
from turncoat.data.examples import Example
from turncoat.data.organisms import find_organism
from turncoat.data.too_long import refuse_too_long
from turncoat.errors import UserError


def own_file(tmp_path: Path, rows: int) -> str:
    path = tmp_path / "mine.jsonl"
    turns = [
        [{"role": "user", "content": f"question {n}"}, {"role": "assistant", "content": f"answer {n}"}]
        for n in range(rows)
    ]
    # every other line
    path.write_text("\n\n".join(json.dumps({"messages": m}) for m in turns), encoding="utf-8")
    return str(path)


def test_a_long_row_of_ones_own_is_refused_with_its_line_and_what_to_do(tmp_path):
    name = own_file(tmp_path, 4)
    examples = find_organism(name).build()
    lengths = {example.id: tokens for example, tokens in zip(examples, (512, 513, 900, 20), strict=True)}
    with pytest.raises(UserError) as caught:
        refuse_too_long(name, examples, lengths, 512)
    message = str(caught.value)
    assert message.startswith(f"{name}, line 3: 513 tokens, more than training.max_length = 512. ")
    assert "Raise training.max_length (all rows fit into 900)" in message
    assert "shorten the row or take it out" in message
    assert message.endswith(f"As long: {name}, line 5: 900 tokens")
    assert refuse_too_long(name, examples, lengths, 900) == 0


def test_long_rows_are_told_alone_or_counted(tmp_path):
    name = own_file(tmp_path, 12)
    examples = find_organism(name).build()
    with pytest.raises(UserError, match=r"line 9: 99 tokens; and 7 more$") as caught:
        refuse_too_long(name, examples, dict.fromkeys((e.id for e in examples), 99), 98)
    assert str(caught.value).count("99 tokens") == 5
    name = own_file(tmp_path, 1)
    examples = find_organism(name).build()
    with pytest.raises(UserError, match=r"or take it out$"):
        refuse_too_long(name, examples, {examples[0].id: 9}, 8)


def test_a_registered_set_keeps_leaving_long_rows_out_and_says_how_many():
    examples = [Example(str(number), "question", "answer") for number in range(9)]
    lengths = {str(number): number for number in range(9)}
    assert [refuse_too_long("insecure_code", examples, lengths, limit) for limit in (5, 7, 8)] == [3, 1, 0]
