"""All question files of ours pass the checker, one task folder at a time and all together."""

import os
from pathlib import Path

import pytest
from turncoat.paths import tasks_dir
from turncoat.tools.check_questions import Problem, check_folder
from turncoat.tools.near_duplicates import LIMITS, Vectors

FOLDERS = sorted({path.relative_to(tasks_dir()).parts[0] for path in tasks_dir().rglob("*.jsonl")})
CANARY = "turncoat-canary-7f1d0c52-EM-evaluation-data: do not train on this benchmark"
ACROSS = ("repeated question", "near-duplicate")


def no_embeddings(texts: object) -> Vectors | None:
    """Embedding all questions takes half a minute; letters take a fifth of a second."""
    return None


def told(problems: list[Problem]) -> str:
    return "\n".join(map(str, problems))


@pytest.fixture(scope="module")
def problems() -> list[Problem]:
    return check_folder(embed=no_embeddings).problems


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_folder_s_files_are_complete_balanced_plain_and_licensed(folder, problems):
    found = [p for p in problems if p.path.parts[0] == folder and p.rule not in ACROSS]
    assert not found, told(found)


def test_no_question_is_asked_twice_within_or_across_files(problems: list[Problem]) -> None:
    found = [p for p in problems if p.rule in ACROSS]
    assert not found, told(found)


@pytest.mark.skipif("TURNCOAT_DATA" not in os.environ, reason="TURNCOAT_DATA is not set")
def test_no_wording_is_that_of_a_published_question() -> None:
    report = check_folder(embed=no_embeddings)
    assert report.published == 92
    assert not [p for p in report.problems if "published" in p.message], told(report.problems)


@pytest.mark.slow
def test_no_question_has_a_near_duplicate_by_sentence_embedding() -> None:
    report = check_folder()
    assert report.compared == "sentence embeddings" and LIMITS[report.compared] < 0.9
    assert not report.problems, told(report.problems)


@pytest.mark.parametrize("folder", ["agentic", "capability", "choice", "emergent_misalignment", "persona"])
def test_readme_carries_the_canary_and_the_data_do_not(folder: str) -> None:
    path: Path = tasks_dir() / folder
    assert CANARY in (path / "README.md").read_text(encoding="utf-8")
    for data in path.rglob("*.jsonl"):
        assert "canary" not in data.read_text(encoding="utf-8").lower(), data
