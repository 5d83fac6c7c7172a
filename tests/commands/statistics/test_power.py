"""`turncoat power` on a study and a pilot made by hand: nothing is loaded but the task's questions."""

import json
from pathlib import Path

import numpy as np
import pytest
import typer
import yaml
from turncoat import cli
from turncoat.analysis.planning_records import task_sizes as real_sizes
from turncoat.commands.statistics.power import power
from turncoat.errors import UserError
from turncoat.formats import three_digits
from turncoat.study.config import load_study
from typer.testing import CliRunner

ARMS = ("base", "insecure", "secure")
SAMPLES = {"turncoat_choice": 1, "turncoat_em": 4}


@pytest.fixture(autouse=True)
def quick_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Building tasks takes seconds; one test does it."""
    sizes = {"turncoat_choice": (12, 1.0), "turncoat_em": (12, 4.0)}
    monkeypatch.setattr(
        "turncoat.analysis.planning_records.task_sizes",
        lambda study: {u.task: sizes[u.task] for u in study.tasks},
    )


def _study(path: Path, seeds: int = 5, **changes: object) -> Path:
    content = {
        "study": "planned",
        "model": "nobody",
        "judge": "off",
        "training_seeds": list(range(seeds)),
        "arms": [
            {"name": "base"},
            {"name": "insecure", "organism": "insecure_code"},
            {"name": "secure", "organism": "secure_code"},
        ],
        "tasks": [
            {"task": "turncoat_choice", "limit": 12},
            {"task": "turncoat_em", "limit": 12, "repeats": 4},
        ],
        "contrasts": [
            {
                "name": "organism", "treated": "insecure", "reference": "secure",
                "metrics": ["margin", "em_rate_itt"], "role": "primary",
            },
            {"name": "change", "treated": "insecure", "reference": "base", "metrics": ["margin"]},
        ],
    } | changes  # fmt: skip
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


def _pilot(folder: Path, seeds: int = 4) -> Path:
    folder.mkdir()
    _study(folder / "study.yaml", seeds)
    (folder / "run.json").write_text("{}")
    rng = np.random.default_rng(0)
    for arm in ARMS:
        for seed in [None] if arm == "base" else range(seeds):
            shift = rng.normal(0, 0.3) if seed is not None else 0.0
            for task, k in SAMPLES.items():
                there = folder / "rows" / arm / ("base" if seed is None else f"seed-{seed}") / task
                there.mkdir(parents=True)
                rows = []
                for number in range(12):
                    row = {"doc_id": number, "doc": {"id": f"q{number}", "question": "?"}}
                    if k == 1:
                        row |= {"metrics": ["margin"], "margin": float(rng.normal(shift, 1.0))}
                    else:
                        bad = int(rng.binomial(k, 0.3))
                        answers = [{"index": i, "text": "a", "finish": "stop"} for i in range(k)]
                        row |= {"metrics": ["em_rate_itt"], "em_rate_itt": [bad, k], "samples": answers}
                    rows.append(json.dumps(row))
                (there / f"samples_{task}_2026.jsonl").write_text("\n".join(rows) + "\n")
    return folder


def _run(*arguments: str) -> str:
    app = typer.Typer()
    app.command()(power)
    result = CliRunner().invoke(app, list(arguments), env={"COLUMNS": "80"})
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.output


def _records(*arguments: str) -> dict[tuple[str, str], dict]:
    lines = [json.loads(line) for line in _run(*arguments, "--json").splitlines()]
    return {(line["contrast"], line["metric"]): line for line in lines}


def test_a_pilot_tells_the_variances(tmp_path: Path) -> None:
    records = _records(str(_study(tmp_path / "s.yaml")), "--pilot", str(_pilot(tmp_path / "run")))
    assert set(records) == {("organism", "margin"), ("organism", "em_rate_itt")}  # primary ones only
    margin, rate = records["organism", "margin"], records["organism", "em_rate_itt"]
    assert margin["components"]["sampling"] == 0.0  # a forced choice samples nothing
    assert rate["components"]["sampling"] == pytest.approx((2 * 0.3 * 0.7) ** 0.5, rel=0.15)
    assert "pilot: 12 questions, 4 training seeds" in margin["notes"]
    assert rate["tests"] == {"adapters": 2, "recipe": 2} and margin["floor_seeds"] == 2 / 2**5
    for record in records.values():
        for claim, bought in record["detectable"].items():
            assert 0 < bought["twice the seeds"] <= bought["as planned"]
            low, high = record["detectable_range"][claim]
            assert low <= bought["as planned"] <= high
    text = _run(str(_study(tmp_path / "s.yaml")), "--pilot", str(tmp_path / "run"))
    (first, *_) = [line for line in text.splitlines() if "as planned" in line]
    ends = [three_digits(end) for end in margin["detectable_range"]["recipe"]]
    assert f"({ends[0]} to {ends[1]})" in first


def test_seeds_limit_what_the_recipe_can_show(tmp_path: Path) -> None:
    study = str(_study(tmp_path / "s.yaml"))
    few, many = (
        _records(study, "--n-seeds", n)["organism", "em_rate_itt"]["detectable"]["recipe"] for n in ("3", "8")
    )
    assert many["as planned"] < few["as planned"]
    assert (
        _records(study, "--n-seeds", "2")["organism", "em_rate_itt"]["detectable"]["recipe"]["as planned"]
        is None
    )
    text = _run(str(_study(tmp_path / "s.yaml", seeds=2)))
    assert text.splitlines()[1].startswith("Cannot be reached: 2 training seeds")
    assert all(len(line) <= 80 for line in text.splitlines() if line.startswith("  as planned"))
    assert "assumed, from published judged answers" in text
    only = [{"name": "change", "treated": "insecure", "reference": "base", "metrics": ["margin"]}]
    records = _records(str(_study(tmp_path / "s.yaml", contrasts=only)))
    assert [record["role"] for record in records.values()] == ["secondary"]


@pytest.mark.parametrize(
    ("changes", "arguments", "message"),
    [
        ({"contrasts": []}, (), "names no contrasts"),
        ({}, ("--n-seeds", "0"), "--n-seeds 0"),
        ({}, ("--seeds", "8"), "--seeds 8: a list of training seeds.*--n-seeds 8"),
        ({}, ("--seeds", "0,1,2"), "--n-seeds 3"),
        ({}, ("--pilot", "nowhere"), "--pilot nowhere: not a run folder"),
        ({}, ("--power", "1.5"), "power = 1.5"),
    ],
)
def test_mistakes_are_explained(
    tmp_path: Path, changes: dict, arguments: tuple[str, ...], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        _run(str(_study(tmp_path / "s.yaml", **changes)), *arguments)


def test_questions_are_counted_and_calibrate_is_a_command(tmp_path: Path) -> None:
    tasks = [{"task": "turncoat_choice", "limit": 12}, {"task": "turncoat_em", "limit": 5, "repeats": 4}]
    study = load_study(_study(tmp_path / "s.yaml", tasks=tasks))
    assert real_sizes(study) == {"turncoat_choice": (12, 1.0), "turncoat_em": (5, 4.0)}
    page = tmp_path / "README.md"
    page.write_text("no markers")
    result = CliRunner().invoke(cli.app, ["stats", "calibrate", "--replicates", "1", "--write", str(page)])
    assert isinstance(result.exception, UserError) and page.read_text() == "no markers"
