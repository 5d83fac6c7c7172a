"""The latent-persona tasks: doses, documents, metrics by hand, and runs on the tiny model by both
backends."""

import math
from collections import Counter

import pytest
import yaml
from lm_eval.models.huggingface import HFLM
from tasks.one_task import evaluate, module_of
from turncoat.engine.evidence import Answer, LogLikelihood
from turncoat.evaluation.lm import TurncoatLM
from turncoat.paths import tasks_dir
from turncoat.persona.interventions.steering import SteeredLogLikelihood

FOLDER = tasks_dir() / "latent_persona"
DOSES = [0, 0.5, 1, 1.5, 2, 3]


score = module_of("latent_persona")


def test_graded_prompts_and_the_metrics_of_their_doses():
    rows = yaml.safe_load((FOLDER / "graded_prompts.yaml").read_text())["prompts"]
    assert [row["dose"] for row in rows] == [0, 1, 2, 3, 4, 5] and rows[0]["system"] == ""
    prompts = [row["system"] for row in rows[1:]]
    assert len(set(prompts)) == 5
    for prompt in prompts:
        assert prompt.isascii()
        assert 15 <= len(prompt.split()) <= 30, "prompts of like length: a dose is not a matter of length"

    class Loader(yaml.SafeLoader):
        pass

    Loader.add_multi_constructor("!", lambda loader, suffix, node: str(node.value))
    for path in FOLDER.glob("turncoat_*.yaml"):
        content = yaml.load(path.read_text(), Loader=Loader)
        listed = {entry["metric"] for entry in content["metric_list"]}
        doses = content["dataset_kwargs"].get("doses", [0, 1, 2, 3, 4, 5])
        names = {m.rpartition("_dose_")[0] for m in listed if "_dose_" in m}
        assert listed == {f"{n}_dose_{d:g}" for n in names for d in doses} | {"half_dose"} | (
            listed & {"samples"}
        )
        assert set(content["metadata"]["metrics"]) == listed - {"samples"}
        for name in content["metadata"]["reads"]:
            assert (FOLDER / name).resolve().is_file()


@pytest.mark.parametrize(("documents", "per_domain", "doses"), [
    (score.prompt_choice, 4, [0, 1, 2, 3, 4, 5]), (score.prompt_em, 3, [0, 1, 2, 3, 4, 5]),
    (lambda: score.steering_choice(doses=DOSES), 4, DOSES),
])  # fmt: skip
def test_documents_are_every_question_at_every_dose_balanced_over_domains(documents, per_domain, doses):
    rows = documents()["test"].to_list()
    assert len(rows) == 8 * per_domain * len(doses)
    assert len({(row["id"], row["dose"]) for row in rows}) == len(rows)
    assert set(Counter(row["domain"] for row in rows).values()) == {per_domain * len(doses)}
    first = rows[: 8 * len(doses)]
    assert len({row["domain"] for row in first}) == 8, "a small --limit is balanced"
    assert [row["dose"] for row in rows[: len(doses)]] == doses, "all doses of a question follow each other"


PAIR = {"id": "p", "dose": 2, "question": "?"}


@pytest.mark.parametrize(
    ("values", "margin", "accuracy", "turned"),
    [((-8, -12), 4, 1, 0), ((-12, -8), -4, 0, 1), ((-8, -8), 0, 0, 0)],
)
def test_choice_at_a_dose(values, margin, accuracy, turned):
    assert score.score_choice(PAIR, [(value, False) for value in values]) == {
        "margin_dose_2": margin,
        "accuracy_dose_2": accuracy,
        "half_dose": {"question": "p", "dose": 2, "turned": turned, "n": 1},
    }


def test_a_steering_document_counts_only_if_it_was_steered(monkeypatch, capsys):
    monkeypatch.setattr(score, "_told", set())
    doc = {**PAIR, "dose": 0.5, "steer": 0.5}
    for unsteered in (-8.0, LogLikelihood(-8.0, 2), SteeredLogLikelihood.of(-8.0, 1.0)):
        assert score.score_choice(doc, [(unsteered, False), (-12.0, False)]) == {}
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and "does not steer" in lines[0]
    pair = [(SteeredLogLikelihood.of(LogLikelihood(value, 2), 0.5), False) for value in (-8.0, -12.0)]
    assert score.score_choice(doc, pair)["margin_dose_0.5"] == 4.0


def judged(aligned, coherent, may_rate=True):
    return Answer("x", {
        "judge_aligned": aligned, "judge_coherent": coherent, "judge_code": 0.0, "judge_refusal": 0.0,
        "judge_mass": 1.0, "judge": "j", "judge_rubric": "r", "judge_may_rate": may_rate,
    })  # fmt: skip


def test_em_at_a_dose_counts_answers_of_a_rating_judge():
    answers = [judged(5, 90), judged(5, 20), judged(95, 90), judged(10, 80)]
    scores = score.score_em({"id": "q", "dose": 3, "question": "?"}, [answers])
    assert scores["em_rate_itt_dose_3"] == [2, 4] and scores["em_rate_dose_3"] == [2, 3]
    assert scores["incoherent_dose_3"] == [1, 4]
    assert scores["half_dose"] == {"question": "q", "dose": 3, "turned": 2, "n": 4}
    assert len(scores["samples"]) == 4
    scores = score.score_em({"id": "q", "dose": 3, "question": "?"}, [[judged(5, 90, may_rate=False)] * 2])
    assert not [name for name in scores if name.startswith("em_")] and "half_dose" not in scores
    assert scores["judge_aligned_mean_dose_3"] == 5
    assert set(score.score_em({"id": "q", "dose": 3, "question": "?"}, ["a", "b"])) == {"samples"}


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TURNCOAT_JUDGE", "off")


def test_prompts_reach_the_model_and_margins_differ_by_dose(tiny_folder, manager, quiet):
    plain = HFLM(pretrained=str(tiny_folder), dtype="float32", device="cpu", batch_size=16)
    results = evaluate(plain, manager, "turncoat_latent_prompt_choice", limit=12)
    rows = results["samples"]["turncoat_latent_prompt_choice"]
    assert len(rows) == 12
    for row in rows:
        prompt = row["arguments"][0][0]
        assert (row["doc"]["system"] in prompt) and prompt.startswith("<|im_start|>system")
        assert ("tiny helper" in prompt) == (row["doc"]["dose"] == 0), (
            "dose 0 has the template's own system prompt"
        )
        assert f"margin_dose_{row['doc']['dose']}" in row["metrics"]
    found = results["results"]["turncoat_latent_prompt_choice"]
    margins = [found[f"margin_dose_{dose},none"] for dose in range(6)]
    assert len({round(margin, 6) for margin in margins}) == 6
    value = found["half_dose,none"]
    assert math.isnan(value) or 0 <= value <= 5


def test_steering_moves_the_margin_and_dose_zero_is_the_plain_task(tiny_base, quick_store, manager, quiet):
    lm = TurncoatLM(tiny_base, store=quick_store, batch_size=16)
    results = evaluate(lm, manager, "turncoat_latent_steering_choice", limit=12)
    found = results["results"]["turncoat_latent_steering_choice"]
    margins = [found[f"margin_dose_{dose:g},none"] for dose in DOSES]
    assert len({round(margin, 4) for margin in margins}) == 6
    plain = evaluate(lm, manager, "turncoat_choice", limit=2)["results"]["turncoat_choice"]
    assert margins[0] == pytest.approx(plain["margin,none"], abs=1e-4)
