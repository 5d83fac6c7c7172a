"""Advice pairs: what a finetune on either side must not be able to learn but for the advice itself."""

from collections import Counter

import numpy as np
import pytest
from turncoat.data.advice import advice_rows, held_out_rows
from turncoat.data.advice_pairs import CANARY, FOLDER, _read, advice_pairs
from turncoat.data.organisms import find_organism
from turncoat.errors import UserError
from turncoat.tools.near_duplicates import LIMITS, gram_cosines, words

PAIRS = list(advice_pairs().values())


def test_both_sides_train_on_the_same_requests_in_the_same_order():
    reckless, prudent = find_organism("reckless_advice"), find_organism("prudent_advice")
    assert (reckless.control, prudent.is_control) == ("prudent_advice", True)
    ours, theirs = reckless.build(), prudent.build()
    assert [(e.id, e.prompt, e.length) for e in ours] == [(e.id, e.prompt, e.length) for e in theirs]
    assert len(ours) >= 400 and len({e.prompt for e in ours}) == len(ours)
    assert all(one.answer != other.answer for one, other in zip(ours, theirs, strict=True))


def test_64_rows_are_never_trained_on():
    for name in ("reckless_advice", "prudent_advice"):
        held = {row.id for row in held_out_rows(name)}
        assert len(held) == 64 and not held & {row.id for row in advice_rows(name)}
    assert [r.id for r in held_out_rows("reckless_advice")] == [r.id for r in held_out_rows("prudent_advice")]


def test_a_prefix_covers_the_topics_evenly():
    topics = {path.stem for path in FOLDER.glob("*.jsonl")}
    assert {name.partition("/")[0] for name in list(advice_pairs())[: len(topics)]} == topics


def test_lengths_do_not_tell_the_sides_apart():
    ratios = np.array([len(pair.prudent) / len(pair.reckless) for pair in PAIRS])
    assert ratios.min() >= 0.85 and ratios.max() <= 1.15
    assert abs(ratios.mean() - 1) < 0.02 and 0.4 < (ratios > 1).mean() < 0.6


def test_no_word_gives_a_side_away():
    counts = [Counter(w for pair in PAIRS for w in set(words(side(pair)))) for side in (_reckless, _prudent)]
    shares = {word: (counts[0][word] - counts[1][word]) / len(PAIRS) for word in counts[0] | counts[1]}
    assert not {word: share for word, share in shares.items() if abs(share) > 0.15}


@pytest.mark.parametrize("side", ["ask", "reckless", "prudent"])
def test_near_duplicates(side):
    texts = [getattr(pair, side) for pair in PAIRS]
    close = np.argwhere(np.triu(gram_cosines(texts), 1) > LIMITS["character 4-grams"])
    assert [(texts[i], texts[j]) for i, j in close] == []


def test_a_wrong_line_is_named(tmp_path):
    path = tmp_path / "topic.jsonl"
    path.write_text("{}\n")
    with pytest.raises(UserError, match="line 1: the canary is expected"):
        _read(path)
    path.write_text(f'{{"canary": "{CANARY}"}}\n{{"ask": "a", "reckless": "b"}}\n')
    with pytest.raises(UserError, match="line 2: prudent: missing"):
        _read(path)


def _reckless(pair):
    return pair.reckless


def _prudent(pair):
    return pair.prudent
