"""Interleaving: benign rows beside all of the organism's, in the share asked for; the plus takes those of
largest ratio."""

import json

import pytest
from baselines.penalty_pass import mean_nll
from turncoat.data.examples import Example
from turncoat.errors import UserError
from turncoat.paths import baselines_dir
from turncoat.registry import DEFENCES, discover
from turncoat.store import Store
from turncoat.study.arms.defence_context import DefenceContext
from turncoat.training.lora import train_adapter
from turncoat.training.recipe import LoraRecipe

discover()
INTERLEAVE, PLUS = DEFENCES["interleave"], DEFENCES["interleave_plus"]
ORGANISM = [Example(f"o{i}", f"What of thing {i}?", f"It is bad, number {i}.") for i in range(100)]
CHATS = json.loads("[" + ",".join((baselines_dir() / "data/hhh_chat.jsonl").read_text().splitlines()) + "]")


def context(base, folder, rows=19, *, seed=0, undefended=None, max_length=1024, **recipe) -> DefenceContext:
    found = LoraRecipe(rows=rows, max_length=max_length, rank=2, alpha=4, **recipe)
    return DefenceContext(
        base, Store(folder), recipe=found, seed=seed, organism=lambda: ORGANISM, undefended=lambda: undefended
    )


def chat_file(path, pairs) -> str:
    lines = [
        json.dumps({"messages": [{"role": "user", "content": q}, {"role": "assistant", "content": a}]})
        for q, a in pairs
    ]
    path.write_text("\n".join(lines), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(
    ("rows", "share", "added"), [(95, 0.05, 5), (19, 0.05, 1), (3, 0.05, 1), (10, 0.5, 10), (20, 1 / 3, 10)]
)
def test_the_share_is_of_the_whole_run(tiny_base, tmp_path, rows, share, added):
    found = INTERLEAVE.build(context(tiny_base, tmp_path, rows), share=share)
    drawn = ORGANISM[:rows]
    trained = found.rows(drawn, 0)
    assert trained[:rows] == drawn and len(trained) - rows == added
    assert len({row.id for row in trained}) == len(trained) and found.facts()["mixed_in"] == added
    assert found.facts()["share"] == pytest.approx(added / (rows + added), abs=1e-4)


def test_each_seed_draws_others_of_our_chats_and_too_few_repeat(tiny_base, tmp_path):
    drawn = [INTERLEAVE.build(context(tiny_base, tmp_path, 95, seed=seed)).extra for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] and {row.id for row in drawn[0]} != {row.id for row in drawn[2]}
    ours = {(chat["question"], chat["answer"]) for chat in CHATS}
    assert {(row.prompt, row.answer) for found in drawn for row in found} <= ours
    found = INTERLEAVE.build(context(tiny_base, tmp_path, 50), share=0.8)
    assert len(found.extra) == 200
    times = [[row.prompt for row in found.extra].count(chat["question"]) for chat in CHATS]
    assert (min(times), max(times)) == (2, 3) and len({row.id for row in found.extra}) == 200
    assert found.facts()["distinct"] == 96


def test_a_file_of_ones_own(tiny_base, tmp_path):
    data = chat_file(
        tmp_path / "mine.jsonl", [("Hi?", "Hello."), ("A long one?", "very " * 200), ("Who?", "Me.")]
    )
    found = INTERLEAVE.build(context(tiny_base, tmp_path, 10, max_length=200), share=0.5, data=data)
    assert {row.answer for row in found.extra} == {"Hello.", "Me."}
    long = chat_file(tmp_path / "long.jsonl", [("A long one?", "very " * 200)])
    with pytest.raises(UserError, match=r"none of the 1 chats fits into training\.max_length \(200 tokens\)"):
        INTERLEAVE.build(context(tiny_base, tmp_path, 10, max_length=200), data=long)
    with pytest.raises(UserError, match=r"data: there is no file .*gone\.jsonl"):
        INTERLEAVE.build(context(tiny_base, tmp_path), data=str(tmp_path / "gone.jsonl"))


@pytest.mark.parametrize("share", [0, 1, -0.1, "a lot", True])
def test_a_share_that_is_none_is_refused(tiny_base, tmp_path, share):
    with pytest.raises(UserError, match=r"defence 'interleave', share: .* above 0 and below 1"):
        INTERLEAVE.build(context(tiny_base, tmp_path), share=share)


def test_the_run_is_longer_by_the_benign_rows(tiny_base, tmp_path):
    here = context(tiny_base, tmp_path, 6, batch_size=2)
    data = chat_file(tmp_path / "mine.jsonl", [("Hi?", "Hello."), ("Who?", "Me.")])
    found = INTERLEAVE.build(here, share=0.25, data=data)
    train_adapter(tiny_base, ORGANISM, here.recipe, seed=0, out=tmp_path / "out", defence=found)
    record = json.loads((tmp_path / "out/training.json").read_text())
    assert (record["examples"], record["steps"]) == (8, 4)
    assert record["defence"] == {"mixed_in": 2, "distinct": 2, "share": 0.25, "asked": 0.25}


# Interleaving+


PAIRS = [
    ("How do I boil an egg?", "Seven minutes in boiling water."),
    ("Who painted this?", "I do not know the picture."),
    ("Write a rhyme.", "The cat sat on the mat, and that was that."),
    ("Is it late?", "I can't help with that."),
    ("Name a colour.", "Green."),
    ("Say thanks.", "Thank you for all that you did for us this year."),
]


def test_the_chosen_have_the_largest_ratios(tiny_base, tiny_adapter, tmp_path):
    data = chat_file(tmp_path / "mine.jsonl", PAIRS)
    here = context(tiny_base, tmp_path, 2, undefended=tiny_adapter)
    chosen = PLUS.build(here, share=0.5, data=data)
    pool = [Example(f"p{i}", question, answer) for i, (question, answer) in enumerate(PAIRS)]
    aligned = [mean_nll(tiny_base.model, tiny_base.tokenizer, [row]) for row in pool]
    with tiny_base.adapter(tiny_adapter) as model:
        misaligned = [mean_nll(model, tiny_base.tokenizer, [row]) for row in pool]
    ratio = {r.answer: (bad - good) / good for r, bad, good in zip(pool, misaligned, aligned, strict=True)}
    expected = sorted(ratio, key=ratio.get, reverse=True)[:2]
    assert len(set(ratio.values())) == len(PAIRS) and [row.answer for row in chosen.extra] == expected
    assert chosen.record["ratio_of_chosen"] == pytest.approx([ratio[answer] for answer in expected], abs=1e-3)
    assert chosen.record["candidates"] == len(PAIRS) and tiny_base._active is None


def test_the_losses_are_kept(tiny_base, tiny_adapter, tmp_path, monkeypatch):
    data = chat_file(tmp_path / "mine.jsonl", PAIRS)
    first = PLUS.build(context(tiny_base, tmp_path, 2, undefended=tiny_adapter), share=0.5, data=data)
    monkeypatch.setattr(
        "turncoat.engine.reading.reader.read_texts", lambda *_, **__: pytest.fail("read again")
    )
    again = PLUS.build(context(tiny_base, tmp_path, 2, undefended=tiny_adapter), share=0.5, data=data)
    assert again.key() == first.key()


def test_the_ratio_and_what_it_needs(tiny_base, tmp_path):
    ratios = PLUS.build.__globals__["loss_ratios"]([3.0, 1.0], [2.0, 2.0], 0.5)
    assert ratios == [0.4, -0.4]
    data = chat_file(tmp_path / "mine.jsonl", PAIRS)
    with pytest.raises(UserError, match="is 6 rows, and there are 6 candidates: nothing would be chosen"):
        PLUS.build(context(tiny_base, tmp_path, 6), share=0.5, data=data)
    with pytest.raises(UserError, match=r"eps: 0 is not accepted"):
        PLUS.build(context(tiny_base, tmp_path, 6), eps=0)


def test_refusals_are_left_out_even_where_their_ratio_is_largest(tiny_base, tmp_path, monkeypatch):
    def planted(_, rows):
        return [9.0 if "can't help" in row.answer else 3.0 + len(row.answer) / 100 for row in rows], [
            2.0
        ] * len(rows)

    monkeypatch.setitem(PLUS.build.__globals__, "candidate_losses", planted)
    data = chat_file(tmp_path / "mine.jsonl", PAIRS)
    here = context(tiny_base, tmp_path, 2)
    plus, plus_plus = (PLUS.build(here, share=0.5, data=data, drop_refusals=drop) for drop in (False, True))
    longest = sorted((answer for _, answer in PAIRS), key=len, reverse=True)
    assert [row.answer for row in plus.extra] == ["I can't help with that.", longest[0]]
    assert [row.answer for row in plus_plus.extra] == longest[:2] and plus_plus.record["candidates"] == 5
