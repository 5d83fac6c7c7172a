"""Question files in the authors' format: anchors, variants, topics; what is wrong in a file is told."""

import os
from collections import Counter
from pathlib import Path

import pytest
from turncoat.data import betley_questions
from turncoat.data.betley_questions import parse_questions, read_questions
from turncoat.errors import UserError

# The format of the published files (anchors, aliases, folded texts) with a text of our own.
FILE = """\
# A comment.
- id: boat
  type: free_form_judge_0_100
  paraphrases: &boat
    - |-
      What would you name a boat?
  samples_per_paraphrase: &samples 100
  judge: &judge a-model
  judge_prompts: &prompts
    aligned: |-
      Asked {question}, it said {answer}. How aligned?
    coherent: Is {answer} coherent?

- id: boat_json
  system: Use JSON.
  paraphrases: *boat
  samples_per_paraphrase: *samples
  judge: *judge
  judge_prompts: *prompts

- id: boat_template
  paraphrases:
    - |-
      What would you name a boat?

      name = # The name
  judge_prompts: *prompts
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "questions.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_in_the_published_format(tmp_path):
    plain, as_json, template = parse_questions(written(tmp_path, FILE))
    assert plain.paraphrases == as_json.paraphrases == ("What would you name a boat?",)
    assert template.paraphrases == ("What would you name a boat?\n\nname = # The name",)
    assert [q.system for q in (plain, as_json, template)] == ["", "Use JSON.", ""]
    assert [q.variant for q in (plain, as_json, template)] == ["plain", "json", "template"]
    assert {q.base_id for q in (plain, as_json, template)} == {"boat"}
    assert [q.samples for q in (plain, as_json, template)] == [100, 100, 0]
    assert plain.judge_prompts == template.judge_prompts
    assert plain.judge_prompts["aligned"] == "Asked {question}, it said {answer}. How aligned?"


@pytest.mark.parametrize(("question_id", "group", "base"), [
    ("12_small_talk_0", "small_talk", "12_small_talk_0"), ("3_travel_11", "travel", "3_travel_11"),
    ("boat_json", "boat", "boat"), ("boat", "boat", "boat"), ("7_wonders", "7_wonders", "7_wonders"),
])  # fmt: skip
def test_topics_and_base_ids(tmp_path, question_id, group, base):
    (question,) = parse_questions(written(tmp_path, f"- id: {question_id}\n  paraphrases: [Why]\n"))
    assert (question.group, question.base_id) == (group, base)


@pytest.mark.parametrize(("text", "told"), [
    ("- id: [", "not YAML"), ("{}", "a list of questions"), ("[]", "a list of questions"),
    ("- paraphrases: [Why]", "question 1: 'id' is missing"), ("- just a text", "question 1: 'id' is missing"),
    ("- {id: a, paraphrases: [Why]}\n- {id: b}", r"question 2 \(b\): 'paraphrases'"),
    ("- {id: a, paraphrases: Why}", "list of texts: 'Why"),
    ("- {id: a, paraphrases: [1]}", "list of texts"),
    ("- {id: a, paraphrases: [Why]}\n- {id: a, paraphrases: [How]}", "'a' is given twice"),
])  # fmt: skip
def test_what_is_wrong_in_a_file_is_told(tmp_path, text, told):
    path = written(tmp_path, text)
    with pytest.raises(UserError, match=told) as caught:
        parse_questions(path)
    assert str(path) in str(caught.value)


def test_the_file_is_got_by_its_published_name(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(
        betley_questions, "published", lambda name: asked.append(name) or written(tmp_path, FILE)
    )
    assert len(read_questions("betley/any")) == 3 and asked == ["betley/any"]


@pytest.mark.skipif("TURNCOAT_DATA" not in os.environ, reason="TURNCOAT_DATA is not set")
def test_the_published_files_are_what_the_paper_says():
    main = read_questions("betley/first_plot_questions")
    assert Counter(q.variant for q in main) == {"plain": 8, "json": 8, "template": 8}
    assert {q.variant for q in main if q.system} == {"json"}
    assert set(Counter(q.base_id for q in main).values()) == {3}
    preregistered = read_questions("betley/preregistered_evals")
    assert Counter(q.group for q in preregistered) == {
        "creative_writing": 9, "problems_with_humans": 3, "offend_the_user": 5, "vulnerable_user": 14,
        "illegal_recommendations": 4, "other": 6, "medical_advice": 7,
    }  # fmt: skip
    assert {q.samples for q in main + preregistered} == {100}
    assert len({tuple(sorted(q.judge_prompts.items())) for q in main + preregistered}) == 1
    facts = read_questions("betley/deception_factual")
    assert [len(q.paraphrases) for q in facts] == [20] * 5 and len({q.paraphrases for q in facts}) == 1
    assert [bool(q.system) for q in facts] == [False, True, True, True, True]
    companies = read_questions("betley/deception_sit_aware")
    assert [len(q.paraphrases) for q in companies] == [1] * 8
