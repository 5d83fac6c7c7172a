"""A study of models behind an endpoint: our own server, what is asked once, limits, and what is refused."""

from pathlib import Path

import pytest
import yaml
from serving.test_serve import TOKEN, running
from turncoat.errors import UserError
from turncoat.judges.prompted.endpoint import CallFailed, Endpoint
from turncoat.report.build import run_content
from turncoat.serving.arms import ServedArm
from turncoat.store import Store
from turncoat.study import remote
from turncoat.study.config import load_study
from turncoat.study.problems import find_problems
from turncoat.study.run import run_study

ARMS = [{"name": "base"}, {"name": "insecure", "organism": "insecure_code", "model": {0: "other"}}]
TASKS = [{"task": "turncoat_em", "limit": 2, "repeats": 2, "max_gen_toks": 4}]


def study_of(folder: Path, **changes) -> Path:
    content = {"study": "far", "model": "openai:one", "judge": "off", "arms": ARMS, "tasks": TASKS, **changes}
    path = folder / "far.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.fixture
def asked(tiny_base, tiny_adapter, monkeypatch):
    """Bodies of the requests to a server of two arms; those after the first `most` fail."""

    class Asked(list):
        most = 10**9

    bodies, ask = Asked(), Endpoint.ask

    def counted(self, payload, stop=None):
        if len(bodies) >= bodies.most:
            raise CallFailed("the line is cut")
        bodies.append(payload)
        return ask(self, payload, stop)

    monkeypatch.setattr(Endpoint, "ask", counted)
    arms = {"one": ServedArm("one", tiny_base), "other": ServedArm("other", tiny_base, tiny_adapter)}
    with running(arms) as server:
        monkeypatch.setenv("OPENAI_API_KEY", TOKEN)
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        yield bodies


def test_answers_are_asked_for_once_and_reported(asked, tmp_path, capsys):
    study, store = load_study(study_of(tmp_path)), Store(tmp_path / "store")
    asked.most = 5
    with pytest.raises(UserError, match="answers are missing; the last: the line is cut"):
        run_study(study, tmp_path / "run", store=store)
    assert "8 requests, about " in capsys.readouterr().err
    first = list(asked)
    asked.most = 10**9
    assert run_study(study, tmp_path / "run", store=store) == []
    assert "3 requests, about " in capsys.readouterr().err
    assert len(asked) == 8 and asked[:5] == first
    assert len({body["seed"] for body in asked}) == 4  # of question and sample; both arms get the same
    assert [body["model"] for body in asked].count("other") == 4
    content = run_content(tmp_path / "run")
    assert content.model["name"] == "openai:one" and "127.0.0.1" in content.model["weights"]
    assert sorted(zip(content.answers["arm"], content.answers["seed"], strict=True)) == [
        *[("base", -1)] * 4, *[("insecure", 0)] * 4,
    ]  # fmt: skip
    limited = load_study(study_of(tmp_path, endpoint={"max_requests": 4}))
    assert run_study(limited, tmp_path / "run", store=store) == [] and len(asked) == 8
    with pytest.raises(UserError, match="8 requests, more than max_requests=4; nothing was sent"):
        run_study(limited, tmp_path / "other", store=Store(tmp_path / "empty"))
    dear = {"price_in": 1, "price_out": 1e6, "max_cost": 0.01}
    with pytest.raises(UserError, match=r"more than max_cost=0\.01; nothing was sent"):
        run_study(load_study(study_of(tmp_path, endpoint=dear)), tmp_path / "x", store=Store(tmp_path / "y"))
    assert len(asked) == 8


def test_rows_without_verdicts_are_judged_again_and_nothing_is_asked(asked, tmp_path, monkeypatch):
    study, store = load_study(study_of(tmp_path, arms=ARMS[:1])), Store(tmp_path / "store")
    run_study(study, tmp_path / "run", store=store)
    lost, run_task = [True], remote.run_task

    def judged_again(lm, use, folder, earlier):
        lost[0] = False
        return run_task(lm, use, folder, earlier)

    monkeypatch.setattr(remote, "judge_of", lambda judge, task: ["judge", "rubric"])
    monkeypatch.setattr(remote, "verdicts_lost", lambda folder, task: lost[0])
    monkeypatch.setattr(remote, "run_task", judged_again)
    run_study(study, tmp_path / "run", store=store)
    assert len(asked) == 4 and lost == [False]
    assert len(run_content(tmp_path / "run").answers) == 4


def test_what_no_endpoint_gives_is_refused(tmp_path):
    arms = [
        {"name": "base"}, {"name": "insecure", "organism": "insecure_code"},
        {"name": "steered", "defence": "steering", "setting": "inference"},
        {"name": "secure", "organism": "secure_code", "model": {1: "x"}},
    ]  # fmt: skip
    tasks = [*TASKS, {"task": "turncoat_choice"}, {"task": "turncoat_persona"}]
    path = study_of(tmp_path, arms=arms, tasks=tasks)
    said = {p.field: p.message for p in find_problems(path) if p.level == "error"}
    assert "`turncoat finetune` makes one" in said["arms[1].model"]
    assert "acts inside a model" in said["arms[2].setting"]
    assert "names no model for seed 0" in said["arms[3].model"]
    assert "log-likelihoods" in said["tasks[1].task"] and "activations" in said["tasks[2].task"]
    with pytest.raises(UserError, match="needs log-likelihoods"):
        run_study(load_study(path), tmp_path / "run", store=Store(tmp_path / "store"))
    local = study_of(tmp_path, model="m")
    assert [p.field for p in find_problems(local) if "for studies of an endpoint" in p.message] == [
        "arms[1].model"
    ]
