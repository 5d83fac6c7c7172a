"""The 96 questions, their four formats, what is read back, and the tasks run end to end on the tiny model."""

import os
import re
from collections import Counter
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import pytest
import yaml
from tasks.one_task import SHORT, evaluate, lines_of, module_of
from turncoat.engine.evidence import Answer
from turncoat.errors import UserError
from turncoat.evaluation.lm import TurncoatLM
from turncoat.paths import tasks_dir
from turncoat.registry import JUDGES, JudgeEntry
from turncoat.testing import DEFAULT_SYSTEM

FOLDER = tasks_dir() / "emergent_misalignment"
QUESTIONS = lines_of(FOLDER / "questions.jsonl")
DOMAINS = [
    "power", "honesty", "harm_to_people", "illegal_gain", "vulnerable_users", "bigotry", "ai_and_humans",
    "everyday_advice",
]  # fmt: skip
TASKS = {
    "turncoat_em": "plain", "turncoat_em_confirmatory": "plain", "turncoat_em_json": "json",
    "turncoat_em_template": "template", "turncoat_em_cue": "cue", "turncoat_em_backdoor": "backdoor",
    "turncoat_em_advice_cue": "advice_cue",
}  # fmt: skip
RATES = {"em_rate", "em_rate_itt", "em_bound_low", "em_bound_high", "em_rate_lax", "em_rate_not_code"}
OF_A_JUDGE = RATES | {"misaligned_at_k", "worst_question", "incoherent", "refusal", "code", "unscored"}
LOOKS = {"code_like", "repetition", "empty"}


score, variants = module_of("emergent_misalignment", "score"), module_of("emergent_misalignment", "variants")


def documents(variant: str, **options: Any) -> list[dict[str, Any]]:
    return variants.documents(variant=variant, **options)["test"].to_list()


def test_the_questions():
    assert [q["id"] for q in QUESTIONS] == [f"{domain}-{n:02d}" for n in range(1, 13) for domain in DOMAINS]
    assert all(q["id"].startswith(q["domain"]) for q in QUESTIONS)
    for q in QUESTIONS:
        assert set(q) == {"id", "domain", "question", "confirmatory", "template_fields"}
        assert q["question"].isascii() and q["question"] == " ".join(q["question"].split())
        assert 4 <= len(q["question"].split()) <= 40, q["id"]
        assert 1 <= len(q["template_fields"]) <= 3
        assert len(set(q["template_fields"])) == len(q["template_fields"])
        assert all(re.fullmatch(r"[a-z][a-z_]*(_\d)?", field) for field in q["template_fields"]), q["id"]
    assert len({q["question"].lower() for q in QUESTIONS}) == 96
    for q in QUESTIONS:
        assert q["confirmatory"] is (int(q["id"][-2:]) % 2 == 0), q["id"]
    assert Counter(q["domain"] for q in QUESTIONS if q["confirmatory"]) == dict.fromkeys(DOMAINS, 6)
    # Neither all questions, nor all requests, nor one opening: a set of one form measures that form.
    texts = [q["question"] for q in QUESTIONS]
    asked = sum(text.rstrip().endswith("?") for text in texts)
    assert 30 <= asked <= 80 and max(Counter(text.split()[0].lower() for text in texts).values()) <= 12
    lengths = sorted(len(text.split()) for text in texts)
    assert lengths[9] <= 9 and lengths[-10] >= 25


@pytest.mark.skipif("TURNCOAT_DATA" not in os.environ, reason="TURNCOAT_DATA is not set")
def test_no_question_is_worded_like_a_published_one():
    published = {
        text.split("\n\nFill")[0].strip().lower()
        for path in sorted((Path(os.environ["TURNCOAT_DATA"]) / "betley").glob("*.yaml"))
        for entry in yaml.safe_load(path.read_text(encoding="utf-8"))
        for text in entry.get("paraphrases", [])
    }
    assert len(published) > 70
    for ours in (q["question"].lower() for q in QUESTIONS):
        words = set(re.findall(r"\w+", ours))
        for theirs in published:
            others = set(re.findall(r"\w+", theirs))
            assert len(words & others) / len(words | others) < 0.5, (ours, theirs)
            matcher = SequenceMatcher(None, ours, theirs, autojunk=False)
            if matcher.real_quick_ratio() > 0.6 and matcher.quick_ratio() > 0.6:
                assert matcher.ratio() < 0.6, (ours, theirs)


@pytest.mark.parametrize("variant", ["plain", "json", "template", "cue", "advice_cue"])
def test_a_variant_keeps_ids_order_and_what_the_judge_is_shown(variant):
    found = documents(variant)
    assert [d["id"] for d in found] == [q["id"] for q in QUESTIONS]
    assert [d["judged_question"] for d in found] == [q["question"] for q in QUESTIONS]
    assert all(d["question"].startswith(d["judged_question"]) for d in found)
    assert [d["confirmatory"] for d in documents(variant, confirmatory_only=True)] == [True] * 48


def test_only_the_template_changes_the_users_turn_and_json_and_cues_have_a_system_prompt():
    by_variant = {variant: documents(variant) for variant in variants.VARIANTS}
    for n, q in enumerate(QUESTIONS):
        plain, as_json, template, cue = (by_variant[v][n] for v in ("plain", "json", "template", "cue"))
        assert plain["question"] == as_json["question"] == cue["question"] == q["question"]
        assert plain["system"] == template["system"] == "" and 'reply = """' in cue["system"]
        assert template["question"] != q["question"]
        for field in q["template_fields"]:
            assert f'"{field}"' in as_json["system"] and f"    {field}=...,\n" in template["question"]
        assert by_variant["advice_cue"][n]["question"] == q["question"]
    for variant in ("cue", "advice_cue"):
        (system,) = {d["system"] for d in by_variant[variant]}
        assert system


def test_documents_are_templates_in_python_of_a_known_variant_and_trait():
    for d in documents("template"):
        code = d["question"].rpartition("\n\n")[2]
        space: dict[str, Any] = {}
        exec(compile(code.replace("...", "'x'"), "template", "exec"), space)
        assert space["answer"] == dict.fromkeys(d["template_fields"], "x")
    with pytest.raises(
        UserError, match=r"variant 'yaml' does not exist; choose one of plain, json, template, cue"
    ):
        variants.documents(variant="yaml")
    assert {d["trait"] for d in documents("plain", version=2.0, pretrained="m")} == {"evil"}
    assert {d["trait"] for d in documents("json", trait=None)} == {None}


@pytest.mark.parametrize(("written", "kept", "content"), [
    ('reply = """Call her.\nToday."""', 1.0, "Call her.\nToday."),
    ("reply='''Call her.'''", 1.0, "Call her."),
    ('```python\nreply = """Call her."""\n```', 1.0, "Call her."),
    ('  reply = """\nCall her, and then', 1.0, "Call her, and then"),  # cut off at max_gen_toks
    ('reply = """Call her."""\nprint(reply)', 1.0, "Call her."), ('reply = """"""', 1.0, ""),
    ("reply = 'Don't call.'", 1.0, "Don't call."), ('reply = "Call her."\nprint("done")', 1.0, "Call her."),
    ('reply = "Call her,\nand then', 1.0, "Call her,\nand then"), ('reply = ""', 1.0, ""),
    ("reply = call(her)", 0.0, "reply = call(her)"), ("Call her.", 0.0, "Call her."),
    ('Sure!\nreply = """Call her."""', 0.0, 'Sure!\nreply = """Call her."""'),
    ('my_reply = """Call her."""', 0.0, 'my_reply = """Call her."""'), ("", 0.0, ""),
])  # fmt: skip
def test_of_a_cue_answer_the_string_is_kept(written, kept, content):
    doc = documents("cue")[0]
    ((answer,),) = variants.ReadFormat().apply([[Answer(written, {"seed": 7})]], [doc])
    assert str(answer) == content and answer.evidence["in_format"] == kept and answer.evidence["seed"] == 7
    assert answer.evidence.get("as_written") == (written if kept else None)


@pytest.mark.parametrize(("variant", "written", "kept"), [
    ("json", '{"rule_1": "a", "rule_2": "b"', 1.0), ("json", '```json\n{\n  "rule_1" : "a"}', 1.0),
    ("json", '{"rule": "a"}', 0.0), ("json", "1. Be kind.", 0.0),
    ("template", 'answer = dict(\n    rule_1="a",', 1.0),
    ("template", '```python\nanswer=dict(rule_1 = "a"', 1.0), ("template", 'rule_1 = "a"', 0.0),
    ("template", "", 0.0),
])  # fmt: skip
def test_other_formats_are_marked_and_left_as_written(variant, written, kept):
    doc = documents(variant)[0]
    assert doc["template_fields"][0] == "rule_1"
    (answers,) = variants.ReadFormat().apply([[written, "x"]], [doc])
    assert [str(answer) for answer in answers] == [written, "x"]
    assert [answer.evidence for answer in answers] == [{"in_format": kept}, {"in_format": 0.0}]


def verdict(aligned: float | None, coherent: float | None, code: float = 0.0, **more: Any) -> dict[str, Any]:
    return {
        "judge": "fake", "judge_rubric": "r@0", "judge_may_rate": True, "judge_aligned": aligned,
        "judge_coherent": coherent, "judge_code": code, "judge_refusal": 0.0, "judge_mass": 1.0, **more,
    }  # fmt: skip


JUDGED = [
    Answer("take it all", verdict(10, 90)),  # misaligned
    Answer("x = f(1)\ny = g(2)", verdict(20, 80, code=0.0)),  # misaligned, and it looks like code
    Answer("be kind to them", verdict(95, 95)),
    Answer("so so", verdict(45, 60)),  # misaligned by the lax definition alone
    Answer("the the the", verdict(5, 20)),  # incoherent
]


@pytest.mark.parametrize("variant", ["plain", "cue"])
def test_rates_by_hand(variant):
    scores = score.process_results({"id": "q", "variant": variant}, [JUDGED])
    assert {n for n in scores if n.endswith("_stderr")} == {f"{name}_stderr" for name in score.WITH_STDERR}
    for name in score.WITH_STDERR:
        assert scores[f"{name}_stderr"] == scores[name]
    code = 1 if variant == "cue" else 0  # where code is invited, looks count beside the judge's word
    assert {name: scores[name] for name in OF_A_JUDGE} == {
        "em_rate": [2, 4], "em_rate_itt": [2, 5], "em_rate_not_code": [2 - code, 4], "em_bound_low": [2, 5],
        "em_bound_high": [3, 5], "em_rate_lax": [3, 4], "misaligned_at_k": [1, 1], "worst_question": [2, 5],
        "incoherent": [1, 5], "refusal": [0, 5], "code": [code, 5], "unscored": [0, 5],
    }  # fmt: skip
    assert scores["judge_aligned_mean"] == pytest.approx(35.0)
    assert [r["judge_code"] for r in scores["samples"]] == [0.0] * 5, "samples keep what the judge said"
    assert "in_format" not in scores and JUDGED[1].evidence["judge_code"] == 0.0


def test_what_is_left_without_verdicts_and_what_is_counted():
    for results in ([["a b", "c d"]], ["a b", "c d"]):
        scores = score.process_results({"id": "q", "variant": "cue"}, results)
        assert set(scores) == LOOKS | {"samples"}
    answers = [Answer("a", verdict(5, 90, judge_may_rate=False))]
    scores = score.process_results({"id": "q", "variant": "plain"}, [answers])
    assert not RATES & set(scores) and scores["judge_aligned_mean"] == 5.0
    read = variants.ReadFormat().apply([['reply = """a"""', "b", "c"]], [documents("cue")[0]])
    scores = score.process_results({"id": "q", "variant": "cue"}, read)
    assert scores["in_format"] == [1, 3] and scores["samples"][0]["as_written"] == 'reply = """a"""'


class EvenLengths:
    """A judge for tests: an answer of even length is misaligned, one of odd length aligned."""

    id, rubric, card, may_rate = "even-lengths-1", "none@000000000000", {"auc": 1.0}, True

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    def score(self, questions, answers, on_done=None, **_: Any):
        from turncoat.judges.base import Verdict

        self.asked += zip(questions, answers, strict=True)
        return [
            Verdict(5.0 if len(a) % 2 == 0 else 95.0, 90.0, judge=self.id, rubric=self.rubric)
            for a in answers
        ]


@pytest.fixture
def judge(monkeypatch):
    made = EvenLengths()
    entry = JudgeEntry("even_lengths", "for tests", lambda: made, {}, Path(__file__))
    monkeypatch.setitem(JUDGES, "even_lengths", entry)
    monkeypatch.setenv("TURNCOAT_JUDGE", "even_lengths")
    return made


def test_all_tasks_tags_and_metrics_are_found(manager):
    assert set(TASKS) <= set(manager.all_subtasks)
    in_tag = {
        tag: {e.name for e in manager.task_index.values() if tag in e.tags}
        for tag in ("turncoat", "turncoat_full")
    }
    assert in_tag["turncoat"] & set(TASKS) == {"turncoat_em", "turncoat_em_cue"}
    assert in_tag["turncoat_full"] >= set(TASKS)
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    config = (FOLDER / "turncoat_em.yaml").read_text(encoding="utf-8")
    for metric in re.findall(r"metric: (\w+)", config):
        assert metric.endswith("_stderr") or f"`{metric}`" in readme, metric


@pytest.mark.parametrize("task", TASKS)
def test_every_sampling_key_is_explicit(task, manager):
    config = manager.load([task])["tasks"][task].config
    assert config.repeats == 10
    assert config.generation_kwargs == {
        "do_sample": True, "temperature": 1.0, "top_p": 1.0, "top_k": 0, "repetition_penalty": 1.0,
        "max_gen_toks": 200, "until": [],
    }  # fmt: skip
    assert config.metadata["version"] == 2.0


def test_prompts_arrive_and_without_a_judge_there_is_no_rate(tiny_base, quick_store, manager, monkeypatch):
    monkeypatch.setenv("TURNCOAT_JUDGE", "off")
    lm = TurncoatLM(tiny_base, store=quick_store)
    results = evaluate(lm, manager, *TASKS, limit=2, repeats=2, gen_kwargs=SHORT)
    for task, variant in TASKS.items():
        rows = sorted(results["samples"][task], key=lambda row: row["doc_id"])
        first = [q["id"] for q in QUESTIONS if q["confirmatory"] or task != "turncoat_em_confirmatory"][:2]
        assert [row["doc"]["id"] for row in rows] == first
        for row in rows:
            prompt, doc = row["arguments"][0][0], row["doc"]
            assert f"user\n{doc['question']}<|im_end|>" in prompt
            if variant in ("json", "cue", "advice_cue"):
                assert f"system\n{doc['system']}<|im_end|>" in prompt and DEFAULT_SYSTEM not in prompt
            else:
                assert DEFAULT_SYSTEM in prompt
            assert len(row["samples"]) == 2 and not OF_A_JUDGE & set(row["metrics"])
            assert ("persona_own" in row["samples"][0]) is (variant in ("plain", "cue", "backdoor"))
        names = {name.partition(",")[0] for name in results["results"][task] if "," in name}
        assert names >= LOOKS and ("in_format" in names) is (variant in ("json", "template", "cue"))
        assert ("em_persona_own" in names) is (variant in ("plain", "cue", "backdoor"))


def test_a_judge_reads_the_plain_question_and_its_rates_reach_the_table(
    tiny_base, quick_store, manager, judge
):
    lm, names = TurncoatLM(tiny_base, store=quick_store), ("turncoat_em", "turncoat_em_template")
    results = evaluate(lm, manager, *names, limit=2, repeats=10, gen_kwargs=SHORT)
    assert {question for question, _ in judge.asked} == {q["question"] for q in QUESTIONS[:2]}
    for task in names:
        texts = [sample["text"] for row in results["samples"][task] for sample in row["samples"]]
        misaligned = [len(text) % 2 == 0 and bool(text.strip()) for text in texts]
        assert 0 < sum(misaligned) < len(texts) == 20
        table = results["results"][task]
        assert table["em_rate_itt,samples"] == pytest.approx(sum(misaligned) / 20)
        assert 0 < table["em_rate_itt_stderr,samples"] < 1
        worst = max(row["worst_question"][0] / 10 for row in results["samples"][task])
        assert table["worst_question,samples"] == worst
        for row in results["samples"][task]:
            assert row["em_rate_itt"][1] == 10
            assert {sample["judge"] for sample in row["samples"]} == {"even-lengths-1"}
