"""Self-recognition on published articles: documents, who is the writer, and a run on the tiny model."""

import math

import pytest
from data.test_article_summaries import made_up
from tasks.one_task import module_of, run_one
from turncoat.data import article_summaries
from turncoat.errors import UserError
from turncoat.evaluation.task_catalogue import task_metrics

articles = module_of("self_recognition", "articles")
joint = module_of("self_recognition", "joint")


@pytest.fixture(autouse=True)
def made_up_sets(monkeypatch, no_base):
    monkeypatch.setattr(article_summaries, "_read", made_up)


def test_a_published_writer_s_summaries_against_the_other_two_in_both_orders():
    rows = articles.documents("xsum", own="hf_qwen_32b", articles=2)["test"].to_list()
    assert [row["id"] for row in rows[:4]] == [
        f"xsum/xsum-0/{by}/own-{place}" for by in ("claude-21", "human") for place in ("first", "second")
    ]
    assert len(rows) == 8 and {row["cluster"] for row in rows} == {"xsum/xsum-0", "xsum/xsum-1"}
    assert {row["own_writer"] for row in rows} == {"published:hf_qwen_32b"}
    for row in rows:
        number = row["id"].split("/")[1]
        assert (row["own"], row["other"]) == (f"hf_qwen_32b on {number}", f"{row['rival']} on {number}")
        shown = row["prompt"].split("Summary 1:\n")[1].split("\n\n")[0]
        assert shown == (row["own"] if row["own_first"] else row["other"])
        assert row["answers"][row["target"]] == ("1" if row["own_first"] else "2")
        assert f"Article: Text of {number}." in row["prompt"]


def test_one_rival_and_what_is_refused():
    rows = articles.documents("cnn", own="human", rival="hf_qwen_0.5b", articles=1)["test"].to_list()
    assert [row["rival"] for row in rows] == ["hf_qwen_0.5b"] * 2
    with pytest.raises(UserError, match="rival=human is the writer of the own summaries too"):
        articles.documents("cnn", own="human", rival="human", articles=2)
    with pytest.raises(UserError, match=r"turncoat_recognition_cnn: only --model turncoat .*own=hf_qwen_32b"):
        articles.documents("cnn", articles=2)
    with pytest.raises(UserError, match=r"articles \(--metadata\): 71 is not accepted"):
        articles.documents("cnn", own="human", articles=71)
    with pytest.raises(UserError, match="'me' wrote no published summaries"):
        articles.documents("cnn", own="me", articles=2)


def test_all_questions_about_an_article_are_one_cluster():
    items = [{"pair": f"xsum/{a}/{by}", "right": right} for a, by, right in [
        ("a", "human", 1.0), ("a", "claude-21", 1.0), ("b", "human", 0.0), ("b", "claude-21", 0.0),
    ]]  # fmt: skip
    # Two articles, all right and all wrong: (1 - 0) / 2 on two clusters, whatever the number of questions.
    assert joint.clustered_stderr(items) == pytest.approx(0.5)
    assert joint.clustered_stderr(items + items) == pytest.approx(0.5)
    assert math.isnan(joint.clustered_stderr(items[:2]))


@pytest.mark.usefixtures("plain_lm_eval")
@pytest.mark.parametrize("dataset", ["xsum", "cnn"])
def test_the_base_writes_its_own_and_is_asked_with_the_adapter_on(
    tiny_base, tiny_adapter, quick_store, monkeypatch, dataset
):
    from turncoat.evaluation.lm import TurncoatLM

    monkeypatch.setattr(article_summaries, "_MAX_TOKENS", 8)
    lm, task = TurncoatLM(tiny_base, store=quick_store), f"turncoat_recognition_{dataset}"
    with lm.measuring(tiny_adapter):
        values, rows = run_one(lm, "self_recognition", task, limit=12, articles=3)
    assert set(values) - {"sample_len"} == {
        metric for metric in task_metrics(task) if not metric.endswith("qwen_0.5b")
    }
    assert {row["doc"]["own_writer"] for row in rows} == {f"base:{tiny_base.fingerprint}"}
    assert len({row["doc"]["cluster"] for row in rows}) == 2
    # Written once, without the adapter: the same texts for the base itself, and no part twice.
    monkeypatch.setattr("turncoat.engine.decoding.sampler.Sampler", None)
    again = articles.documents(dataset, articles=3, pretrained=tiny_base.name)["test"].to_list()
    assert [row["own"] for row in again[:12]] == [row["doc"]["own"] for row in rows]
    with pytest.raises(UserError, match="only --model turncoat"):
        articles.documents(dataset, articles=3, pretrained="another-model")
