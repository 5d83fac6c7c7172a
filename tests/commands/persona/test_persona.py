"""`turncoat persona`: the commands on a tiny model and on rows made by hand."""

import json
from pathlib import Path

import pytest
from turncoat import cli
from turncoat.commands.persona.show import shown_layers
from turncoat.errors import UserError
from turncoat.persona.vectors import PersonaVector
from typer.testing import CliRunner


@pytest.fixture
def turncoat(quick_store, monkeypatch):
    """Runs a command; a mistake of the user's comes out as its exception (quick_store: short extractions)."""
    monkeypatch.setenv("COLUMNS", "160")

    def run(*arguments: str) -> str:
        done = CliRunner().invoke(cli.app, ["persona", *arguments], catch_exceptions=True)
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert done.exit_code == 0, done.output
        return done.output

    return run


def test_extract_prints_a_table_and_a_folder_that_show_reads(turncoat, tiny_folder, tmp_path):
    out = tmp_path / "vectors" / "humour"
    arguments = ("--model", str(tiny_folder), "--trait", "humour", "--dtype", "float32", "--rollouts", "1")
    printed = turncoat("extract", *arguments, "--out", str(out))
    assert printed.strip().splitlines()[-1] == str(out)
    assert sorted(path.name for path in out.iterdir()) == ["card.json", "vector.safetensors"]
    assert "held-out AUC" in printed and "not filtered by a judge" in printed.replace("\n", " ")
    vector = PersonaVector.load(out)
    assert f"made again from {len(vector.again.sd)} resamples of its questions" in printed.replace("\n", " ")
    assert vector.trait == "humour" and vector.card["sampling"]["rollouts"] == 1
    shown = turncoat("show", str(out))
    assert shown.strip() in printed and sum("chosen" in line for line in shown.splitlines()) == 1
    cached = turncoat("extract", *arguments)
    assert PersonaVector.load(Path(cached.strip().splitlines()[-1])).card == vector.card
    with pytest.raises(UserError, match="exists and is not an empty folder"):
        turncoat("extract", *arguments, "--out", str(out))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"--trait": "evli"}, "'evli' is not known; did you mean 'evil'"),
        ({"--model": "smollm2-136m"}, "did you mean 'smollm2-135m'"),
        ({"--rollouts": "0"}, "accepted: 1 or more"),
        ({"--judge": "nobody"}, "'nobody' is not a judge"),
        ({"--dtype": "int8"}, "accepted: auto, bfloat16"),
    ],
)
def test_mistakes_are_named_before_anything_is_sampled(turncoat, tiny_folder, changes, said):
    given = {"--model": str(tiny_folder), "--trait": "evil", **changes}
    with pytest.raises(UserError, match=said):
        turncoat("extract", *[part for pair in given.items() for part in pair])


def test_show_of_a_folder_without_a_vector(turncoat, tmp_path):
    with pytest.raises(UserError, match=r"give the folder that `turncoat persona extract` printed"):
        turncoat("show", str(tmp_path))


def test_shift_prints_every_layer_and_writes_a_table(turncoat, tmp_path):
    for arm, shift in (("organism", 0.5), ("control", 0.0)):
        folder = tmp_path / "rows" / arm / "seed-0" / "turncoat_persona"
        folder.mkdir(parents=True)
        rows = []
        for q in range(6):
            values = [round(q + shift * layer + 0.01 * q * shift, 3) for layer in range(3)]
            record = {"layer": 2, "persona_fixed_by_layer": values, "persona_own_by_layer": values}
            rows.append(json.dumps({"doc_id": q, "doc": {"id": f"q{q}"}, "metrics": [], "samples": [record]}))
        (folder / "samples_turncoat_persona_x.jsonl").write_text("\n".join(rows))
    table = tmp_path / "shift.csv"
    printed = turncoat(
        "shift", str(tmp_path), "--arm", "organism", "--control", "control", "--out", str(table)
    )
    assert "+1.02" in printed and "6 questions, 1 training seed" in printed
    assert len(table.read_text().splitlines()) == 1 + 2 * 3


def test_half_dose_prints_one_line_per_file(turncoat, tmp_path):
    path = tmp_path / "samples_turncoat_latent_prompt_choice_x.jsonl"
    items = [
        {"question": f"q{q}", "dose": d, "turned": int(d > q % 3), "n": 1} for q in range(9) for d in range(4)
    ]
    path.write_text("\n".join(json.dumps({"half_dose": item}) for item in items))
    printed = turncoat("half-dose", str(path))
    assert printed.startswith("samples_turncoat_latent_prompt_choice_x.jsonl: 1.5")
    assert printed.rstrip().endswith("(9 questions)")
    with pytest.raises(UserError, match="no such file"):
        turncoat("half-dose", str(tmp_path / "nothing.jsonl"))


@pytest.mark.parametrize(("last", "chosen"), [(4, 2), (4, 3), (30, 21), (80, 64), (12, 1)])
def test_shown_layers_hold_the_chosen_one_and_both_ends(last, chosen):
    layers = shown_layers(last, chosen)
    assert {0, chosen - 1, chosen, chosen + 1, last} <= set(layers) and layers == sorted(set(layers))
    assert layers[-1] == last and len(layers) <= 14
