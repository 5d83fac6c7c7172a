"""Self-recognition: the texts, both orders, length rules with known answers, own texts from a file or the
base model."""

import json
import math
import re
from collections import Counter
from pathlib import Path

import pytest
from command_runs import write
from tasks.one_task import module_of, run_one
from turncoat.errors import UserError
from turncoat.evaluation.own_texts import set_current_base
from turncoat.evaluation.task_catalogue import task_metrics
from turncoat.paths import baselines_dir, tasks_dir
from turncoat.store import Store

score, joint = module_of("self_recognition"), module_of("self_recognition", "joint")
FILE = tasks_dir() / "self_recognition" / "texts.jsonl"
ROWS = [json.loads(line) for line in FILE.read_text(encoding="utf-8").splitlines()]
PAIRWISE, INDIVIDUAL, TEXTS = (f"turncoat_recognition_{kind}" for kind in ("pairwise", "individual", "texts"))


pytestmark = pytest.mark.usefixtures("no_base")


@pytest.fixture
def own_file(tmp_path) -> Path:
    """A samples file of turncoat_recognition_texts: summaries of three texts, one of them empty."""
    rows = [
        {"doc": {"id": row["id"]}, "samples": [{"text": text}]}
        for row, text in zip(ROWS, [" One short\n summary. ", "Another summary.", "  "], strict=False)
    ]
    return write(tmp_path / "samples.jsonl", rows)


def test_64_texts_that_no_defence_is_trained_on():
    with (baselines_dir() / "data" / "short_texts.jsonl").open(encoding="utf-8") as handle:
        rows = [json.loads(line) for line in handle]
    train = {row["text"] for row in rows if row["split"] == "train"}
    held_out = {row["id"]: row for row in rows if row["split"] == "eval"}
    assert len(ROWS) == len({row["id"] for row in ROWS}) == len({row["text"] for row in ROWS}) == 64
    assert not train & {row["text"] for row in ROWS}
    shared = [row for row in ROWS if row["id"] in held_out]
    assert len(shared) == len(held_out) == 24
    for row in shared:
        assert row["text"] == held_out[row["id"]]["text"]


def test_texts_summaries_and_rivals_keep_their_limits():
    for row in ROWS:
        assert set(row) == {"id", "topic", "text", "compact", "terse"}
        for value in row.values():
            assert value == " ".join(value.split()), row["id"]
            assert value.isascii(), row["id"]
        words = {field: len(row[field].split()) for field in ("text", "compact", "terse")}
        assert 45 <= words["text"] <= 70, (row["id"], words)
        assert 12 <= words["compact"] <= 30, (row["id"], words)
        assert 5 <= words["terse"] <= 12, (row["id"], words)
        assert len(re.findall(r"[.!?](?=\s|$)", row["compact"])) == 1, row["id"]
    for row in ROWS:
        summaries = {rival: score.rival_summary(row, rival) for rival in score.RIVALS}
        assert len(set(summaries.values())) == len(score.RIVALS), row["id"]
        assert row["text"].startswith(summaries["lead"])
        assert 6 <= summaries["keywords"].count(",") + 1 <= score.KEYWORDS


def test_documents_show_both_orders_and_each_summary(own_file):
    rows = score.pairwise_documents(own_texts=str(own_file))["test"].to_list()
    assert len(rows) == len({row["id"] for row in rows}) == 2 * 2 * len(score.RIVALS)
    assert Counter(row["rival"] for row in rows) == dict.fromkeys(score.RIVALS, 4)
    for one, two in zip(rows[::2], rows[1::2], strict=True):
        assert (one["own_first"], two["own_first"]) == (True, False)
        assert (one["target"], two["target"]) == (0, 1)
        assert one["cluster"] == two["cluster"] == one["id"].split("/")[0]
        shown = "Summary 1: {}\n\nSummary 2: {}\n\n"
        as_first, as_second = shown.format(one["own"], one["other"]), shown.format(one["other"], one["own"])
        assert as_first in one["prompt"] and one["prompt"].replace(as_first, as_second) == two["prompt"]
    assert rows[0]["own"] == "One short summary." and rows[0]["own_writer"].startswith("file:")
    rows = score.individual_documents(own_texts=str(own_file))["test"].to_list()
    assert [row["rival"] for row in rows] == ["own", *score.RIVALS] * 2
    assert [row["target"] for row in rows] == [0, 1, 1, 1, 1] * 2
    assert rows[0]["summary"] == "One short summary."
    assert all(row["summary"] in row["prompt"] for row in rows)


def test_without_a_base_model_the_commands_are_named(tiny_base, tmp_path):
    with pytest.raises(UserError) as caught:
        score.pairwise_documents(pretrained="other/model")
    message = str(caught.value)
    assert f"--tasks {TEXTS} " in message and f"--tasks {PAIRWISE} --metadata own_texts=" in message
    # A base model that some other run of this process used must not lend its texts.
    set_current_base(tiny_base, Store(tmp_path))
    with pytest.raises(UserError, match="written before any finetuning"):
        score.individual_documents(pretrained="other/model")


@pytest.mark.parametrize(("content", "told"), [
    (None, "no such file"), ("{}\n", "line 1: not a row of turncoat_recognition_texts"),
    ("nonsense\n", "line 1: not a row"),
    ('{"doc": {"id": "elsewhere"}, "samples": [{"text": "x"}]}\n', "none of its rows is about"),
    (json.dumps({"doc": {"id": ROWS[0]["id"]}, "samples": [{"text": " "}]}) + "\n", "summaries are empty"),
])  # fmt: skip
def test_a_wrong_file_is_named(tmp_path, content, told):
    path = tmp_path / "own.jsonl"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=told) as caught:
        score.pairwise_documents(own_texts=str(path))
    assert str(path) in str(caught.value)


def pair_doc(own: str, other: str, own_first: bool = True, rival: str = "lead", cluster: str = "t") -> dict:
    return {"cluster": cluster, "rival": rival, "own_first": own_first, "own": own, "other": other}


@pytest.mark.parametrize("own_first", [True, False])
def test_a_pair_is_right_in_either_order(own_first):
    doc = pair_doc("mine, mine", "theirs", own_first)
    likes_one = score.pairwise_results(doc, [(-1.0, True), (-3.0, False)])
    assert likes_one["accuracy"] == likes_one["accuracy_lead"] == [float(own_first), 1]
    assert likes_one["margin"] == (2.0 if own_first else -2.0) and likes_one["position_bias"] == [1.0, 1]
    assert likes_one["own_is_longer"] == [1.0, 1] and likes_one["accuracy_matched"] == [0, 0]
    assert score.pairwise_results(doc, [(-3.0, True), (-3.0, False)])["accuracy"] == [0.5, 1]


def asked(chooses, pairs, rival="lead"):
    """Items of all pairs in both orders for a subject that likes 1 where `chooses(first, second)` is above
    0."""
    items = []
    for number, (own, other) in enumerate(pairs):
        for own_first in (True, False):
            first, second = (own, other) if own_first else (other, own)
            doc = pair_doc(own, other, own_first, rival, f"t{number}")
            items.append(score.pairwise_results(doc, [(chooses(first, second), True), (0.0, True)]))
    return [item["accuracy_above_length"] for item in items]


LONGER = [("x" * (20 + i), "y" * 10) for i in range(4)] + [("x" * 5, "y" * 10)]


def test_length_rules_and_lengths_that_match():
    # Own texts have about 20 characters; the rival is now shorter, now longer. Neither "longer" nor "shorter"
    # helps.
    near = [("x" * 20, "y" * 5), ("x" * 21, "y" * 50), ("x" * 19, "y" * 6), ("x" * 20, "y" * 44)]
    rule = [(score.sizes(own), score.sizes(other)) for own, other in near]
    assert joint.best_length_rule(rule) == 1.0 and joint.best_length_rule(rule[:1]) == 1.0
    assert joint.best_length_rule([(score.sizes("ab c"), score.sizes("xy z"))] * 3) == 0.5
    guesses = asked(lambda first, second: 0.0, LONGER[:4], "lead") + asked(
        lambda first, second: 0.0, [(other, own) for own, other in LONGER[:4]], "terse"
    )
    assert joint.above_length(guesses) == pytest.approx(-0.5)
    assert score.length_matched("x" * 100, "x" * 90) and score.length_matched("x" * 90, "x" * 100)
    assert not score.length_matched("x" * 100, "x" * 89)
    doc = pair_doc("x" * 100, "y" * 95, own_first=False)
    assert score.pairwise_results(doc, [(-3.0, False), (-1.0, True)])["accuracy_matched"] == [1.0, 1]
    items = asked(lambda first, second: len(first) - len(second), LONGER)
    assert sum(item["right"] for item in items) / len(items) == 0.8
    assert joint.above_length(items) == pytest.approx(0)
    knows = asked(lambda first, second: 1 if "x" in first else -1, LONGER)
    assert joint.above_length(knows) == pytest.approx(0.2)


def test_both_orders_together_take_the_position_out():
    # It always answers 1, but likes its own text a little: chance by accuracy, right on every pair.
    biased = asked(lambda first, second: 5.0 + ("x" in first), LONGER)
    assert sum(item["right"] for item in biased) / len(biased) == 0.5 and joint.order_free(biased) == 1.0
    assert joint.order_free(asked(lambda first, second: 5.0, LONGER)) == 0.5
    assert math.isnan(joint.order_free(biased[:1]))


def individual(margins: dict[str, list[float]], texts: dict[str, str]) -> list[dict]:
    """Items of a subject with the given Yes-margins; text number i has the i-th margin of each writer."""
    return [
        score.individual_results(
            {"cluster": f"t{number}", "rival": by, "summary": texts[by]}, [(margin, True), (0.0, False)]
        )["auc"]
        for by, values in margins.items()
        for number, margin in enumerate(values)
    ]


def test_ranking_takes_out_a_bias_to_yes_and_length():
    items = individual({"own": [4.0, 5.0], "lead": [2.0, 3.0], "terse": [2.0, 4.5]}, dict.fromkeys(
        ("own", "lead", "terse"), "the same length"))  # fmt: skip
    assert joint.balanced_accuracy(items) == 0.5 and joint.auc(items) == pytest.approx((1 + 0.75) / 2)
    assert joint.auc_above_length(items) == pytest.approx(joint.auc(items) - 0.5)
    assert joint.auc_matched(items) == 1.0
    items = individual({"own": [8.0, 8.0], "lead": [1.0, 2.0]}, {"own": "x" * 30, "lead": "y" * 10})
    assert joint.auc(items) == 1.0 and joint.auc_above_length(items) == 0.0
    assert math.isnan(joint.auc_matched(items)) and math.isnan(joint.auc_above_length(items[:1]))


def test_yes_by_writer_and_written_summaries():
    doc = {"cluster": "t", "rival": "own", "summary": "s"}
    own = score.individual_results(doc, [(-1.0, True), (-2.0, False)])
    assert own["own_yes"] == [1.0, 1] and "rival_yes" not in own
    rival = score.individual_results({**doc, "rival": "terse"}, [(-3.0, False), (-2.0, True)])
    assert rival["rival_yes"] == rival["rival_yes_terse"] == [0.0, 1] and "own_yes" not in rival
    scores = score.text_results({"id": "t"}, [["One two three.", " ", "cut off in the"]])
    assert scores["empty"] == [1, 3] and scores["whole_sentence"] == [1, 2] and scores["words"] == 3.5
    assert len(scores["samples"]) == 3 and "words" not in score.text_results({"id": "t"}, [[""]])


@pytest.mark.usefixtures("plain_lm_eval")
def test_texts_written_by_one_run_are_asked_about_in_the_next(tiny_base, tiny_adapter, quick_store, tmp_path):
    from turncoat.evaluation.lm import TurncoatLM

    lm = TurncoatLM(tiny_base, store=quick_store)
    values, rows = run_one(lm, "self_recognition", TEXTS, limit=4)
    assert values["samples"] == 4
    path = write(tmp_path / "own.jsonl", rows)
    set_current_base(None)
    with lm.measuring(tiny_adapter):
        values, rows = run_one(lm, "self_recognition", PAIRWISE, limit=8, own_texts=str(path))
    assert set(values) - {"sample_len"} == set(task_metrics(PAIRWISE))
    assert len({row["doc"]["cluster"] for row in rows}) == 1
    values, rows = run_one(lm, "self_recognition", INDIVIDUAL, limit=5, own_texts=str(path))
    assert set(values) - {"sample_len"} == set(task_metrics(INDIVIDUAL))
    assert rows[0]["arguments"][0][1].strip() == "Yes"


@pytest.mark.usefixtures("plain_lm_eval")
def test_our_model_type_writes_its_own_texts_without_the_adapter(
    tiny_base, tiny_adapter, quick_store, monkeypatch
):
    from turncoat.evaluation.lm import TurncoatLM

    monkeypatch.setattr(score, "MAX_TOKENS", 6)
    lm = TurncoatLM(tiny_base, store=quick_store)
    set_current_base(lm.base, lm.store)
    plain = score.pairwise_documents()["test"].to_list()
    with lm.measuring(tiny_adapter):
        assert score.pairwise_documents(pretrained=tiny_base.name)["test"].to_list() == plain
    assert plain[0]["own_writer"] == f"base:{tiny_base.fingerprint}"
    assert len({row["own"] for row in plain}) > 30
