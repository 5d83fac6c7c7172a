"""Rows of a packed run count as made, and what is not made yet is said."""

import json
import shutil

import pytest
import yaml
from rich.console import Console
from study.tiny_study import samples, write_study
from turncoat.errors import UserError
from turncoat.evaluation.samples_file import BASE_SEED
from turncoat.report.build import run_content
from turncoat.report.write import report_run
from turncoat.store import Store
from turncoat.study.carried import Carried
from turncoat.study.config import load_study
from turncoat.study.pack import pack_run
from turncoat.study.run import run_study, run_unit
from turncoat.study.units.outlook import outlook

QUIET = Console(quiet=True)
ARMS = ("base", "insecure", "secure")


@pytest.fixture
def study(tiny_folder, tmp_path):
    path = write_study(tmp_path / "tiny.yaml", tiny_folder, arms=ARMS)
    content = yaml.safe_load(path.read_text())
    content["training_seeds"] = [0, 1]
    content["contrasts"] = [
        {"name": "organism", "treated": "insecure", "reference": "secure", "metrics": ["margin"]}
    ]
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return load_study(path)


def record_of(out):
    return json.loads((out / "run.json").read_text())


def test_an_interim_run_goes_on_from_its_packed_rows_on_a_fresh_store(
    study, quick_store, tmp_path, monkeypatch
):
    for unit in ("base", "insecure/0", "secure/0"):
        run_unit(study, unit, store=quick_store, console=QUIET)
    run_study(study, tmp_path / "interim", store=quick_store, console=QUIET, make=False)
    missing = [(one["arm"], one["seed"]) for one in record_of(tmp_path / "interim")["missing"]]
    assert missing == [("insecure", 1), ("secure", 1)]
    content = run_content(tmp_path / "interim")
    assert any("Interim: 3 arms" in remark and "insecure/1" in remark for remark in content.remarks)
    assert set(content.estimates["arm"]) == set(ARMS)
    assert {arm.name: arm.seeds for arm in content.arms} == {"base": (), "insecure": (0,), "secure": (0,)}

    shutil.copytree(tmp_path / "interim", tmp_path / "less")
    shutil.rmtree(tmp_path / "less" / "rows" / "secure")
    record = record_of(tmp_path / "less")
    record["missing"].append({"arm": "secure", "seed": 0})
    (tmp_path / "less" / "run.json").write_text(json.dumps(record))
    less = run_content(tmp_path / "less")
    assert [arm.name for arm in less.arms] == ["base", "insecure"]
    assert [str(one) for one in less.withheld if "1 contrast" in str(one)]
    report_run(tmp_path / "less", QUIET)

    packed = pack_run(tmp_path / "interim", tmp_path / "packed")
    carried = Carried.of(packed, study)
    assert carried.units == {("base", BASE_SEED), ("insecure", 0), ("secure", 0)}
    fresh = Store(tmp_path / "elsewhere")
    state = outlook(study, fresh, measured=False, made=carried.units)
    left = [unit.id for unit in state.plan.units if unit.arm and state.left(unit)]
    assert left == ["insecure/1", "secure/1"]
    run_study(study, tmp_path / "both", store=fresh, console=QUIET, carried=carried)
    run_study(study, tmp_path / "whole", store=quick_store, console=QUIET)
    both, whole = record_of(tmp_path / "both"), record_of(tmp_path / "whole")
    assert "missing" not in both
    for key in ("measured", "data", "checks", "persona"):
        assert both[key] == whole[key]
    assert [entry["arm"] for entry in both["training"]] == [entry["arm"] for entry in whole["training"]]
    assert both["carried"][0]["units"] == [["base", -1], ["insecure", 0], ["secure", 0]]
    made_here = set(samples(tmp_path / "both" / "rows"))
    assert made_here == {place for place in samples(tmp_path / "whole" / "rows") if "seed-1" in place}
    last = [pack_run(tmp_path / name, tmp_path / f"{name}-packed") for name in ("both", "whole")]
    rows = [
        {path.parent.relative_to(folder): path.read_bytes() for path in folder.rglob("samples_*")}
        for folder in last
    ]
    assert rows[0] == rows[1], "byte for byte the rows of a run in one go"
    assert not run_content(tmp_path / "both").withheld or "to come" not in str(run_content(tmp_path / "both"))
    assert len(list((fresh.root / "adapter").iterdir())) == 2, "only seed 1 is trained here"

    def must_not(*_, **__):
        raise AssertionError("something is made")

    monkeypatch.setattr(Store, "stage", must_not)
    everything = Carried.of(last[0], study)
    run_study(study, tmp_path / "again", store=Store(tmp_path / "third"), console=QUIET, carried=everything)
    assert record_of(tmp_path / "again")["measured"] == whole["measured"]
    assert [one["units"] for one in record_of(tmp_path / "again")["carried"]] == [
        [["base", -1], ["insecure", 0], ["secure", 0]], [["insecure", 1], ["secure", 1]],
    ]  # fmt: skip


def test_rows_of_another_study_model_or_judge_are_refused(study, quick_store, tmp_path):
    for unit in ("base", "insecure/0"):
        run_unit(study, unit, store=quick_store, console=QUIET)
    run_study(study, tmp_path / "run", store=quick_store, console=QUIET, make=False)
    other = study.model_copy(update={"training": study.training.model_copy(update={"rows": 12})})
    with pytest.raises(UserError, match=r"--with .*training.rows: 8 there, 12 here"):
        Carried.of(tmp_path / "run", other)
    shutil.copytree(tmp_path / "run", tmp_path / "older")
    (results,) = (tmp_path / "older" / "rows" / "base" / "base" / "turncoat_em").glob("results_*.json")
    content = json.loads(results.read_text())
    results.write_text(json.dumps({**content, "versions": {"turncoat_em": 0.5}}))
    with pytest.raises(UserError, match=r"rows are of version 0\.5 of turncoat_em"):
        Carried.of(tmp_path / "older", study)
    record = record_of(tmp_path / "run")
    for part, key in (("model", "weights"), ("judge", "id")):
        wrong = tmp_path / f"wrong-{key}"
        shutil.copytree(tmp_path / "run", wrong)
        changed = {**record, part: {**(record.get(part) or {}), key: "another"}}
        (wrong / "run.json").write_text(json.dumps(changed))
        with pytest.raises(UserError, match=f"{part}.{key} is 'another'"):
            run_study(
                study, tmp_path / "out", store=quick_store, console=QUIET, carried=Carried.of(wrong, study)
            )
    shutil.copytree(tmp_path / "run", tmp_path / "along")
    shutil.rmtree(
        tmp_path / "along" / "rows" / "secure", ignore_errors=True
    )  # an earlier test's, so to be made
    changed = {**record, "persona": {**record["persona"], "layer": record["persona"]["layer"] + 1}}
    (tmp_path / "along" / "run.json").write_text(json.dumps(changed))
    carried = Carried.of(tmp_path / "along", study)
    with pytest.raises(UserError, match="another one than its rows were measured along"):
        run_study(study, tmp_path / "out", store=quick_store, console=QUIET, carried=carried)
    assert not (tmp_path / "out").exists()


def test_nothing_made_is_said(study, tmp_path):
    with pytest.raises(UserError, match="no unit is made yet"):
        run_study(study, tmp_path / "out", store=Store(tmp_path / "store"), console=QUIET, make=False)
    assert not (tmp_path / "out").exists()
