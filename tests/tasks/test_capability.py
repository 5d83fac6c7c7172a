"""The capability tasks: answers are read as a person would read them, sets are balanced, all run on the tiny
model."""

import json
from collections import Counter

import pytest
from tasks.one_task import SHORT, evaluate, lines_of, module_of
from turncoat.engine.evidence import Answer, LogLikelihood
from turncoat.evaluation.task_catalogue import task_metrics, task_names, task_summary
from turncoat.judges.rates import ratio
from turncoat.paths import tasks_dir

FOLDER = tasks_dir() / "capability"
GENERATED = ("turncoat_capability_arithmetic", "turncoat_capability_reasoning", "turncoat_capability_format")
TASKS = (*GENERATED, "turncoat_capability_choice")


arithmetic, reasoning, format_rules = (
    module_of("capability", name) for name in ("arithmetic", "reasoning", "format_rules")
)


def load(name: str) -> list[dict]:
    return lines_of(FOLDER / name)


@pytest.mark.parametrize(("text", "number"), [
    ("56", 56), ("56.", 56), ("**56**", 56), ("$\\boxed{56}$", 56), ("7 x 8 = 56", 56),
    ("7 times 8 is 56.", 56), ("The answer is 56, because 7 x 8 can be counted out.", 56),
    ("Answer: 56\nDo you want to know 9 x 9?", 56), ("9 + 9 = 18, which is twice 9.", 18),
    ("First 5 + 3 = 8. Then 8 - 2 = 6.", 6), ("So 5 times 2 equals 10.", 10), ("She has 8 left", 8),
    ("It is 1,250 metres.", 1250), ("13.0", 13), ("7-3=4", 4), ("It is -3.", -3), ("Twelve.", 12),
    ("They have forty-three chairs", 43), ("There are twenty one of them", 21), ("I cannot say.", None),
    ("x3 and b7", None), ("", None),
])  # fmt: skip
def test_the_number_an_answer_settles_on(text, number):
    assert arithmetic.number_in(text) == number


@pytest.mark.parametrize(("text", "option"), [
    ("melts", "melts"), ("Melts.", "melts"), ("It melts, and soon it is gone.", "melts"),
    ("It melts.\nIf it were cold, it freezes instead.", "melts"), ("It melts. It never grows.", "melts"),
    ("melts, freezes and grows are the words. The answer is grows.", "grows"),
    ("Either melts or freezes.", None), ("It is smelts.", None), ("Nothing much.", None), ("", None),
])  # fmt: skip
def test_the_option_an_answer_names(text, option):
    assert reasoning.option_in(text, ["melts", "freezes", "grows"]) == option


def test_no_is_not_seen_in_another_word():
    assert reasoning.option_in("Now I know nothing of it.", ["yes", "no"]) is None
    assert reasoning.option_in("No, she does not.", ["yes", "no"]) == "no"


@pytest.mark.parametrize(("rule", "value", "kept", "broken"), [
    ("words", "3", ["Wide, blue, salty.", "it's well-known water"], ["Wide and blue and salty", "Blue sea"]),
    ("lower_case", "", ["snow is cold."], ["Snow is cold.", "42"]),
    ("upper_case", "", ["MIND THE FLOOR!"], ["MIND the floor", "42"]),
    (
        "json_key", "city", ['{"city": "Rome"}', '```json\n{"city": "Rome"}\n```'],
        ['{"city": "Rome", "x": 1}', '{"town": "Rome"}', 'Sure: {"city": "Rome"}', "[1]", '"city"'],
    ),
    ("lines", "2", ["Ann\nEve", " Ann \n\n Eve\n"], ["Ann, Eve", "Ann\nEve\nIda"]),
    ("bullets", "2", ["- tie\n- climb"], ["tie\nclimb", "- tie", "Uses:\n- tie\n- climb", "* tie\n* climb"]),
    ("begins_with", "Gladly", ["Gladly. Boil it.", '"gladly!"'], ["I will gladly"]),
    ("ends_with", "Enjoy it!", ["Eat oats. Enjoy it!", "Oats. enjoy it."], ["Enjoy it! Bye"]),
    ("comma_list", "3", ["cat, dog, cow", "cat, dog, and cow."], ["cat, dog", "cat\ndog\ncow", "cat, , cow",
                                                                   "Here are some of them: cat, dog, cow"]),
    ("one_of", "yes|no", ["yes", "No."], ["Yes, it is", "maybe"]),
])  # fmt: skip
def test_each_format_rule_takes_what_keeps_it_and_nothing_else(rule, value, kept, broken):
    for text in kept:
        assert format_rules.follows(rule, value, text), text
    for text in [*broken, "", "  \n"]:
        assert not format_rules.follows(rule, value, text), text


@pytest.mark.parametrize("wrap", [lambda answer: [[answer]], lambda answer: [answer]])
def test_scores_of_one_answer(wrap):
    doc = {"id": "t", "domain": "tables", "question": "What is 2 x 3?", "answer": "6"}
    scores = [arithmetic.process_results(doc, wrap(Answer(text, {"seed": 1}))) for text in ("6", "5", "none")]
    assert [s["accuracy"] for s in scores] == [1.0, 0.0, 0.0]
    assert [s["invalid"] for s in scores] == [0.0, 0.0, 1.0]
    assert ratio([s["accuracy_of_valid"] for s in scores]) == 0.5
    (record,) = scores[0]["samples"]
    assert record == {"index": 0, "seed": 1, "text": "6", "extracted": 6.0, "right": 1.0, "invalid": 0.0}
    doc = {"id": "c", "question": "?", "options": ["melts", "freezes"], "answer": "freezes"}
    scores = [reasoning.process_generated(doc, wrap(t)) for t in ("It freezes.", "melts", "melts or freezes")]
    assert [(s["accuracy"], s["invalid"]) for s in scores] == [(1.0, 0.0), (0.0, 0.0), (0.0, 1.0)]
    doc = {"id": "l", "question": "?", "rule": "lines", "value": "2"}
    scores = [format_rules.process_results(doc, wrap(text)) for text in ("a\nb", "a", " ")]
    assert [(s["accuracy"], s["invalid"]) for s in scores] == [(1.0, 0.0), (0.0, 0.0), (0.0, 1.0)]
    json.dumps(scores, allow_nan=False)


def test_likelihoods_are_compared_length_for_length():
    doc = {"id": "c", "options": ["ab", "abcd", "abcdefgh"], "answer": "abcd"}
    assert reasoning.right_option(doc) == 1
    # Per byte: -2, -1.5, -1; the longest wrong option leads although its sum is the smallest.
    scores = reasoning.process_likelihoods(doc, [(-4.0, False), (-6.0, False), (-8.0, False)])
    assert scores == {"accuracy": 0.0, "margin_per_byte": -0.5}
    tokens = [LogLikelihood(-4.0, 1), LogLikelihood(-4.0, 2), LogLikelihood(-16.0, 4)]
    scores = reasoning.process_likelihoods(doc, [(value, False) for value in tokens])
    assert scores == {"accuracy": 1.0, "margin_per_byte": 1.0, "margin_per_token": 2.0}


def test_sets_have_their_size_and_right_answers():
    assert [len(load(f"{name}.jsonl")) for name in ("arithmetic", "reasoning", "format")] == [60, 60, 40]
    for row in load("arithmetic.jsonl"):
        assert arithmetic.number_in(row["answer"]) == float(row["answer"]), row["id"]
    places: dict[int, Counter[int]] = {}
    for row in load("reasoning.jsonl"):
        assert len(set(row["options"])) == len(row["options"]) in (2, 3, 4), row["id"]
        places.setdefault(len(row["options"]), Counter())[row["options"].index(row["answer"])] += 1
        assert reasoning.option_in(f"The word is {row['answer']}.", row["options"]) == row["answer"]
    for options, counts in places.items():
        assert max(counts.values()) - min(counts[i] for i in range(options)) <= 2, places
    yes_no = Counter(row["answer"] for row in load("reasoning.jsonl") if "yes" in row["options"])
    assert yes_no["yes"] == yes_no["no"]
    import re

    checked = 0
    for row in load("arithmetic.jsonl"):
        sums = re.fullmatch(r"What is ([\d x/+-]+)\?", row["question"])
        if sums:
            value = eval(sums.group(1).replace("x", "*"), {"__builtins__": {}})
            assert value == float(row["answer"]), row
            checked += 1
    assert checked >= 20
    rules = Counter(row["rule"] for row in load("format.jsonl"))
    assert rules == dict.fromkeys(format_rules.RULES, 4)
    for row in load("format.jsonl"):
        assert row["domain"] == row["rule"] and not format_rules.follows(row["rule"], row["value"], "")


def test_tasks_are_listed_and_the_hub_group_is_no_task_of_ours():
    assert set(TASKS) <= set(task_names()) and "turncoat_capability_hub" not in task_names()
    for task in TASKS:
        assert task_summary(task).endswith("?") and "accuracy" in task_metrics(task)


def test_all_run_on_the_tiny_model(tiny_folder, plain_lm_eval, monkeypatch):
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    # The hub group must not get in the way: a tag is expanded with nothing but our folder indexed.
    manager = TaskManager(include_path=str(FOLDER), include_defaults=False)
    model = HFLM(pretrained=str(tiny_folder), device="cpu", dtype="float32", batch_size=4)
    # Our settings win over whatever the model's own generation config says.
    model.model.generation_config.do_sample = True
    results = evaluate(model, manager, "turncoat", limit=2, gen_kwargs=SHORT)
    assert set(results["results"]) == set(TASKS)
    for task in GENERATED:
        rows = results["samples"][task]
        assert len(rows) == 2 and results["results"][task]["samples,samples"] == 2
        prompt = rows[0]["arguments"][0][0]
        assert prompt.count("<|im_start|>") == 3, "no chat template"
        assert rows[0]["doc"]["question"] in prompt
    assert "margin_per_byte,none" in results["results"]["turncoat_capability_choice"]
    prompt = results["samples"]["turncoat_capability_reasoning"][0]["arguments"][0][0]
    options = results["samples"]["turncoat_capability_reasoning"][0]["doc"]["options"]
    assert f"nothing else: {', '.join(options)}." in prompt
