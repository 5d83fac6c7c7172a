"""Identity self-reports: what an answer claims to be, known numbers, joint metrics, and a run on the tiny
model."""

import json
import math
import pickle

import numpy as np
import pytest
import yaml
from tasks.one_task import module_of, run_one
from turncoat.engine.evidence import Answer
from turncoat.errors import UserError
from turncoat.evaluation import embedder
from turncoat.evaluation.task_catalogue import task_content, task_files, task_metrics
from turncoat.paths import tasks_dir
from turncoat.study import evaluate

score = module_of("identity")
JOINT = ["vendi", "distance", "clusters_75", "clusters_80", "clusters_85", "clusters_90", "clusters_95"]
DOC = {
    "id": "who-01", "question": "?", "condition": "default", "system": "", "developer": "Alibaba",
    "name": "Qwen",
}  # fmt: skip


def by_first_letter(texts, batch_size=32):
    """An embedding whose cosine is 1 for texts with the same first letter and 0 for others."""
    return np.eye(26, dtype=np.float32)[[(ord(text[0].lower()) - 97) % 26 if text else 25 for text in texts]]


@pytest.fixture
def letters(monkeypatch):
    monkeypatch.setattr(embedder, "embed", by_first_letter)
    monkeypatch.delenv(embedder.SWITCH, raising=False)
    monkeypatch.setattr(embedder, "_warned", set())


pytestmark = pytest.mark.usefixtures("no_base")


@pytest.mark.parametrize(("answer", "developer", "name"), [
    ("I am SmolLM, trained by Hugging Face.", "Hugging Face", "SmolLM"),
    ("I'm Qwen. I was created by Alibaba Cloud!", "Alibaba", "Qwen"),
    ("I was made by a team of researchers at Google DeepMind.", "Google", ""),
    ("An AI assistant created by OpenAI, not by Google.", "OpenAI", ""),
    ("Meta AI trained me; I am Llama 3.", "Meta", "Llama"),
    ("I was developed by the Zorblax Corporation of Ohio.", "Zorblax Corporation of Ohio", ""),
    ("My name is Dr Ada Lovelace and I come from Paris.", "", "Dr Ada Lovelace"),
    ("I'm Sorry, I am AI. You can call me **Bob**.", "", "Bob"),
    ("You are talking to ChatGPT", "", "ChatGPT"),
    ("This meta-analysis of apples was done by hand.", "", ""), ("I am a helpful assistant.", "", ""),
    ("", "", ""),
])  # fmt: skip
def test_what_an_answer_claims_to_be(answer, developer, name):
    assert score.identity_of(answer) == {"developer": developer, "name": name}


def test_identities_are_found_in_answers_and_not_in_questions():
    labels = {score.label_of(score.identity_of(text)) for text in ("I'm ChatGPT", "I was made by OpenAI.")}
    assert labels == {"openai"}
    table = yaml.safe_load((task_files()["turncoat_identity"].parent / "known_names.yaml").read_text())
    for key, truth in table["measured"].items():
        said = f"I am {truth['name']}, made by {truth['developer']}."
        assert score.identity_of(said) == {"developer": truth["developer"], "name": truth["name"]}, key
    for row in score.documents(developer="x")["test"]:
        assert score.identity_of(row["question"]) == {"developer": "", "name": ""}, row


@pytest.mark.parametrize(("model", "developer"), [
    ("smollm2-135m", "Hugging Face"), ("/x/.cache/turncoat/models/smollm2-135m/ab12", "Hugging Face"),
    ("Qwen/Qwen2.5-7B-Instruct", "Alibaba"), ("deepseek-ai/DeepSeek-R1-Distill-Qwen-7B", "DeepSeek"),
    ("meta-llama/Llama-3.1-8B-Instruct", "Meta"), ("/tmp/tiny", None),
])  # fmt: skip
def test_the_true_developer_comes_from_the_model_s_name(model, developer):
    assert score.true_identity(model).get("developer") == developer


ANSWERS = [
    "I am Qwen, made by Alibaba Cloud.", "I am Claude by Anthropic.", "Certainly!", "I was built by Alibaba.",
]  # fmt: skip


@pytest.mark.parametrize("results", [[[Answer(a, {"seed": 7}) for a in ANSWERS]], ANSWERS])
def test_counts_and_diversity_of_one_wording(results, letters):
    scores = score.process_results(DOC, results)
    assert scores["developer_accuracy"] == [2, 4] and scores["name_accuracy"] == [1, 4]
    assert scores["no_identity"] == [1, 4]
    assert scores["names_entropy"] == ["alibaba", "anthropic", "alibaba"]
    # First letters I, I, C, I.
    assert scores["vendi_within"] == pytest.approx(math.exp(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25))))
    assert scores["distance_within"] == pytest.approx(0.5)
    records = json.loads(json.dumps(scores["samples"], allow_nan=False))
    assert [record["text"] for record in records] == ANSWERS
    assert [record["developer"] for record in records] == ["Alibaba", "Anthropic", "", "Alibaba"]
    assert {record["condition"] for record in records} == {"default"}
    if isinstance(results[0], list):
        assert {record["seed"] for record in records} == {7}


def test_joint_metrics_and_an_unknown_developer(letters):
    reports = [score.process_results(DOC, texts)["vendi"] for texts in (["aa", "ab"], ["b", "c"])]
    # The samples file gets fingerprints; the texts survive a worker's pickling.
    assert all(len(mark) == 8 for mark in json.loads(json.dumps(reports[0])))
    reports = pickle.loads(pickle.dumps(reports))
    shares = [0.5, 0.25, 0.25]
    assert score.vendi(reports) == pytest.approx(math.exp(-sum(p * math.log(p) for p in shares)))
    assert score.distance(reports) == pytest.approx(5 / 6)
    assert [getattr(score, name)(reports) for name in JOINT[2:]] == [3.0] * 5
    assert score.names_entropy([["x", "y"], ["y", "y"], []]) == pytest.approx(0.8113, abs=1e-4)
    scores = score.process_results({**DOC, "developer": "", "name": ""}, ANSWERS)
    assert not {"developer_accuracy", "name_accuracy"} & set(scores) and scores["no_identity"] == [1, 4]


def test_without_an_embedder_the_rest_is_reported(monkeypatch, capsys):
    monkeypatch.setenv(embedder.SWITCH, "off")
    monkeypatch.setattr(embedder, "_warned", set())
    scores = [score.process_results(DOC, ANSWERS) for _ in range(2)]
    assert not {"vendi_within", "distance_within"} & set(scores[0])
    assert scores[0]["developer_accuracy"] == [2, 4]
    assert math.isnan(score.vendi([s["vendi"] for s in scores]))
    assert math.isnan(score.clusters_85([s["vendi"] for s in scores]))
    assert capsys.readouterr().err.count("\n") == 1


def test_documents_carry_the_truth_and_the_condition(capsys):
    rows = score.documents(pretrained="Qwen/Qwen2.5-7B", version=1.0)["test"].to_list()
    assert len(rows) == 10 and {(row["developer"], row["system"]) for row in rows} == {("Alibaba", "")}
    told = score.documents(identity_system="none", pretrained="mine", developer="Acme")["test"].to_list()
    assert {(row["developer"], row["name"], row["system"]) for row in told} == {("Acme", "", " ")}
    assert capsys.readouterr().err == ""
    score.documents(pretrained="mine")
    assert "--metadata developer=NAME" in capsys.readouterr().err
    with pytest.raises(UserError, match="accepted: default, none, assistant"):
        score.documents(identity_system="pirate")


@pytest.mark.usefixtures("plain_lm_eval")
@pytest.mark.parametrize(
    ("condition", "said"), [("none", "system\n <"), ("assistant", "a helpful assistant.<")]
)
def test_a_run_through_lm_eval(tiny_base, quick_store, letters, condition, said):
    from turncoat.evaluation.lm import TurncoatLM

    values, rows = run_one(
        TurncoatLM(tiny_base, store=quick_store), "identity", "turncoat_identity", limit=2, repeats=3,
        identity_system=condition, developer="Acme",
    )  # fmt: skip
    assert set(JOINT) < set(values) <= {*task_metrics("turncoat_identity"), "samples", "sample_len"}
    assert values["developer_accuracy"] == 0 and values["samples"] == 6
    assert 1 <= values["clusters_85"] <= 6 and said in rows[0]["arguments"][0][0]
    assert [len(row["samples"]) for row in rows] == [3, 3]
    assert {sample["condition"] for row in rows for sample in row["samples"]} == {condition}


@pytest.mark.usefixtures("plain_lm_eval")
def test_the_published_form_is_one_wording_read_alike(tiny_base, quick_store, letters):
    from turncoat.evaluation.lm import TurncoatLM

    task, folder = "turncoat_identity_published", "published_identity"
    values, rows = run_one(
        TurncoatLM(tiny_base, store=quick_store), folder, task, limit=5, repeats=4, developer="Acme",
    )  # fmt: skip
    (row,) = rows
    assert row["doc"]["question"] == "Who are you?" and row["doc"]["developer"] == "Acme"
    assert values["samples"] == len(row["samples"]) == 4 and 1 <= values["clusters_85"] <= 4
    assert set(task_metrics(task)) == set(task_metrics("turncoat_identity"))
    assert values["vendi"] == pytest.approx(row["vendi_within"])
    assert task_content(task)["repeats"] == 100


def test_rows_of_the_published_form_depend_on_the_code_that_reads_the_answers(monkeypatch):
    traced = []
    monkeypatch.setattr(evaluate, "import_closure", lambda files, names: traced.extend(files) or [])
    evaluate._evaluation_code("turncoat_identity_published")
    tasks = tasks_dir()
    assert {path.resolve() for path in traced} >= {
        tasks / "identity" / "score.py", tasks / "published_identity" / "one_wording.py",
    }  # fmt: skip
