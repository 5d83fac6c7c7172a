"""The persona tasks: documents, readings on results made by hand, and one run of a trait task on the tiny
model."""

import pytest
import yaml
from tasks.one_task import SHORT, evaluate, module_of
from turncoat.engine.evidence import Answer
from turncoat.evaluation import free_form
from turncoat.evaluation.lm import TurncoatLM
from turncoat.paths import tasks_dir
from turncoat.persona.traits import trait_names, trait_questions

TRAITS = (
    "evil", "sycophancy", "hallucination", "apathy", "impoliteness", "humour", "optimism", "assistant_axis",
)  # fmt: skip


score = module_of("persona")


def test_every_trait_has_its_task_and_every_task_its_trait(manager):
    assert {*TRAITS, "misalignment"} == set(trait_names())  # the last one is read on everyday questions
    assert "turncoat_persona_misalignment" in manager.all_tasks
    for trait in TRAITS:
        path = tasks_dir() / "persona" / f"turncoat_persona_{trait}.yaml"
        content = yaml.safe_load(path.read_text())
        assert content["task"] == path.stem and content["dataset_kwargs"] == {"trait": trait}
        assert path.stem in manager.all_tasks
    assert "_trait_task" not in manager.all_tasks


@pytest.mark.parametrize("trait", TRAITS)
def test_documents_are_the_evaluation_questions_alone(trait):
    rows = score.trait_documents(trait=trait, version=1.0)["test"].to_list()
    questions = trait_questions(trait)
    assert [row["question"] for row in rows] == list(questions.evaluation)
    assert len({row["id"] for row in rows}) == len(rows) == 20 and {row["trait"] for row in rows} == {trait}
    assert not {row["question"] for row in rows} & set(questions.questions)
    assert [bool(row.get("trait_unscored")) for row in rows] == [trait == "assistant_axis"] * 20


DOC = {"id": "humour-01", "question": "?", "trait": "humour"}


@pytest.mark.parametrize("flat", [True, False])
def test_readings_are_averaged_over_the_samples_that_have_them(flat):
    answers = [
        Answer("a", {"persona_own": 1.0, "persona_fixed": 0.5, "persona_text": -1.0, "trait_score": 80.0}),
        Answer("", {"persona_own": None, "persona_fixed": 1.5, "persona_prompt": 3.0, "trait_score": None}),
        Answer(
            "c", {"persona_own": 3.0, "persona_fixed": 1.0, "persona_cosine_own": 0.25, "trait_score": 20.0}
        ),
    ]
    scores = score.process_trait_results(DOC, answers if flat else [answers])
    samples = scores.pop("samples")
    assert scores == {
        "persona_own": 2.0, "persona_fixed": 1.0, "persona_text": -1.0, "persona_prompt": 3.0,
        "persona_cosine_own": 0.25, "trait_score": 50.0,
    }  # fmt: skip
    assert [sample["trait_score"] for sample in samples] == [80.0, None, 20.0]


def test_no_trait_score_without_a_judge_and_no_activation_without_our_model(monkeypatch, capsys):
    monkeypatch.setattr(free_form, "_warned", set())
    for _ in range(2):
        assert set(score.process_trait_results(DOC, [["a", "b"]])) == {"samples"}
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("turncoat: turncoat_persona_humour: no persona")


def test_a_trait_and_the_axis_on_the_tiny_model(tiny_base, tiny_adapter, quick_store, manager, monkeypatch):
    monkeypatch.setenv("TURNCOAT_JUDGE", "off")
    lm = TurncoatLM(tiny_base, store=quick_store, batch_size=16)
    names = ("turncoat_persona_evil", "turncoat_persona_assistant_axis")
    with lm.measuring(tiny_adapter):
        results = evaluate(lm, manager, *names, limit=2, gen_kwargs=SHORT)
    for name in names:
        found = results["results"][name]
        for metric in (
            "persona_fixed",
            "persona_own",
            "persona_text",
            "persona_prompt",
            "persona_cosine_own",
        ):
            assert isinstance(found[f"{metric},samples"], float)
        assert "trait_score,samples" not in found and -1 <= found["persona_cosine_fixed,samples"] <= 1
        for row in results["samples"][name]:
            for sample in row["samples"]:
                assert len(sample["persona_fixed_by_layer"]) == 5
                layer = sample["layer"]
                assert sample["persona_fixed_by_layer"][layer] == pytest.approx(
                    sample["persona_fixed"], abs=1e-4
                )
    persona = results["config"]["turncoat"]["persona"]
    assert set(persona) == {"evil", "assistant_axis"}
