"""The committed page of claims follows from the committed evidence and from the rows of our studies."""

from __future__ import annotations

from pathlib import Path

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
