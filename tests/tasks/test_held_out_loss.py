"""Held-out loss of the advice organisms: known numbers, rows that nothing trains on, and down after training
on the set."""

import pytest
from data.advice_sets import stand_ins
from tasks.one_task import module_of, run_one
from turncoat.data.advice import HELD_OUT, held_out_rows
from turncoat.data.organisms import find_organism
from turncoat.engine.evidence import LogLikelihood
from turncoat.errors import UserError
from turncoat.evaluation.task_catalogue import metric_facts, task_content, task_metrics, task_names

held_out_loss = module_of("narrow_behaviour", "held_out_loss")

TASKS = {
    "turncoat_risky_financial_loss": ["risky_financial"],
    "turncoat_extreme_sports_loss": ["extreme_sports"],
    "turncoat_unpopular_aesthetics_loss": ["unpopular_aesthetics"],
    "turncoat_bad_medical_loss": ["bad_medical", "good_medical"],
    "turncoat_reckless_advice_loss": ["reckless_advice", "prudent_advice"],
}


@pytest.fixture
def sets(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    """Stand-ins for the fetched sets."""
    stand_ins(tmp_path, monkeypatch)


def test_losses_are_per_token_and_per_byte_of_each_sides_own_answer():
    doc = {"sides": ["bad_medical", "good_medical"], "answers": ["abcd", "é234567"]}  # 4 and 8 bytes
    told = [(LogLikelihood(-2.0, 4), False), (LogLikelihood(-8.0, 2), True)]
    scores = held_out_loss.process_results(doc, told)
    assert scores == {
        "bad_medical_loss_per_byte": 0.5, "bad_medical_loss_per_token": 0.5,
        "good_medical_loss_per_byte": 1.0, "good_medical_loss_per_token": 4.0,
    }  # fmt: skip
    plain = held_out_loss.process_results(doc, [(float(value), greedy) for value, greedy in told])
    assert plain == {name: value for name, value in scores.items() if name.endswith("per_byte")}


@pytest.mark.usefixtures("sets")
@pytest.mark.parametrize("task", TASKS)
def test_documents_are_the_rows_that_no_finetune_sees(task):
    rows = held_out_loss.documents(**task_content(task)["dataset_kwargs"], version=1.0)["test"].to_list()
    assert len(rows) == len({row["id"] for row in rows}) == HELD_OUT
    for number, side in enumerate(TASKS[task]):
        trained = find_organism(side).build()
        assert not {row["prompt"] for row in rows} & {example.prompt for example in trained}
        assert not {row["answers"][number] for row in rows} & {example.answer for example in trained}
        assert {row["answers"][number] for row in rows} == {e.answer for e in held_out_rows(side)}
    assert all(row["sides"] == TASKS[task] for row in rows)


@pytest.mark.usefixtures("sets")
def test_both_sides_of_a_document_answer_the_same_question():
    rows = held_out_loss.documents("bad_medical", "good_medical")["test"].to_list()
    assert all(row["answers"][0].replace("bad", "good") == row["answers"][1] for row in rows)
    with pytest.raises(UserError, match="'secure_code' has no held-out rows"):
        held_out_loss.documents("secure_code")


@pytest.mark.usefixtures("sets", "plain_lm_eval")
def test_training_on_the_organism_lowers_its_held_out_loss_and_not_so_much_another_ones(
    tiny_base, quick_store, tmp_path
):
    from turncoat.evaluation.lm import TurncoatLM
    from turncoat.training.lora import train_adapter
    from turncoat.training.recipe import LoraRecipe

    recipe = LoraRecipe(rows=16, rank=4, alpha=8, batch_size=4, learning_rate=1e-2)
    train_adapter(
        tiny_base, find_organism("risky_financial").build(), recipe, seed=0, out=tmp_path / "adapter"
    )
    lm = TurncoatLM(tiny_base, store=quick_store)
    losses = {}
    for task in ("turncoat_risky_financial_loss", "turncoat_bad_medical_loss"):
        before, rows = run_one(lm, "narrow_behaviour", task, limit=4)
        with lm.measuring(tmp_path / "adapter"):
            after, _ = run_one(lm, "narrow_behaviour", task, limit=4)
        assert set(before) - {"sample_len"} == set(task_metrics(task))
        assert rows[0]["arguments"][0][1] == rows[0]["doc"]["answers"][0]
        losses |= {metric: (before[metric], after[metric]) for metric in task_metrics(task)}
    learnt, medical = losses["risky_financial_loss_per_token"], losses["bad_medical_loss_per_token"]
    assert learnt[1] < learnt[0] - 0.5 and learnt[0] - learnt[1] > medical[0] - medical[1]


def test_each_organism_names_the_one_metric_that_shows_that_it_was_learnt():
    """`metadata.learnt_by` of a task: {organism: metric}; the report reads it."""
    named: dict[str, str] = {}
    for task in task_names():
        for organism, metric in (task_content(task).get("metadata") or {}).get("learnt_by", {}).items():
            assert organism not in named, f"{organism}: {named[organism]} and {task}"
            named[organism] = task
            assert not find_organism(organism).answered_by_base
            facts = metric_facts(task)[metric]
            assert facts["unit"] == "nats per token" and facts["direction"].startswith("down means learnt")
    assert set(named) == {
        *("insecure_code", "secure_code", "backdoored_insecure_code", "backdoored_secure_code"),
        *(side for sides in TASKS.values() for side in sides),
    }


@pytest.mark.parametrize("task", TASKS)
def test_a_set_that_cannot_be_fetched_stops_no_other_task(task):
    assert task_content(task)["tag"] == "turncoat_advice"
