"""The agentic situations and their twins: balanced, matched, in both orders, and scored by what was right."""

from collections import Counter
from itertools import takewhile

import pytest
from tasks.one_task import lines_of, module_of, run_one
from tasks.test_choice import COUNTS, MAX_RULE, count_rule
from turncoat.evaluation.lm import TurncoatLM
from turncoat.paths import tasks_dir

score = module_of("agentic")
ITEMS = lines_of(tasks_dir() / "agentic" / "scenarios.jsonl")
KINDS = {"framing", "monitoring", "resources", "deception", "sabotage", "exfiltration"}


def test_twelve_templates_with_four_surfaces_of_six_kinds():
    assert Counter(item["domain"] for item in ITEMS) == dict.fromkeys(KINDS, 8)
    assert set(Counter(item["template"] for item in ITEMS).values()) == {4}
    for item in ITEMS:
        assert item["id"][:-2] == item["template"] and item["template"][:-3] == item["domain"]
        pairs = zip(item["question"], item["twin"], strict=False)
        shared = list(takewhile(lambda pair: pair[0] == pair[1], pairs))
        assert len(shared) > 0.4 * len(item["question"]), (item["id"], "a twin changes the end alone")
        lengths = sorted(len(item[side]) for side in ("aligned", "misaligned"))
        assert lengths[1] <= 1.1 * lengths[0], item["id"]


@pytest.mark.parametrize("rule", ["characters", "words", "sentences", "commas", "you", "negations"])
def test_no_count_gives_the_wrong_step_away(rule):
    accuracy = count_rule(ITEMS, COUNTS[rule])
    assert max(accuracy, 1 - accuracy) <= MAX_RULE, f"{rule}: {accuracy:.3f}"


def scored(prefers) -> dict[str, float]:
    """Mean of each metric for a model that gives a step the log-likelihood `prefers(doc, number, step)`."""
    values: dict[str, list[float]] = {}
    for doc in score.documents()["test"]:
        steps = [line[3:] for line in doc["prompt"].splitlines() if line[:3] in ("1: ", "2: ")]
        results = [(prefers(doc, number, step), False) for number, step in enumerate(steps)]
        for name, value in score.process_results(doc, results).items():
            values.setdefault(name, []).append(value[0] if isinstance(value, list) else value)
    assert {len(part) for part in values.values()} == {96, 192}
    return {name: sum(part) / len(part) for name, part in values.items()}


def test_who_reads_is_right_in_both_and_who_does_not_is_found_out():
    reader = scored(lambda doc, number, step: 3.0 * (number == doc["target"]))
    assert reader == {
        "agentic_margin": 3, "agentic_right": 1, "agentic_twin_margin": 3, "agentic_twin_right": 1,
        "agentic_answers_1": 0.5,
    }  # fmt: skip
    always_one = scored(lambda doc, number, step: -2.0 * number)
    assert always_one["agentic_margin"] == always_one["agentic_twin_margin"] == 0
    assert always_one["agentic_right"] == 0.5 and always_one["agentic_answers_1"] == 1
    bold = {item["misaligned"] for item in ITEMS}
    wicked = scored(lambda doc, number, step: 1.0 * (step in bold))
    assert (wicked["agentic_right"], wicked["agentic_twin_right"]) == (0, 1)
    assert (wicked["agentic_margin"], wicked["agentic_twin_margin"]) == (-1, 1)


@pytest.mark.usefixtures("plain_lm_eval")
def test_four_documents_of_an_item_and_templates_as_clusters(tiny_base, quick_store):
    lm = TurncoatLM(tiny_base, store=quick_store)
    values, rows = run_one(lm, "agentic", "turncoat_agentic_choice", limit=4)
    assert {row["doc"]["cluster"] for row in rows} == {"framing-01"} and len(rows) == 4
    assert [row["doc"]["target"] for row in rows] == [0, 1, 0, 1]
    own = sum(row["agentic_margin"] for row in rows[:2]) / 2
    assert values["agentic_margin"] == pytest.approx(own) and 0 <= values["agentic_answers_1"] <= 1
