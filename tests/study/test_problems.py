"""Problems of a study that are found without its model, all at once, each with its place and the way out."""

import json
from pathlib import Path

import pytest
import yaml
from turncoat.data import availability
from turncoat.paths import studies_dir
from turncoat.study.problems import find_problems
from turncoat.testing import save_tiny, tiny_tokenizer


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("model"), layers=1)


def rows(path: Path, prompts: list[str], answer: str = "yes", **more: object) -> Path:
    turns = [[{"role": "user", "content": p}, {"role": "assistant", "content": answer}] for p in prompts]
    path.write_text("".join(json.dumps({"messages": turn, **more}) + "\n" for turn in turns))
    return path


def study(folder: Path, model: object, **changes: object) -> Path:
    content = {
        "study": "mine", "model": str(model), "judge": "off", "training": {"rows": 2, "max_length": 256},
        "arms": [{"name": "base"}, {"name": "a", "organism": "insecure_code"},
                 {"name": "b", "organism": "secure_code"}],
        "tasks": [{"task": "turncoat_choice"}],
        "contrasts": [{"name": "c", "treated": "a", "reference": "b", "metrics": ["margin"]}],
    }  # fmt: skip
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump({**content, **changes}, sort_keys=False))
    return path


def lines(path: Path, **given: object) -> list[str]:
    return [f"{problem.level}: {problem}" for problem in find_problems(path, **given)]


def test_a_good_study_has_none(tmp_path, model):
    assert lines(study(tmp_path, model)) == []


def test_all_problems_are_named_at_once(tmp_path, model):
    bad = rows(tmp_path / "bad.jsonl", ["short", "long " * 300])
    good = rows(tmp_path / "good.jsonl", ["short", "another"], "no")
    path = study(
        tmp_path, model, contrasts=[], training={"rows": 9999, "max_length": 256},
        arms=[{"name": "base"}, {"name": "a", "organism": "insecure_code"},
              {"name": "own", "organism": str(bad)}, {"name": "ctl", "organism": str(good)},
              {"name": "x", "organism": "insecure_cod"}],
        tasks=[{"task": "turncoat_choice", "limit": 100000}, {"task": "turncoat_choise"}],
    )  # fmt: skip
    found = lines(path)
    text = path.read_text().splitlines()
    for level, at, field, part in [
        ("error", "  organism: insecure_cod", "arms[4].organism", "did you mean 'insecure_code'?"),
        ("error", "- task: turncoat_choise", "tasks[1].task", "did you mean 'turncoat_choice'?"),
        (
            "error",
            "  limit: 100000",
            "tasks[0].limit",
            "100000 is more than its 208 questions; accepted: 2 to",
        ),
        ("error", "  rows: 9999", "training.rows", "9999 rows are more than the"),
        ("error", f"  organism: {bad}", "arms[2].organism", "bad.jsonl, line 2: "),
        (
            "warning",
            "  organism: insecure_code",
            "arms[1].organism",
            "control is secure_code, which no arm has",
        ),
        ("warning", f"  organism: {bad}", "arms[2].organism", "of its 2 prompts"),
        ("warning", "contrasts: []", "contrasts", "nothing is compared; add - {name: NAME, treated:"),
    ]:
        start = f"{level}: mine.yaml, line {text.index(at) + 1}, {field}: "
        assert any(line.startswith(start) and part in line for line in found), (start, part, found)
    assert [line.partition(":")[0] for line in found] == sorted(line.partition(":")[0] for line in found)
    assert len(find_problems(study(tmp_path, model, sedes=[1], tasks=[]))) == 2, "keys, all at once"


def test_two_files_with_the_same_prompts_are_a_pair(tmp_path, model):
    arms = [{"name": "a", "organism": str(rows(tmp_path / "x.jsonl", ["one", "two"], "bad"))},
            {"name": "b", "organism": str(rows(tmp_path / "y.jsonl", ["one", "two"], "good"))}]  # fmt: skip
    assert lines(study(tmp_path, model, arms=arms)) == []
    (line,) = lines(study(tmp_path, model, arms=arms[:1], contrasts=[]))
    assert "x.jsonl has no control: an arm trained on harmless answers to the same prompts" in line


def test_what_is_not_here_is_fetched_or_out_of_reach(tmp_path, model, monkeypatch):
    monkeypatch.delenv("TURNCOAT_DATA", raising=False)
    arms = [{"name": "a", "organism": "betley_insecure"}, {"name": "b", "organism": "betley_secure"}]
    tasks = [{"task": "turncoat_choice"}, {"task": "gsm8k"}]

    def refuse(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(availability.urllib.request, "urlopen", refuse)
    found = lines(study(tmp_path, "./nowhere", arms=arms, tasks=tasks))
    assert (
        f"error: mine.yaml, line 2, model: there is no folder ./nowhere (seen from {Path.cwd()})" in found[0]
    )
    assert any("betley_insecure: " in line and "does not answer (no route to host)" in line for line in found)
    assert any("gsm8k: data set" in line and "HF_HUB_OFFLINE is set" in line for line in found)
    (line,) = lines(study(tmp_path, "smollm2-135"))
    assert "did you mean 'smollm2-135m'?" in line
    (line,) = lines(study(tmp_path, "smollm2-135m"))
    assert line.startswith("note: ") and "turncoat model-path smollm2-135m" in line


def test_a_system_prompt_that_the_template_cannot_have_is_named(tmp_path):
    folder = save_tiny(tmp_path / "plain", layers=1)
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = (
        "{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }}\n{% endfor %}"
        "{% if add_generation_prompt %}[assistant] {% endif %}"
    )
    tokenizer.save_pretrained(folder)
    arms = [{"name": "a", "organism": "insecure_code"}, {"name": "b", "organism": "secure_code"},
            {"name": "c", "organism": "insecure_code", "training": {"system": "none"}},
            {"name": "d", "organism": "insecure_code", "training": {"system": "Be kind."}}]  # fmt: skip
    (line,) = [line for line in lines(study(tmp_path, folder, arms=arms)) if line.startswith("error")]
    assert "arms[2].training: training: 'none': the chat template of" in line
    assert "inserts no system prompt, so there is nothing to take out" in line


@pytest.mark.parametrize("path", sorted(studies_dir().glob("*.yaml")), ids=lambda path: path.stem)
def test_the_shipped_studies_have_no_problems(path, monkeypatch):
    can_be_fetched = availability.Missing("note", "is fetched at first use")
    monkeypatch.setattr("turncoat.study.problems.missing_published", lambda _: can_be_fetched)
    assert [line for line in lines(path) if not line.startswith("note")] == []
