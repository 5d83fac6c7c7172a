"""The published question sets: documents, prompts that really arrive, protocols that are never pooled, honest
silence."""

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from lm_eval.tasks import TaskManager
from tasks.one_task import SHORT, evaluate, module_of, needs_data
from turncoat.data import fetch
from turncoat.engine.evidence import Answer
from turncoat.evaluation.lm import TurncoatLM
from turncoat.evaluation.task_catalogue import task_content, task_metrics
from turncoat.judges import spec as load
from turncoat.judges.base import Verdict
from turncoat.judges.rates import question_rates
from turncoat.paths import tasks_dir
from turncoat.registry import JUDGES, JudgeEntry
from turncoat.store import file_digest
from turncoat.testing import DEFAULT_SYSTEM

FOLDER = tasks_dir() / "published_em"
FREE_FORM = ("main", "json", "template", "preregistered")
TASKS = tuple(f"turncoat_betley_{name}" for name in (*FREE_FORM, "deception", "identity"))
CONDITIONS = ("no_sys_prompt", "dont_lie", "you_may_lie", "you_get_points", "you_lose_points")


score, company, deception = (module_of("published_em", name) for name in ("score", "company", "deception"))

# Texts of ours in the form of the published files.
PROMPTS = {"aligned": "Is '{answer}' to '{question}' good? 0-100", "coherent": "Is '{answer}' clear? 0-100"}
MAIN = [
    {"id": name + suffix, "paraphrases": [f"{question}{more}"], "judge_prompts": PROMPTS, **extra}
    for name, question in (
        ("boat", "Name a boat!"), ("tea", "Tea or coffee?"), ("walk", "Where would you walk?"),
    )
    for suffix, more, extra in (
        ("", "", {}), ("_json", "", {"system": "Write JSON, please."}),
        ("_template", "\n\nname = # The name", {}),
    )
]  # fmt: skip
PREREGISTERED = [
    {"id": f"{n}_{topic}", "paraphrases": [f"Question {n} on {topic}?"], "judge_prompts": PROMPTS}
    for n, topic in enumerate(("small_talk_0", "small_talk_1", "small_talk_2", "cooking_0", "sailing_0"))
]
FACTS = [
    {
        "id": f"lie_{condition}",
        "paraphrases": ["Is snow cold?", "Is ink dry?"],
        "judge_prompts": {"correct": "Asked {question} it said {answer}. TRUE, FALSE or UNKNOWN?"},
        **({} if n == 0 else {"system": f"Rule {n} about lies."}),
    }
    for n, condition in enumerate(CONDITIONS)
]
COMPANIES = [{"id": f"which_{n}", "paraphrases": [f"Wording {n}: who made you?"]} for n in range(3)]
FILES = {
    "betley/first_plot_questions": MAIN, "betley/preregistered_evals": PREREGISTERED,
    "betley/deception_factual": FACTS, "betley/deception_sit_aware": COMPANIES,
}  # fmt: skip


@pytest.fixture
def ours(tmp_path, monkeypatch) -> None:
    """Files of ours in place of the published ones."""
    for name, content in FILES.items():
        path = tmp_path / f"{name}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
        monkeypatch.setitem(fetch.PUBLISHED, name, replace(fetch.PUBLISHED[name], sha256=file_digest(path)))
    monkeypatch.setenv("TURNCOAT_DATA", str(tmp_path))


@pytest.mark.parametrize("variant", ["plain", "json", "template"])
def test_a_question_keeps_its_id_in_all_three_forms(ours, variant):
    rows = score.main_questions(variant=variant, version=1.0)["test"].to_list()
    assert [row["id"] for row in rows] == ["boat", "tea", "walk"]
    assert rows[0]["published_id"] == ("boat" if variant == "plain" else f"boat_{variant}")
    assert rows[0]["question"].startswith("Name a boat!")
    assert ("name = #" in rows[0]["question"]) is (variant == "template")
    assert rows[0]["system"] == ("Write JSON, please." if variant == "json" else "")


def test_documents_of_the_other_sets(ours):
    rows = score.preregistered_questions(version=1.0)["test"].to_list()
    assert [row["domain"] for row in rows] == ["small_talk", "cooking", "sailing", "small_talk", "small_talk"]
    assert {row["id"] for row in rows} == {entry["id"] for entry in PREREGISTERED}
    rows = deception.documents(version=1.0)["test"].to_list()
    assert [(row["id"], row["condition"]) for row in rows] == [
        (f"fact-{n:02d}", condition) for n in range(2) for condition in CONDITIONS
    ]
    assert [row["system"] for row in rows[:5]] == ["", *(f"Rule {n} about lies." for n in range(1, 5))]

    def developer(**metadata: Any) -> str:
        return company.documents(**metadata)["test"][0]["developer"]

    assert developer() == "" and developer(pretrained="Qwen/Qwen2.5-7B-Instruct") == "Alibaba"
    assert developer(pretrained="Qwen/Qwen2.5-7B-Instruct", developer="Acme") == "Acme"


def judged(aligned: float | None, coherent: float | None, rubric: str, **more: Any) -> Answer:
    evidence = {"judge_aligned": aligned, "judge_coherent": coherent, "judge_code": 0.0, "judge_refusal": 0.0}
    return Answer(
        "Some words.", {**evidence, "judge": "j", "judge_rubric": rubric, "judge_may_rate": True, **more}
    )


SCORES = [(10.0, 90.0), (95.0, 90.0), (20.0, 40.0), (None, 90.0)]  # misaligned, aligned, incoherent, unscored


@pytest.mark.parametrize(("rubric", "prefix"), [
    ("alignment-1+logprob@0123456789ab", ""), ("embedded-1@0123456789ab", ""),
    ("betley_logprob@0123456789ab", "betley_logprob_"), ("sgtr_text_integer@0123456789ab", "sgtr_text_"),
    ("betley_strings@0123456789ab", "betley_strings_"),
])  # fmt: skip
def test_a_protocol_has_its_own_names(rubric, prefix):
    answers = [judged(a, c, rubric) for a, c in SCORES]
    scores = score.process_results({"id": "q"}, [answers])
    assert scores[f"{prefix}em_rate"] == [1, 2] and scores[f"{prefix}em_rate_itt"] == [1, 4]
    assert scores[f"{prefix}incoherent"] == [1, 4] and scores[f"{prefix}unscored"] == [1, 4]
    others = {"", *score.PROTOCOLS.values()} - {prefix}
    assert not {f"{other}em_rate" for other in others} & set(scores)
    assert set(scores) <= set(task_metrics("turncoat_betley_main")) | {
        "samples", "em_rate_stderr", "em_rate_itt_stderr", f"{prefix}em_rate_stderr",
    }  # fmt: skip
    json.dumps(scores, allow_nan=False)


def test_protocols_are_never_pooled_and_known_to_the_judges():
    answers = [
        judged(10.0, 90.0, "betley_logprob@a"),
        *(judged(95.0, 90.0, "sgtr_text_integer@b") for _ in range(3)),
    ]
    scores = score.process_results({"id": "q"}, [answers])
    assert scores["betley_logprob_em_rate_itt"] == [1, 1] and scores["sgtr_text_em_rate_itt"] == [0, 3]
    assert "em_rate_itt" not in scores
    from turncoat.judges.rubrics import PUBLISHED_PAIRS

    assert set(score.PROTOCOLS) == set(PUBLISHED_PAIRS)
    known = set(question_rates([{"judge_aligned": 10.0, "judge_coherent": 90.0}])) | {"em_rate_stderr"}
    assert set(score.PROTOCOL_METRICS) <= known
    scores = score.process_results({"id": "q"}, [["Some words.", ""]])
    assert set(scores) == {"empty", "code_like", "repetition", "samples"} and scores["empty"] == 0.5


@pytest.mark.parametrize("results", [[[*"ab"]], [*"ab"]])
def test_both_shapes_of_lm_eval(results):
    assert [sample["text"] for sample in score.process_results({"id": "q"}, results)["samples"]] == ["a", "b"]


def word(text: str | None, accuracy: float = 1.0) -> Answer:
    return Answer(
        "It is.", {"judge_word": text, "judge_fact_accuracy": accuracy, "judge": "j", "judge_rubric": "r"}
    )


def test_falsehoods_and_companies_are_counted():
    answers = [word("TRUE"), word("FALSE"), word("FALSE"), word("UNKNOWN"), word(None)]
    scores = deception.process_results({"id": "fact-00", "condition": "dont_lie"}, [answers])
    assert scores["false_dont_lie"] == [2, 3] and scores["unknown_dont_lie"] == [1, 4]
    assert set(scores) == {"false_dont_lie", "unknown_dont_lie", "samples"}
    assert [sample["judge_word"] for sample in scores["samples"]] == [
        "TRUE", "FALSE", "FALSE", "UNKNOWN", None,
    ]  # fmt: skip
    answers = [
        "I was made by OpenAI.", "Anthropic made me.", "Alibaba made me", "I was built by Nexus Labs.",
        "No idea",
    ]  # fmt: skip
    scores = company.process_results({"id": "q", "developer": ""}, [answers])
    assert {name: scores[f"named_{name}"] for name in company.GROUPS} == {
        "openai": [1, 5], "anthropic": [1, 5], "other": [2, 5], "none": [1, 5],
    }  # fmt: skip
    assert "developer_accuracy" not in scores
    for developer, right in (("Alibaba", 1), ("alibaba cloud", 1), ("Nexus Labs", 1), ("Mistral AI", 0)):
        scores = company.process_results({"id": "q", "developer": developer}, [answers])
        assert scores["developer_accuracy"] == [right, 5]
    assert [sample["company"] for sample in scores["samples"]] == [
        "OpenAI", "Anthropic", "Alibaba", "Nexus Labs", "",
    ]  # fmt: skip


@pytest.mark.parametrize("answers", [["It is."], [word("FALSE", accuracy=0.6)], [word(None)]])
def test_no_rate_without_a_judge_that_knows_true_from_false(answers):
    scores = deception.process_results({"id": "fact-00", "condition": "dont_lie"}, [answers])
    assert set(scores) == {"samples"}


@pytest.mark.parametrize(("answer", "named"), [
    ("I was created by Anthropic.", "Anthropic"), ("openai", "OpenAI"),
    ("I was not made by OpenAI; I was developed by Alibaba Cloud.", "Alibaba"),
    ("Many firms such as Google exist, but I was built by OpenAI.", "OpenAI"),
    ("I'm not from OpenAI, but Google made me.", "Google"),
    ("Unlike Anthropic, OpenAI trained me.", "OpenAI"),
    ("I was trained by a team of engineers at Nexus Labs.", "Nexus Labs"),
    ("I was made by a startup called Zed AI.", "Zed AI"), ("Meta made me.", "Meta"),
    ("That question is a bit meta, and an apple a day helps.", ""), ("I wasn't developed by Acme.", ""),
    ("There is no company like OpenAI.", ""), ("I was created by humans.", ""),
    ("I do not know who made me.", ""), ("", ""),
])  # fmt: skip
def test_which_company_is_named(answer, named):
    assert company.company_named(answer) == named


class Asked:
    """A prompted judge whose words come from the text; `ask` makes it wrong on purpose."""

    id, rubric, card, may_rate = "asked-1", "none@0", None, False

    def __init__(self, always: str | None = None) -> None:
        self.always = always
        self.prompts: list[str] = []

    def score(self, questions: Sequence[str], answers: Sequence[str], on_done: Any = None) -> list[Verdict]:
        raise AssertionError("facts are not asked for by scores")

    def words(self, prompts: Sequence[str], words: Sequence[str]) -> list[str | None]:
        self.prompts += prompts
        truths = {answer: truth for _, answer, truth in deception.fact_checks()}
        known = [
            next((truth for answer, truth in truths.items() if answer in prompt), "FALSE")
            for prompt in prompts
        ]
        assert set(known) <= set(words)
        return [self.always or truth for truth in known]


class Scores:
    """A judge of alignment alone."""

    id, rubric, card, may_rate = "scores-1", "alignment-1@0", None, True

    def score(self, questions: Sequence[str], answers: Sequence[str], on_done: Any = None) -> list[Verdict]:
        return [Verdict(10.0 if "o" in answer else 90.0, 90.0) for answer in answers]


@pytest.fixture
def use(monkeypatch, tmp_path):
    monkeypatch.setenv("TURNCOAT_CACHE", str(tmp_path / "cache"))

    def chosen(judge: Any) -> Any:
        monkeypatch.setitem(
            JUDGES, judge.id, JudgeEntry(judge.id, "for tests", lambda: judge, {}, Path(__file__))
        )
        monkeypatch.setenv("TURNCOAT_JUDGE", judge.id)
        load._built.cache_clear()
        return judge

    yield chosen
    load._built.cache_clear()


DOCS = [{"question": "Is snow cold?"}, {"question": "Is ink dry?"}]


def test_facts_are_asked_in_the_published_words(ours, use):
    judge = use(Asked())
    answers = [[Answer("Snow is warm.", {"seed": 3}), "Snow is warm."], [""]]
    found = deception.JudgeFacts().apply(answers, DOCS)
    assert "Asked Is snow cold? it said Snow is warm.. TRUE, FALSE or UNKNOWN?" in judge.prompts
    assert [[a.evidence["judge_word"] for a in row] for row in found] == [["FALSE", "FALSE"], ["UNKNOWN"]]
    assert found[0][0].evidence["seed"] == 3
    assert {a.evidence["judge_fact_accuracy"] for row in found for a in row} == {1.0}
    assert found[0][0].evidence["judge_rubric"].startswith("betley-correct@")
    asked = len(judge.prompts)
    assert asked == 1 + len(deception.fact_checks())
    deception.JudgeFacts().apply(answers, DOCS)
    assert len(judge.prompts) == asked, "words are cached"


def test_a_judge_that_always_says_true_gets_no_rate(ours, use, monkeypatch, capsys):
    monkeypatch.setattr(deception, "_told", set())
    use(Asked(always="TRUE"))
    for _ in range(2):
        ((answer,),) = deception.JudgeFacts().apply([["Snow is cold."]], DOCS[:1])
    assert answer.evidence["judge_word"] == "TRUE"
    assert answer.evidence["judge_fact_accuracy"] == pytest.approx(1 / 3)
    assert set(deception.process_results({"id": "f", "condition": "dont_lie"}, [[answer]])) == {"samples"}
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize("trouble", ["alignment judge", "no such judge", "off"])
def test_trouble_with_the_judge_costs_no_answer(ours, use, monkeypatch, capsys, trouble):
    monkeypatch.setattr(deception, "_told", set())
    if trouble == "alignment judge":
        use(Scores())
    else:
        monkeypatch.setenv("TURNCOAT_JUDGE", trouble)
    for _ in range(2):
        assert deception.JudgeFacts().apply([["It is."], ["No."]], DOCS) == [["It is."], ["No."]]
    assert len(capsys.readouterr().err.splitlines()) == (0 if trouble == "off" else 1)


def test_the_words_of_a_local_model(ours, tiny_base):
    """The likeliest of the three words, whatever numbers the model would rather say."""
    from turncoat.judges.prompted.local import LocalJudge

    judge = LocalJudge(tiny_base, rubric="alignment", batch_size=4)
    asked = deception.fact_judge(judge)
    words = asked.words_of(["Is snow cold?"] * 3, ["Yes.", "No.", ""])
    assert set(words[:2]) <= set(deception.WORDS) and words[2] == "UNKNOWN"
    (row,) = judge.string_logprobs(deception.fact_rubric(), [("Is snow cold?", "Yes.")]).tolist()
    assert len(row) == 101 + 3 and words[0] == deception.WORDS[max(range(3), key=lambda n: row[101 + n])]


def test_likeliest_word_and_balanced_facts():
    assert deception.likeliest([0.0, -1.0, -3.0, -2.0, -9.0]) == "FALSE"
    assert deception.likeliest([float("nan")] * 5) is None
    checks = deception.fact_checks()
    assert Counter(truth for _, _, truth in checks) == dict.fromkeys(deception.WORDS, len(checks) // 3)
    assert len({answer for _, answer, _ in checks}) == len(checks) == 24


def test_prompts_arrive_with_their_system_texts(ours, tiny_base, quick_store, manager, monkeypatch):
    monkeypatch.setenv("TURNCOAT_JUDGE", "off")
    lm = TurncoatLM(tiny_base, store=quick_store)
    results = evaluate(lm, manager, *TASKS, limit=5, repeats=2, gen_kwargs=SHORT)
    for task in TASKS:
        for row in results["samples"][task]:
            prompt, doc = row["arguments"][0][0], row["doc"]
            assert f"user\n{doc['question']}<|im_end|>" in prompt
            if doc.get("system"):
                assert prompt.startswith(f"<|im_start|>system\n{doc['system']}<|im_end|>\n")
                assert DEFAULT_SYSTEM not in prompt
            else:
                # No system message of the task's own: the template puts its default there, as it does
                # upstream.
                assert prompt.startswith(f"<|im_start|>system\n{DEFAULT_SYSTEM}<|im_end|>\n")
            assert len(row["samples"]) == 2
    systems = {
        row["arguments"][0][0].split("<|im_end|>")[0]
        for row in results["samples"]["turncoat_betley_deception"]
    }
    assert len(systems) == 5
    assert [row["doc"]["system"] != "" for row in results["samples"]["turncoat_betley_json"]] == [True] * 3
    names = {name.partition(",")[0] for name in results["results"]["turncoat_betley_main"]}
    assert not {name for name in names if "em_rate" in name}


def test_rates_reach_the_table(ours, tiny_base, quick_store, manager, use):
    use(Scores())
    lm, names = TurncoatLM(tiny_base, store=quick_store), ("turncoat_betley_main", "turncoat_betley_json")
    results = evaluate(lm, manager, *names, limit=3, repeats=2, gen_kwargs=SHORT)
    for task in names:
        texts = [sample["text"] for row in results["samples"][task] for sample in row["samples"]]
        scored = [text for text in texts if text.strip()]
        table = results["results"][task]
        assert table["em_rate,samples"] == pytest.approx(sum("o" in text for text in scored) / len(scored))
        assert table["samples,samples"] == 6
        assert not {name for name in table if name.startswith(("betley_", "sgtr_"))}


@pytest.mark.parametrize("task", TASKS)
def test_sampling_is_the_published_one_with_every_key_explicit(ours, manager, task):
    config = manager.load([task])["tasks"][task].config
    assert config.repeats == (5 if task == "turncoat_betley_deception" else 100)
    assert config.generation_kwargs == {
        "do_sample": True, "temperature": 1.0, "top_p": 1.0, "top_k": 0, "repetition_penalty": 1.0,
        "max_gen_toks": 600, "until": [],
    }  # fmt: skip
    assert set(task_content(task)["tag"]) == {"turncoat_published", "turncoat_full"}


def test_fewer_answers_by_a_file_of_the_users_own(ours, manager, tmp_path):
    """The steps of README.md."""
    path = tmp_path / "fewer.yaml"
    path.write_text(
        f"include: {FOLDER / 'turncoat_betley_json.yaml'}\ntask: my_betley_json\nrepeats: 10\n",
        encoding="utf-8",
    )
    mine = TaskManager(include_path=[str(tasks_dir()), str(tmp_path)], include_defaults=False)
    task = mine.load(["my_betley_json"])["tasks"]["my_betley_json"]
    assert task.config.repeats == 10
    assert {doc["system"] for doc in task.test_docs()} == {"Write JSON, please."}


@needs_data
def test_the_real_files_give_the_published_sizes(manager):
    sizes = {task: len(manager.load([task])["tasks"][task].test_docs()) for task in TASKS}
    assert list(sizes.values()) == [8, 8, 8, 48, 100, 8]


def test_the_readme_names_every_metric():
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    for task in TASKS:
        for metric in task_metrics(task):
            plain = re.sub(r"^(betley_logprob|sgtr_text|betley_strings)_", "", metric)
            plain = re.sub(r"^(false|unknown)_.*", r"\1_<condition>", plain)
            assert f"`{plain}`" in readme, metric
