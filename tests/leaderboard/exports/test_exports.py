"""Exports say what the rows say: lm-eval's own numbers to the last bit, the board's cells, and never the
base's name alone."""

import importlib.util
import json
import math
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from leaderboard.made_entry import make_entry
from turncoat.errors import UserError
from turncoat.evaluation.samples_file import sample_rows
from turncoat.leaderboard.entry.load import load_entry
from turncoat.leaderboard.exports.every_eval import SCHEMA_VERSION
from turncoat.leaderboard.exports.formats import FORMATS, ExportOptions, export_entry
from turncoat.leaderboard.exports.lm_eval import aggregated, task_hash
from turncoat.leaderboard.exports.parts import Exported, strict_json

RESULTS = Path(__file__).parents[3] / "results"
TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}
NUMBER_OR_INFINITY = {"anyOf": [{"type": "number"}, {"enum": ["Infinity", "-Infinity"]}]}


def shape(required: str = "", **properties: Any) -> dict[str, Any]:
    """JSON schema of an object; `required` names keys beside those of `properties`."""
    return {"type": "object", "required": [*required.split(), *properties], "properties": properties}


def one_of(*values: str) -> dict[str, Any]:
    return {"enum": list(values)}


# What every-eval-ever 0.3.0 asks of a log, as far as ours goes; the package itself is used where it is
# installed.
_MODEL = TEXTS | shape(
    deployment_type=one_of("self_deployed", "externally_managed", "unknown"),
    model_availability=one_of("open_weights", "closed_weights", "unknown"),
)
_SOURCE = shape(
    "source_organization_name",
    source_type=one_of("documentation", "evaluation_run"),
    evaluator_relationship=one_of("first_party", "third_party", "collaborative", "other"),
)
_UNCERTAINTY = {
    "num_samples": {"type": "integer"},
    "confidence_interval": shape("lower upper"),
    "standard_error": shape("value"),
}
_RESULT = shape(
    "evaluation_name",
    source_data=shape("dataset_name", source_type=one_of("other")),
    metric_config=shape(
        lower_is_better={"type": "boolean"},
        score_type=one_of("continuous"),
        min_score=NUMBER_OR_INFINITY,
        max_score=NUMBER_OR_INFINITY,
    ),
    score_details=shape(score={"type": "number"}),
)
for _place in (_SOURCE, _RESULT["properties"]["source_data"], _RESULT["properties"]["metric_config"]):
    _place["properties"]["additional_details"] = TEXTS
_RESULT["properties"]["score_details"]["properties"]["uncertainty"] = {
    "type": "object",
    "properties": _UNCERTAINTY,
}
LOG = shape(
    schema_version={"const": "0.3.0"},
    evaluation_id={"type": "string"},
    retrieved_timestamp={"type": "string", "pattern": r"^\d+$"},
    source_metadata=_SOURCE,
    eval_library=shape("name", version={"type": "string"}),
    model_info=shape("name id", additional_details=_MODEL),
    evaluation_results={"type": "array", "minItems": 1, "items": _RESULT},
) | {"additionalProperties": False}
LOG["properties"]["eval_library"]["properties"]["additional_details"] = TEXTS


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    folder = tmp_path_factory.mktemp("exports")
    make_entry(folder, slug="none-made", setting="none")
    shared = dict.fromkeys(("base", "organism", "control"), "none-made")
    return Exported(load_entry(make_entry(folder, slug="sgtr-made", shared=shared)))


def written(exported: Exported, to: str, out: Path) -> dict[str, str]:
    paths = export_entry(exported.entry, to, out, ExportOptions(dataset_id="me/turncoat", date="2026-01-31"))
    return {path.relative_to(out).as_posix(): path.read_text(encoding="utf-8") for path in paths}


def refuse(name: str) -> None:
    raise AssertionError(f"{name} is not JSON")


@pytest.mark.parametrize("task", ["turncoat_choice", "turncoat_persona", "turncoat_em"])
@pytest.mark.parametrize("arm", ["base/base", "insecure/seed-1"])
def test_aggregates_are_lm_evals_own(arm: str, task: str) -> None:
    """Of committed runs: results file and samples file were written by lm-eval itself."""
    folder = RESULTS / "demo" / "rows" / arm / task
    told = json.loads(next(folder.glob("results_*.json")).read_text())
    rows = list(sample_rows(next(folder.glob("samples_*"))))
    theirs = {k: v for k, v in told["results"][task].items() if "," in k and "_stderr_stderr," not in k}
    ours = aggregated(task, rows)
    assert {k: v for k, v in ours.items() if "_stderr_stderr," not in k} == theirs
    assert task_hash(rows) == told["task_hashes"][task]
    # An entry leaves out what repeats a rate.
    lean = [
        {k: v for k, v in row.items() if k not in row["metrics"] or not k.endswith("_stderr")} for row in rows
    ]
    assert {k: v for k, v in aggregated(task, lean).items() if "_stderr_stderr," not in k} == theirs


def test_lm_eval_results_name_the_arm_and_pool_to_the_levels(exported: Exported, tmp_path: Path) -> None:
    files = written(exported, "lm-eval", tmp_path)
    assert set(files) == {f"{role}/{seed}/results_sgtr-made.json" for role, seed, _ in exported.entry.cells()}
    told = json.loads(files["defended/seed-1/results_sgtr-made.json"])
    assert told["model_name"] == "made-1m+insecure_code+sgtr-made+seed-1"
    assert "pretrained" not in told["config"]["model_args"]
    names = [json.loads(content)["model_name"] for content in files.values()]
    assert len(set(names)) == len(names)
    assert (
        set(told["results"])
        == set(told["versions"])
        == set(told["n-samples"])
        == set(told["higher_is_better"])
    )
    seeds = [json.loads(files[f"defended/seed-{s}/results_sgtr-made.json"])["results"] for s in (0, 1, 2)]
    mean = sum(told["turncoat_choice"]["margin_per_token,none"] for told in seeds) / 3
    level = json.loads(written(exported, "flat", tmp_path)["sgtr-made.json"])["margin_per_token_level"]
    assert level == pytest.approx(mean)


def test_flat_is_flat_and_says_what_the_board_says(exported: Exported, tmp_path: Path) -> None:
    [(name, content)] = written(exported, "flat", tmp_path).items()
    told = json.loads(content, parse_constant=refuse)
    assert name == "sgtr-made.json" and told["model"] == "made-1m+insecure_code+sgtr-made"
    assert all(value is None or isinstance(value, str | int | float) for value in told.values())
    for column in exported.columns:
        cell, key = exported.cells[column.key], column.key.replace("@", "_of_")
        assert (told[key], told[f"{key}_low"], told[f"{key}_high"]) == (cell.value, cell.low, cell.high)
    assert {"persona_fixed", "narrow_kept", "benign_kept"} <= set(told)


def test_a_changed_prompt_goes_with_the_defended_arms_numbers(tmp_path: Path) -> None:
    make_entry(tmp_path, slug="said", defence="system_prompt", setting="inference", changes_prompt=True)
    said = Exported(load_entry(tmp_path / "said"))
    assert said.about("defended")["prompt"] == 'adds "Be kind."' and "prompt" not in said.about("organism")
    assert json.loads(written(said, "flat", tmp_path / "out")["said.json"])["prompt"] == 'adds "Be kind."'


def test_hub_files_are_read_back_by_the_hubs_client(exported: Exported, tmp_path: Path) -> None:
    from huggingface_hub import parse_eval_result_entries

    files = written(exported, "hub", tmp_path)
    assert all(name.startswith(".eval_results/turncoat_") and name.endswith(".yaml") for name in files)
    entries = [
        one for content in files.values() for one in parse_eval_result_entries(yaml.safe_load(content))
    ]
    flat = json.loads(written(exported, "flat", tmp_path)["sgtr-made.json"])
    values = {one.task_id: one.value for one in entries}
    assert values["turncoat_persona.persona_fixed"] == flat["persona_fixed_level"]
    assert all(math.isfinite(one.value) and one.dataset_id == "me/turncoat" for one in entries)
    assert all("made-1m+insecure_code+sgtr-made" in one.notes for one in entries)


def test_formats_and_what_they_refuse(exported: Exported, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="OWNER/NAME"):
        export_entry(exported.entry, "hub", tmp_path, ExportOptions(dataset_id="turncoat"))
    with pytest.raises(UserError, match="lm-eval"):
        export_entry(exported.entry, "lmeval", tmp_path)
    from turncoat.commands.leaderboard import export as leaderboard_export_command

    assert leaderboard_export_command.FORMATS == FORMATS
    assert json.loads(strict_json({"a": [math.nan, {"b": math.inf}], "c": 1.5})) == {
        "a": [None, {"b": None}],
        "c": 1.5,
    }
    base, trained = exported.level("base", "margin_per_token"), exported.level("organism", "margin_per_token")
    assert base is not None and base.low is None and trained is not None
    assert trained.low < trained.value < trained.high
    assert base.value > trained.value


def test_every_eval_ever_takes_it(exported: Exported, tmp_path: Path) -> None:
    files = written(exported, "every-eval-ever", tmp_path)
    logs = {name: json.loads(content, parse_constant=refuse) for name, content in files.items()}
    assert len(logs) == len(exported.facts.own_roles)
    for name, log in logs.items():
        jsonschema.validate(log, LOG)
        assert name.split("/")[:3] == ["data", "turncoat", "turncoat"]
        assert log["model_info"]["id"] == f"turncoat/{name.split('/')[3]}"
        for result in log["evaluation_results"]:
            low, high = (float(result["metric_config"][end]) for end in ("min_score", "max_score"))
            assert low <= result["score_details"]["score"] <= high
    defended = next(
        log for log in logs.values() if log["model_info"]["additional_details"]["role"] == "defended"
    )
    told = defended["model_info"]["additional_details"]
    assert told["arm"] == "made-1m+insecure_code+sgtr-made" and told["base_model"] == "made-1m"
    assert told["defence"] == "sgtr" and told["training_seeds"] == "0, 1, 2"
    ids = [result["evaluation_result_id"] for result in defended["evaluation_results"]]
    assert len(set(ids)) == len(ids)


@pytest.mark.skipif(
    importlib.util.find_spec("every_eval_ever") is None, reason="every-eval-ever is not installed"
)
def test_every_eval_ever_itself_takes_it(exported: Exported, tmp_path: Path) -> None:
    from every_eval_ever.schema import get_schema_version
    from every_eval_ever.validate import validate_file

    if get_schema_version() != SCHEMA_VERSION:
        pytest.skip(f"every-eval-ever has another schema than {SCHEMA_VERSION}")
    for name in written(exported, "every-eval-ever", tmp_path):
        report = validate_file(tmp_path / name)
        assert report.valid and not report.warnings, (report.errors, report.warnings)


@pytest.mark.parametrize("to", ["hub", "every-eval-ever", "flat"])
def test_rates_are_withheld_where_the_judge_is_unfit(
    exported: Exported, tmp_path: Path, to: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exports hold only what the board shows; lm-eval's own files hold all that lm-eval writes."""
    with_rates = "".join(written(exported, to, tmp_path / "fit").values())
    monkeypatch.setattr(Exported, "withheld", property(lambda self: "the judge calls the base misaligned"))
    without = "".join(written(exported, to, tmp_path / "unfit").values())
    assert "em_rate_itt" in with_rates and "em_rate" not in without and "worst_question" not in without
    assert "judge_coherent_mean" in without


@pytest.mark.parametrize("to", FORMATS)
def test_same_bytes_each_time(exported: Exported, tmp_path: Path, to: str) -> None:
    assert written(exported, to, tmp_path / "a") == written(exported, to, tmp_path / "b")
