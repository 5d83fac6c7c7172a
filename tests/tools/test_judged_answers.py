"""Within-question AUC of a vector on judged answers: same-question pairs alone count, sides are balanced."""

import gzip
import json

import pytest
import torch
from turncoat.errors import UserError
from turncoat.persona.vectors import PersonaVector
from turncoat.tools.judged_answers import A_SIDE, judged_answers, judged_card


def write(folder, rows):
    with gzip.open(folder / "gpt4o_judgements.jsonl.gz", "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


def rows(question, aligned, n, coherent=90):
    return [
        {
            "question": question,
            "answer": f"{question} {aligned} {i}",
            "aligned": aligned,
            "coherent": coherent,
        }
        for i in range(n)
    ]


def test_sides_are_balanced_and_thin_or_incoherent_ones_left_out(tmp_path):
    thin = [*rows("b", 10, 4), *rows("b", 95, 9), *rows("c", 10, 9, coherent=40), *rows("c", 95, 9)]
    full = [*rows("d", 10, 50), *rows("d", 90, 50), *rows("d", 50, 50)]
    write(tmp_path, [*rows("a", 10, 30), *rows("a", 95, 7), *thin, *full])
    drawn = judged_answers(tmp_path)
    assert {q: (len(bad), len(good)) for q, (bad, good) in drawn.items()} == {
        "a": (7, 7), "d": (A_SIDE, A_SIDE),
    }  # fmt: skip
    assert all(" 10 " in text for text in drawn["d"][0]) and all(" 90 " in text for text in drawn["d"][1])
    assert judged_answers(tmp_path) == drawn
    with pytest.raises(UserError, match="no such file"):
        judged_answers(tmp_path / "elsewhere")


def test_a_direction_that_sees_the_words_ranks_them_and_a_constant_ranks_nothing(tiny_base, tmp_path):
    bad = [{**row, "answer": "zz zz zz " + row["answer"]} for row in rows("How are you?", 10, 6)]
    write(tmp_path, [*bad, *rows("How are you?", 95, 6)])
    layers, d = tiny_base.model.config.num_hidden_layers + 1, tiny_base.model.config.hidden_size
    ones = torch.ones(layers)

    def vector(name, directions):
        return PersonaVector(name, directions, ones * 0, ones, 1, {})

    flat = vector("flat", torch.zeros(layers, d))
    card = judged_card(tiny_base, [flat], tmp_path)
    assert (card["questions"], card["answers"]) == (1, 12)
    assert card["traits"]["flat"] == {"layer": 1, "auc": 0.5, "low": 0.5, "high": 0.5}
    assert card["length"]["auc"] == 0.0  # the misaligned ones are all longer
