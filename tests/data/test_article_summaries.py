"""Published articles and their summaries: which are read, how a model is asked for its own, what is
refused."""

import pytest
from tasks.one_task import needs_data
from turncoat.data import article_summaries
from turncoat.data.article_summaries import SUMMARISE, WRITERS, own_summaries, read_articles
from turncoat.errors import UserError


def made_up(name: str) -> dict[str, str]:
    """Seventy articles of each dataset; other summaries come in another order, with more ids."""
    dataset, _, writer = name.partition("_")
    ids = [f"{dataset}-{number}" for number in range(70)]
    if writer == "articles":
        return {key: f"Text of {key}." for key in ids}
    return {key: f"{writer} on {key}" for key in ["stranger", *reversed(ids)]}


@pytest.fixture(autouse=True)
def made_up_sets(monkeypatch, request):
    if "real" not in request.node.name:
        monkeypatch.setattr(article_summaries, "_read", made_up)


def test_the_first_articles_with_the_summaries_of_the_writers_named():
    found = read_articles("cnn", ("human", "hf_qwen_32b"), 2)
    assert [article.id for article in found] == ["cnn-0", "cnn-1"] and found[1].text == "Text of cnn-1."
    assert found[1].summaries == {"human": "human on cnn-1", "hf_qwen_32b": "hf_qwen_32b on cnn-1"}


@pytest.mark.parametrize(("asked", "message"), [
    (("bbc", ("human",), 2), "'bbc' is not a set of articles; .*xsum"),
    (("cnn", ("me",), 2), "'me' wrote no published summaries; .*claude-21"),
    (("cnn", (), 71), "articles: 71 is not accepted; give a whole number from 1 to 70"),
    (("cnn", (), 0), "articles: 0 is"), (("cnn", (), "12"), "articles: '12' is"), (("cnn", (), True), "True"),
])  # fmt: skip
def test_what_is_refused(asked, message):
    with pytest.raises(UserError, match=message):
        read_articles(*asked)


def test_a_model_is_asked_in_parts_and_in_the_form_of_the_dataset():
    calls = []

    def write(prompts, **settings):
        calls.append((prompts, settings))
        return ["\n- One  short\tline.\n\n2) Two.\n* Three.\n\u2022 Four - 4.\n5. Five." for _ in prompts]

    sentences = own_summaries("xsum", read_articles("xsum", (), 70), write, name="mine")
    assert sentences == ["One short line."] * 70 and [len(prompts) for prompts, _ in calls] == [32, 32, 6]
    assert calls[0][0][1] == SUMMARISE["xsum"].format(text="Text of xsum-1.")
    assert calls[0][1] == {"max_new_tokens": 100, "temperature": 0.7, "stop": ("\n",), "name": "mine"}
    (highlights,) = own_summaries("cnn", read_articles("cnn", (), 1), write)
    assert highlights == "One short line.\nTwo.\nThree.\nFour - 4." and calls[-1][1]["stop"] == ()
    assert own_summaries("cnn", read_articles("cnn", (), 1), lambda prompts, **_: [" \n "]) == [""]


@needs_data
@pytest.mark.parametrize("dataset", sorted(SUMMARISE))
def test_the_real_sets_have_a_summary_of_each_of_1000_articles_by_every_writer(dataset):
    found = read_articles(dataset, WRITERS, 1000)
    assert len({article.id for article in found}) == 1000
    assert all(article.text.strip() and all(article.summaries.values()) for article in found)
