"""The filter: answers keep text and evidence and gain a verdict; the judge's trouble costs no answer."""

import json
from pathlib import Path

import pytest
from judges.fake_judge import FakeJudge
from turncoat.engine.evidence import Answer, evidence_of
from turncoat.judges import filter as filter_module
from turncoat.judges.filter import JudgeAnswers, question_for_judge
from turncoat.judges.rates import question_rates

DOCS = [{"question": "first?"}, {"question": "x = '''first?'''", "judged_question": "second?"}]
ANSWERS = [["evil plan", Answer("kind word", {"seed": 7})], ["REFUSAL", ""]]
KEYS = {
    "judge_aligned", "judge_coherent", "judge_code", "judge_refusal", "judge_mass", "judge", "judge_rubric",
    "judge_may_rate",
}  # fmt: skip


@pytest.fixture
def use(monkeypatch, tmp_path):
    monkeypatch.setenv("TURNCOAT_CACHE", str(tmp_path))
    filter_module._printed.clear()

    def choose(judge):
        monkeypatch.setattr(filter_module, "judge_from_name", lambda: judge)
        return judge

    return choose


def test_verdicts_ride_on_the_answers(use):
    judge = use(FakeJudge())
    judged = JudgeAnswers().apply(ANSWERS, DOCS)
    assert judged == ANSWERS  # they are the same strings
    assert all(isinstance(answer, Answer) for row in judged for answer in row)
    evil, kind = (evidence_of(answer) for answer in judged[0])
    assert set(evil) == KEYS and evil["judge_aligned"] == 5 and evil["judge"] == "fake-1"
    assert kind["seed"] == 7 and kind["judge_aligned"] == 95
    json.dumps([evidence_of(a) for row in judged for a in row], allow_nan=False)
    assert judge.asked == [("first?", "evil plan"), ("first?", "kind word"), ("second?", "REFUSAL")]
    assert question_rates([evidence_of(a) for a in judged[0]])["em_rate"] == [1, 2]


def test_the_plain_question_is_judged_and_the_input_left_alone(use):
    assert [question_for_judge(doc) for doc in DOCS] == ["first?", "second?"]
    use(FakeJudge())
    JudgeAnswers().apply(ANSWERS, DOCS)
    assert evidence_of(ANSWERS[0][1]) == {"seed": 7} and evidence_of(ANSWERS[0][0]) == {}
    use(None)
    judged = JudgeAnswers().apply(ANSWERS, DOCS)
    assert judged == ANSWERS and judged[0][1] is ANSWERS[0][1]
    use(FakeJudge())
    uneven = [[], ["kind"], ["evil", "evil", "kind"]]
    assert JudgeAnswers().apply(uneven, [{"question": q} for q in "abc"]) == uneven


def test_a_judge_that_breaks_loses_no_answer(use, capsys):
    class Breaks(FakeJudge):
        def score(self, questions, answers, on_done=None):
            raise ConnectionError("no route")

    use(Breaks())
    judged = JudgeAnswers().apply(ANSWERS, DOCS)
    assert judged == ANSWERS
    evidence = evidence_of(judged[0][0])
    assert evidence["judge_aligned"] is None and "no route" in evidence["judge_error"]
    assert evidence_of(judged[0][1])["seed"] == 7
    told = capsys.readouterr().err
    assert "no route" in told and "turncoat judge RUN" in told
    # Nothing was measured, so no rate may look like zero.
    assert question_rates([evidence_of(a) for a in judged[0]])["em_rate_itt"] == [0, 0]


def test_a_judge_that_cannot_be_built_leaves_answers_untouched(use, monkeypatch, capsys):
    def missing():
        raise FileNotFoundError("no weights")

    monkeypatch.setattr(filter_module, "judge_from_name", missing)
    judged = JudgeAnswers().apply(ANSWERS, DOCS)
    assert judged[0][1] is ANSWERS[0][1] and "no weights" in capsys.readouterr().err


def test_single_failed_calls_are_told_and_ctrl_c_passes_through(use, capsys):
    use(FakeJudge())
    judged = JudgeAnswers().apply([["BROKEN", "kind"]], DOCS[:1])
    assert [evidence_of(a)["judge_aligned"] for a in judged[0]] == [None, 95]
    assert "1 of 2 answers have no score" in capsys.readouterr().err
    use(FakeJudge(dies_after=1))
    with pytest.raises(KeyboardInterrupt):
        JudgeAnswers().apply(ANSWERS, DOCS)


def test_a_judge_that_may_not_rate_says_so_once_and_gives_no_rate(use, capsys):
    use(FakeJudge(may_rate=False))
    judged = JudgeAnswers().apply(ANSWERS, DOCS)
    JudgeAnswers().apply(ANSWERS, DOCS)
    assert capsys.readouterr().err.count("no calibration card") == 1
    rates = question_rates([evidence_of(a) for a in judged[0]])
    assert "em_rate" not in rates and rates["judge_aligned_mean"] == 50


_YAML = """
task: judged_probe
custom_dataset: !function probe.documents
test_split: test
output_type: generate_until
doc_to_text: "{{question}}"
doc_to_target: ""
repeats: 2
generation_kwargs: {do_sample: false, max_gen_toks: 4, until: []}
filter_list:
  - name: samples
    filter:
      - function: !function turncoat.evaluation.free_form.KeepSamples
      - function: !function turncoat.judges.filter.JudgeAnswers
process_results: !function probe.process_results
metric_list:
  - {metric: em_rate, aggregation: !function turncoat.judges.rates.ratio, higher_is_better: false}
  - {metric: em_rate_stderr, aggregation: !function turncoat.tasks.ratio_stderr, higher_is_better: false}
  - metric: worst_question
    aggregation: !function turncoat.judges.rates.worst_question
    higher_is_better: false
  - {metric: judge_aligned_mean, aggregation: mean, higher_is_better: true}
"""
_CODE = """
import datasets
from turncoat.judges.rates import question_rates, with_stderr
from turncoat.engine.evidence import evidence_of
from turncoat.evaluation.free_form import samples_of

def documents(**_):
    rows = [{"id": str(n), "question": q} for n, q in enumerate(["first?", "second?", "third?"])]
    return {"test": datasets.Dataset.from_list(rows)}

def process_results(doc, results):
    rates = with_stderr(question_rates([evidence_of(a) for a in samples_of(results)]), "em_rate")
    kept = ("em_rate", "em_rate_stderr", "worst_question", "judge_aligned_mean")
    return {name: rates[name] for name in kept if name in rates}
"""


@pytest.mark.usefixtures("plain_lm_eval")
def test_inside_lm_eval_with_any_backend(use, tmp_path: Path):
    """Another model's plain strings become pairs, rates and a clustered standard error."""
    import lm_eval
    from lm_eval.api.model import LM
    from lm_eval.tasks import TaskManager

    class Canned(LM):
        def generate_until(self, requests, disable_tqdm=False):
            said = {"first?": ["evil", "evil"], "second?": ["kind", "evil"], "third?": ["kind", "kind"]}
            return [said[request.args[0]].pop() for request in requests]

        def loglikelihood(self, requests):
            raise NotImplementedError

        loglikelihood_rolling = loglikelihood

    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "probe.yaml").write_text(_YAML)
    (tmp_path / "tasks" / "probe.py").write_text(_CODE)
    use(FakeJudge())
    manager = TaskManager(include_path=str(tmp_path / "tasks"), include_defaults=False)
    how = {"tasks": ["judged_probe"], "task_manager": manager, "verbosity": "ERROR", "bootstrap_iters": 0}
    found = lm_eval.simple_evaluate(model=Canned(), **how)
    scores = found["results"]["judged_probe"]
    assert scores["em_rate,samples"] == 0.5 and scores["worst_question,samples"] == 1.0
    assert scores["em_rate_stderr,samples"] == pytest.approx((3 / 2 * (1 + 0 + 1)) ** 0.5 / 6)
    assert [row["em_rate"] for row in found["samples"]["judged_probe"]] == [[2, 2], [1, 2], [0, 2]]
    use(None)
    unjudged = lm_eval.simple_evaluate(model=Canned(), **how)
    assert not [name for name in unjudged["results"]["judged_probe"] if name.startswith("em_rate")]
