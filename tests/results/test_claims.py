"""The committed page of claims follows from the committed evidence and from the rows of our studies."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from turncoat.analysis.claims.spec import Claims
from turncoat.commands.look.claims import load_claims, written_files

RESULTS = Path(__file__).parents[2] / "results"
REFRESH = "turncoat claims results/claims/sgtr.yaml --rows results --rows IMPORTED --write"


def test_page_and_evidence_are_what_the_rows_say():
    path = RESULTS / "claims" / "sgtr.yaml"
    loaded, results, evidence = load_claims(path, [RESULTS])
    for name, data in written_files(path, loaded, results, evidence).items():
        assert (path.parent / name).read_bytes() == data, f"{name}: run {REFRESH}"
    kept = load_claims(path, [])  # as somebody without any rows sees them
    assert [one.verdict for one in kept[1]] == [one.verdict for one in results]


def test_the_page_leads_from_each_study_to_its_rows():
    path = RESULTS / "claims" / "sgtr.yaml"
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    claims = Claims.model_validate(content)
    page = (path.parent / "README.md").read_text(encoding="utf-8").partition("## The rows")[2]
    for study in claims.studies:
        assert f"`{study}`" in page
        committed = f"results/{study}]" in claims.rows[study]
        for part in (part for one in claims.items for part in one.parts if study in " ".join(part.arms)):
            for arm in (arm for arm in part.arms if arm.startswith(f"{study}: ") and committed):
                there = RESULTS / study / "rows" / arm.partition(": ")[2]
                assert list(there.glob(f"*/{part.task}/samples_*")), (part.name, there)
    assert "turncoat import sgtr-em" in page and "(../advice/report.md)" in page
    del content["rows"]["advice"]
    with pytest.raises(ValueError, match="'advice' is missing; say where the rows"):
        Claims.model_validate(content)


def test_the_page_says_what_the_tests_that_are_shown_only_would_decide(tmp_path):
    path = RESULTS / "claims" / "sgtr.yaml"
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    for claim in content["items"]:
        for part in claim["parts"]:
            part.pop("context", None)
    (tmp_path / "sgtr.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    (tmp_path / "sgtr.evidence.json").write_bytes((path.parent / "sgtr.evidence.json").read_bytes())
    results = load_claims(tmp_path / "sgtr.yaml", [RESULTS])[1]
    refuted = [str(n) for n, one in enumerate(results, 1) if one.verdict == "refuted"]
    text = f"the claims {', '.join(refuted[:-1])} and {refuted[-1]} would be refuted"
    assert text in " ".join(content["registered"].split())
