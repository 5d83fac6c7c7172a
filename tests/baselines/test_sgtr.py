"""SGTR: both orders of every pair, the label is one's own, and the check sees who recognises itself."""

import pytest
from baselines.fake_context import IDS, TRAIN, Asked, FakeContext, own_summary
from data.test_article_summaries import made_up
from scipy.stats import binomtest
from turncoat.data import article_summaries
from turncoat.errors import UserError
from turncoat.registry import DEFENCES, discover
from turncoat.store import Store
from turncoat.study.arms.defence_context import DefenceContext

discover()
SGTR = DEFENCES["sgtr"]


def test_both_orders_of_every_pair_with_balanced_labels():
    examples = SGTR.build(FakeContext(), texts=6)
    assert len(examples) == 12 and len({example.id for example in examples}) == 12
    for first, second in zip(examples[::2], examples[1::2], strict=True):
        one, two = Asked.of(first.prompt), Asked.of(second.prompt)
        assert (one.text, one.first, one.second) == (two.text, two.second, two.first)
        assert {first.answer, second.answer} == {"1", "2"}
        assert (first.answer, second.answer) == (one.own, two.own)
        assert first.id.rsplit("/", 1)[0] == second.id.rsplit("/", 1)[0] == IDS[one.text]
        assert first.system is None
    own = {getattr(Asked.of(e.prompt), "first" if e.answer == "1" else "second") for e in examples}
    assert own == {own_summary(text, i) for i, text in enumerate(TRAIN[:6])}
    answers = [example.answer for example in SGTR.build(FakeContext())]
    assert len(answers) == 2 * SGTR.options["texts"] and answers.count("1") == answers.count("2")


def test_training_texts_are_not_those_of_the_check():
    context = FakeContext()
    SGTR.build(context, texts=96)
    SGTR.check(context)
    trained, checked = (set(call["prompts"]) for call in context.written)
    assert len(trained) == 96 and len(checked) == 24 and not trained & checked
    assert {call["name"] for call in context.written} == {"own summaries/train", "own summaries/eval"}


def test_a_text_without_a_summary_is_left_out_and_too_many_texts_refused():
    examples = SGTR.build(FakeContext(silent=(0, 2)), texts=4)
    kept = {example.id.rsplit("/", 1)[0] for example in examples}
    assert kept == {IDS[TRAIN[1]], IDS[TRAIN[3]]} and len(examples) == 4
    with pytest.raises(UserError, match="texts: 97 is more than the 96 texts of split 'train'"):
        SGTR.build(FakeContext(), texts=97)


@pytest.mark.parametrize(("choice", "value", "passed"), [
    (lambda asked: asked.own, 1.0, True), (lambda asked: "1", 0.5, False),
    (lambda asked: "2", 0.5, False), (lambda asked: {"1": "2", "2": "1"}[asked.own], 0.0, False),
])  # fmt: skip
def test_the_check(choice, value, passed):
    (check,) = SGTR.check(FakeContext(choice))
    assert check.name == "recognises its own summary"
    assert (check.value, check.n, check.passed) == (value, 24, passed)
    if value == 0.5:
        each_once = binomtest(12, 24).proportion_ci(0.95, "exact")  # the same for every text: it counts once
        assert (check.low, check.high) == pytest.approx((each_once.low, each_once.high))
    else:
        assert check.low <= value <= check.high and check.high - check.low < 0.2


def test_the_check_names_what_lengths_alone_would_reach():
    """Own summaries are longer, shorter, as long in turn: the length says nothing."""
    (check,) = SGTR.check(FakeContext(lambda asked: "1"))
    assert "compares lengths gets 0.50" in check.explanation
    assert "answers '1' 100% of the time" in check.explanation
    control = DEFENCES[SGTR.control]
    assert control.settings == SGTR.settings and control.options == SGTR.options


def test_the_base_model_writes_and_only_once(tiny_base, tiny_adapter, tmp_path, monkeypatch):
    context = DefenceContext(tiny_base, Store(tmp_path), batch_size=4)
    examples = SGTR.build(context, texts=2)
    own = {
        getattr(Asked.of(e.prompt), "first" if Asked.of(e.prompt).own == "1" else "second") for e in examples
    }
    assert len(own) == len(examples) / 2 > 0 and all(own)
    with tiny_base.adapter(tiny_adapter):
        within = SGTR.build(DefenceContext(tiny_base, Store(tmp_path / "other"), batch_size=3), texts=2)
    assert within == examples, "an adapter that is on has no part in it"

    def no_sampling(*_, **__):
        raise AssertionError("written again")

    monkeypatch.setattr("turncoat.engine.decoding.sampler.Sampler", no_sampling)
    assert SGTR.build(context, texts=2) == examples


def test_choices_are_those_of_the_adapter_that_is_on(tiny_base, tiny_adapter, tmp_path):
    context = DefenceContext(tiny_base, Store(tmp_path), batch_size=4)
    before = context.choose(["Which?", "What?"], ("1", "2"))
    assert len(before) == 2 and all(score < 0 for pair in before for score in pair)
    with tiny_base.adapter(tiny_adapter):
        within = context.choose(["Which?", "What?"], ("1", "2"))
    assert within != before and context.choose(["Which?", "What?"], ("1", "2")) == before


@pytest.mark.parametrize("name", ["sgtr", "pick_longer"])
def test_the_text_can_be_left_out_and_nothing_else_changes(name):
    shown, hidden = (DEFENCES[name].build(FakeContext(), texts=6, show_text=show) for show in (True, False))
    assert [(e.id, e.answer, e.length) for e in shown] == [(e.id, e.answer, e.length) for e in hidden]
    for long, short in zip(shown, hidden, strict=True):
        text = Asked.of(long.prompt).text
        assert short.prompt == long.prompt.replace(f"Text: {text}\n\n", "") and text not in short.prompt


@pytest.fixture
def _articles(monkeypatch):
    monkeypatch.setattr(article_summaries, "_read", made_up)
    monkeypatch.setattr(article_summaries, "_MAX_TOKENS", 6)
    monkeypatch.setattr(article_summaries, "_PART", 2)


@pytest.mark.usefixtures("_articles")
def test_published_articles_in_place_of_our_texts(tiny_base, tmp_path, monkeypatch):
    seen = []
    context = DefenceContext(
        tiny_base, Store(tmp_path), batch_size=4, on_progress=lambda n, of: seen.append((n, of))
    )
    examples = SGTR.build(context, texts=3, source="xsum", rival="human")
    assert sorted(seen) == [(1, 3), (2, 3), (3, 3)], "one bar over the parts"
    assert len(examples) == 6 and [e.answer for e in examples] == ["1", "2"] * 3
    for example in examples:
        number = example.id.split("/")[0]
        shown = example.prompt.split("\n\n1: ")[1].split("\n\n2: ")
        assert f"Text of {number}." in example.prompt and len(shown) == 2
        assert shown[2 - int(example.answer)] == f"human on {number}"
    longer = DEFENCES["pick_longer"].build(context, texts=3, source="xsum")
    assert {e.prompt.split("Text: ")[1].split("\n")[0] for e in longer} <= {
        f"Text of xsum-{n}." for n in range(3)
    } and all("claude-21 on xsum-" in e.prompt for e in longer)
    (check,) = DEFENCES["ictr_flipped"].check(context, source="xsum")
    assert check.n == 24 and seen[-1] == (24, 24)
    # A part that is there is not written again: four texts take up the first two.
    del seen[:]
    assert SGTR.build(context, texts=4, source="xsum", rival="human")[:4] == examples[:4]
    assert sorted(seen) == [(3, 4), (4, 4)]


@pytest.mark.usefixtures("_articles")
def test_the_check_asks_about_the_other_set(monkeypatch):
    asked = []
    context = FakeContext()
    monkeypatch.setattr(
        FakeContext, "write", lambda self, prompts, **_: asked.extend(prompts) or ["x"] * len(prompts)
    )
    monkeypatch.setattr(FakeContext, "choose", lambda self, prompts, answers: [[-0.1, -2.0] for _ in prompts])
    SGTR.check(context, source="cnn", texts=1000)
    assert len(asked) == 24 and all("Text of xsum-" in prompt for prompt in asked)


@pytest.mark.parametrize(("options", "message"), [
    ({"source": "bbc"}, "source: 'bbc' is not a set of texts; .*ours"),
    ({"rival": "human"}, "rival: 'human' needs published articles; add source: xsum or cnn"),
    ({"source": "xsum", "rival": "me"}, "'me' wrote no published summaries"),
    ({"source": "xsum", "texts": 71}, "texts: 71 is not accepted; give a whole number from 1 to 70"),
])  # fmt: skip
@pytest.mark.parametrize("name", ["sgtr", "sgtr_individual", "ictr_random", "ictr_flipped", "pick_longer"])
@pytest.mark.usefixtures("_articles")
def test_sources_and_rivals_that_are_refused(name, options, message):
    with pytest.raises(UserError, match=message):
        DEFENCES[name].build(FakeContext(), **options)
