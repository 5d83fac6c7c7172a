"""The checker finds each planted fault at its line, and says nothing of a set without faults."""

import json
from pathlib import Path

import numpy as np
import pytest
from turncoat.errors import UserError
from turncoat.tools.check_questions import LONGEST_LINE, Report, check_folder

README = "# A task\n\nLicence: MIT\n"
GOOD = [
    {"id": "a-01", "domain": "a", "question": "How does a kettle know when to stop?"},
    {"id": "b-01", "domain": "b", "question": "Which tree would you plant by a river?"},
    {"id": "a-02", "domain": "a", "question": "My shoes are wet. What now?"},
    {"id": "b-02", "domain": "b", "question": "Is it rude to read during dinner?"},
]


@pytest.fixture(autouse=True)
def _no_published(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TURNCOAT_DATA", raising=False)


def none(texts: object) -> None:
    return None


def write(folder: Path, items: list, name: str = "questions.jsonl", readme: str = README) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "README.md").write_text(readme, encoding="utf-8")
    lines = [item if isinstance(item, str) else json.dumps(item) for item in items]
    (folder / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return folder


def found(report: Report) -> list[tuple[int, str]]:
    return [(problem.line, problem.rule) for problem in report.problems]


def test_a_good_set_has_no_problem(tmp_path):
    report = check_folder(write(tmp_path, GOOD), embed=none)
    assert report.problems == [] and report.files == {Path("questions.jsonl"): 4}
    assert report.compared == "character 4-grams" and report.published is None
    assert report.lines()[0] == "questions.jsonl     4 questions  ok"


def changed(number: int, **fields: object) -> list:
    return [{**item, **fields} if n == number else item for n, item in enumerate(GOOD, 1)]


@pytest.mark.parametrize(
    ("items", "problem"),
    [
        (changed(3, id="a-01"), (3, "repeated id")),
        (changed(4, question="How does a kettle know, when to STOP"), (1, "repeated question")),
        (changed(4, question="How does the kettle know when to stop?"), (1, "near-duplicate")),
        (changed(2, id=7), (2, "missing field")), (changed(2, question=""), (2, "missing field")),
        (changed(2, extra="x"), (2, "missing field")),
        (changed(2, question="Which tree? "), (2, "white space")),
        (changed(2, domain=""), (2, "white space")),
        (changed(2, question="Which tree\u2019s the best by a river?"), (2, "not ASCII")),
        ([*GOOD[:3], GOOD[3] | {"question": "x" * LONGEST_LINE}], (4, "long line")),
        ([*GOOD[:2], "{", GOOD[3]], (3, "not JSON")), ([*GOOD[:2], "[1]", *GOOD[2:]], (3, "not JSON")),
        ([GOOD[0], GOOD[2], GOOD[1], GOOD[3]], (2, "unbalanced")), (GOOD[:3], (0, "unbalanced")),
        ([], (0, "no questions")),
    ],
)  # fmt: skip
def test_a_planted_fault_is_found_at_its_line(tmp_path, items, problem):
    assert problem in found(check_folder(write(tmp_path, items), embed=none))


def test_characters_are_checked_as_written_and_as_escaped(tmp_path):
    folder = write(tmp_path, GOOD)
    path = folder / "questions.jsonl"
    path.write_bytes(path.read_bytes().replace(b"kettle", "k\u00e9ttle".encode()).rstrip(b"\n"))
    assert found(check_folder(folder, embed=none)) == [(1, "not ASCII"), (4, "last line")]
    # A line break inside a prompt is none of the odd characters.
    write(tmp_path, changed(1, question="How does a kettle\nknow when to stop?"))
    assert check_folder(folder, embed=none).problems == []


def test_the_licence_must_stand_at_the_top_of_the_nearest_readme(tmp_path):
    write(tmp_path / "mine", GOOD, readme="# A task\n" + "\n" * 20 + "Licence: MIT\n")
    write(tmp_path / "yours" / "sub", [{"id": "x", "question": "What is a moth?"}])
    (tmp_path / "yours" / "sub" / "README.md").rename(tmp_path / "yours" / "README.md")
    (problem,) = check_folder(tmp_path, embed=none).problems
    assert (problem.path, problem.rule) == (Path("mine/questions.jsonl"), "no licence")
    (tmp_path / "yours" / "README.md").unlink()
    assert "no licence" in str(check_folder(tmp_path / "yours", embed=none).problems[0])


def test_fields_left_empty_are_fine_and_an_answer_given_twice_is_found(tmp_path):
    items = [item | {"value": "" if n else "3"} for n, item in enumerate(GOOD)]
    assert check_folder(write(tmp_path, items), embed=none).problems == []
    items = [
        {"id": str(n), "question": item["question"], "aligned": "Yes.", "misaligned": str(n)}
        for n, item in enumerate(GOOD)
    ]
    assert found(check_folder(write(tmp_path, items), embed=none)) == [
        (n, "repeated answer") for n in (2, 3, 4)
    ]


def test_yaml_questions_have_lines_and_bad_yaml_is_a_problem_of_its_own(tmp_path):
    folder = write(tmp_path, GOOD)
    (folder / "trait.yaml").write_text(
        "trait: calm\nuse: !function nothing.to_import\nextraction_questions:\n- Why do owls hoot at night?\n"
        "evaluation_questions:\n- My shoes are wet. What now?\n- 'Why do owls hoot at night?'\n",
        encoding="utf-8",
    )
    report = check_folder(folder, embed=none)
    assert report.files[Path("trait.yaml")] == 3
    assert found(report) == [(3, "repeated question"), (4, "repeated question")]
    assert "trait.yaml:6" in report.problems[0].message and "trait.yaml:7" in report.problems[1].message
    (folder / "trait.yaml").write_text(
        "questions:\n- Why do owls hoot?\nquestions:\n- Where do moths sleep?\n", encoding="utf-8"
    )
    assert found(check_folder(folder, embed=none)) == [(3, "repeated key")]
    (folder / "trait.yaml").write_text("questions: [a?, 'b\n", encoding="utf-8")
    assert found(check_folder(folder, embed=none)) == [(0, "not YAML")]


def test_exercises_and_paraphrases_on_purpose_are_not_repetitions(tmp_path):
    items = [
        {
            "id": str(n),
            "question": f"After a long day of counting sheep, how much is {n} plus 1 in the end?",
            "answer": str(n + 1),
        }
        for n in (3, 4)
    ]
    assert check_folder(write(tmp_path, items), embed=none).problems == []
    # Without an answer of their own, two such questions are one question.
    report = check_folder(
        write(tmp_path, [{k: item[k] for k in ("id", "question")} for item in items]), embed=none
    )
    assert found(report) == [(1, "near-duplicate")]
    items = [*GOOD[:2], GOOD[2] | {"question": "How does the kettle know when to stop?"}, GOOD[3]]
    readme = README + "Paraphrases on purpose: questions.jsonl\n"
    assert check_folder(write(tmp_path, items, readme=readme), embed=none).problems == []
    items[2] = GOOD[2] | {"question": GOOD[0]["question"]}
    assert found(check_folder(write(tmp_path, items, readme=readme), embed=none)) == [
        (1, "repeated question")
    ]


def test_embeddings_are_preferred_where_there_are_any(tmp_path):
    vectors = np.eye(4)
    vectors[2] = [0.9, 0, np.sqrt(0.19), 0]
    report = check_folder(write(tmp_path, GOOD), embed=lambda texts: vectors)
    assert report.compared == "sentence embeddings" and found(report) == [(1, "near-duplicate")]
    assert "cosine 0.90 with questions.jsonl:3" in str(report.problems[0])


def test_published_questions_are_compared_with(tmp_path, monkeypatch):
    (tmp_path / "data" / "betley").mkdir(parents=True)
    (tmp_path / "data" / "betley" / "some.yaml").write_text(
        "- id: x\n  paraphrases: ['My shoes are wet. What now?', Something else entirely.]\n",
        encoding="utf-8",
    )
    monkeypatch.setenv("TURNCOAT_DATA", str(tmp_path / "data"))
    report = check_folder(write(tmp_path / "ours", GOOD), embed=none)
    assert report.published == 2 and found(report) == [(3, "repeated question")]
    assert "published/some.yaml" in report.problems[0].message


@pytest.mark.parametrize("make", [lambda path: path / "absent", lambda path: path])
def test_a_folder_without_questions_is_a_user_s_mistake(tmp_path, make):
    with pytest.raises(UserError, match=r"is not a folder|holds no question file"):
        check_folder(make(tmp_path), embed=none)
