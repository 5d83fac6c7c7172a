"""Every mistake in a study YAML: the message names file, line, key, value and what is accepted."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from turncoat.errors import UserError
from turncoat.paths import existing, studies_dir, study_path
from turncoat.registry import DEFENCES
from turncoat.study.config import Study, load_study
from turncoat.study.problems import find_problems

LINES = """\
study: mine
question: Does it?
model: some/model
training_seeds: [0, 1]
training: {rows: 8}
arms:
  - {name: base}
  - {name: insecure, organism: insecure_code}
  - name: sgtr
    organism: insecure_code
    defence: sgtr
    setting: prevention
    defence_options: {texts: 2}
    defence_training: {epochs: 2}
tasks:
  - {task: turncoat_choice, limit: 4}
  - {task: turncoat_persona}
contrasts:
  - name: one
    treated: insecure
    reference: base
    metrics: [margin, persona_own]
"""


def load(tmp_path: Path, text: str, **overrides: Any) -> Study:
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return load_study(path, overrides)


def test_a_study_is_read_as_it_is_written_and_again(tmp_path):
    study = load(tmp_path, LINES)
    assert study.training_seeds == (0, 1)
    assert [arm.name for arm in study.arms] == ["base", "insecure", "sgtr"]
    assert [arm.is_base for arm in study.arms] == [True, False, False]
    assert study.arm("sgtr").defence_options == {"texts": 2}
    assert (study.tasks[0].limit, study.tasks[1].limit) == (4, None)
    assert study.contrasts[0].role == "secondary" and study.training.rows == 8
    assert study.training.rank == type(study.training)().rank
    import yaml

    study = load(tmp_path, LINES)
    again = load(tmp_path, yaml.safe_dump(study.model_dump(mode="json"), sort_keys=False))
    assert again == study


@pytest.mark.parametrize(("old", "new", "message"), [
    # unknown keys, at every level
    ("question:", "qestion:",
     r"mine.yaml, line 2, qestion: unknown key; did you mean 'question'\? accepted: "),
    ("{rows: 8}", "{row: 8}", r"line 5, training.row: unknown key; did you mean 'rows'\? accepted: "),
    ("setting: prev", "seting: prev", r"line 12, arms\[2\].seting: unknown key; .*did you mean 'setting'\?"),
    ("limit: 4", "persona: false", r"line 16, .*turncoat_choice: it reads no persona vector; remove the key"),
    ("{task: turncoat_persona}", "{task: turncoat_persona, persona: false}", r"but persona activation;"),
    ("limit: 4", "limits: 4", r"line 16, tasks\[0\].limits: unknown key; did you mean 'limit'\? accepted: "),
    ("    treated:", "    treat:", r"line 20, contrasts\[0\].treat: unknown key; .*did you mean 'treated'\?"),
    # missing keys
    ("model: some/model\n", "", r"mine.yaml, line 1, model: missing, .*: `turncoat list models`"),
    ("    treated: insecure\n", "", r"line 19, contrasts\[0\].treated: missing, .*: an arm"),
    # unknown names
    ("insecure, organism: insecure_code", "insecure, organism: insecure_kode",
     r"line 8, arms\[1\].organism: 'insecure_kode' is not an organism; "
     r"did you mean 'insecure_code'\? accepted: "),
    ("defence: sgtr", "defence: sgt",
     r"line 11, arms\[2\].defence: 'sgt' is not a defence; .*did you mean 'sgtr'\?"),
    ("task: turncoat_choice", "task: turncoat_choise",
     r"line 16, tasks\[0\].task: 'turncoat_choise' is not a task; .*did you mean 'turncoat_choice'\?"),
    ("treated: insecure", "treated: insecur",
     r"line 20, contrasts\[0\].treated: 'insecur' is not an arm; did you mean 'insecure'\? accepted: "),
    ("reference: base", "reference: bass",
     r"line 21, contrasts\[0\].reference: 'bass' is not an arm; .*'base'\?"),
    ("persona_own]", "persona_owned]",
     r"line 22, contrasts\[0\].metrics: no task of this study measures 'persona_owned'; "
     r".*did you mean 'persona_own'\?"),
    ("persona_own]", "base_logprob]", r"no task of this study measures 'base_logprob'; accepted: accuracy, "),
    # settings and options of a defence
    ("    setting: prevention\n", "",
     r"line \d+, arms\[2\].setting: None is not a setting of 'sgtr'; accepted: prev"),
    ("prevention", "inference",
     r"line 12, arms\[2\].setting: 'inference' is not a setting of 'sgtr'; accepted: prev"),
    ("texts: 2", "text: 2",
     r"line 13, arms\[2\].defence_options: 'sgtr' has no option 'text'; "
     r"did you mean 'texts'\? accepted: .*texts"),
    ("epochs: 2", "epoch: 2",
     r"line 14, arms\[2\].defence_training: unknown key 'epoch'; did you mean 'epochs'\? accepted: "),
    ("{name: base}", "{name: base, setting: reversal}",
     r"line 7, arms\[0\].setting: given without a defence"),
    ("{name: base}", "{name: base, defence_options: {texts: 2}}",
     r"arms\[0\].setting: given without a defence"),
    # an arm's teacher
    ("    setting: prevention\n", "    setting: prevention\n    defence_texts: organism\n",
     r"arms\[2\].defence_texts: organism: it writes texts for what comes after it"),
    ("organism: insecure_code}", "organism: insecure_code, answers_of: bass}",
     r"line 8, arms\[1\].answers_of: 'bass' is not an arm above this one; did you mean 'base'\?"),
    ("organism: insecure_code}", "organism: insecure_code, answers_of: sgtr}",
     r"arms\[1\].answers_of: 'sgtr' is not an arm above this one; accepted: base$"),
    ("{name: base}", "{name: base, answers_of: sgtr}", r"arms\[0\].answers_of: given without an organism"),
    ("{name: base}", "{name: base}\n  - {name: b, system: none}\n  - {name: c, organism: secure_code, "
     "answers_of: b}", r"arms\[2\].answers_of: 'b' is measured under a system prompt; answers are taken"),
    ("organism: insecure_code}", "organism: risky_financial_own_answers, answers_of: base}",
     r"its prompts are answered by the base model already"),
    # doubles
    ("name: sgtr", "name: base", r"arms: 'base' is there twice"),
    ("{task: turncoat_persona}", "{task: turncoat_choice}", r"tasks: 'turncoat_choice' is there twice"),
    ("[0, 1]", "[0, -1]", r"line 4, training_seeds: .*-1.*accepted: 0 "),
    ("[0, 1]", "[1, 1]", r"training_seeds: \[1, 1\] repeats a seed"),
    ("model: some/model", "model: a/b\nmodel: some/model", r"line 3: 'model' is there twice; remove one"),
    ("{rows: 8}", "{rows: 8, epochs: 2, rows: 9}", r"line 5: 'rows' is there twice"),
    ("{name: base}", "{name: base}\n  - {name: again, organism: insecure_code}",
     r"line 9, arms\[2\]: 'insecure' is the same model as 'again'"),
    ("reference: base", "reference: insecure",
     r"line 21, contrasts\[0\].reference: 'insecure' is the treated arm as well"),
    ("metrics: [margin, persona_own]", "metrics: [accuracy]\n    margin: 5",
     r"line 23, contrasts\[0\].margin: accuracy is a share from 0 to 1.* 5 points are 0.05"),
    # types and ranges
    ("rows: 8", "rows: many", r"line 5, training.rows: 'many' is not acc.*: a whole number"),
    ("rows: 8", "rows: 0", r"line 5, training.rows: 0 is not acc.*: 1 or more"),
    ("rows: 8", "learning_rate: 2",
     r"line 5, training.learning_rate: 2 is not acc.*: 1 or less"),
    ("limit: 4", "limit: 1", r"line 16, tasks\[0\].limit: 1 is not acc.*: 2 or more$"),
    ("[0, 1]", "[]", r"line 4, training_seeds: \[\] is not acc.*: a list of 1 or more"),
    ("[0, 1]", "[0, x]", r"line 4, training_seeds\[1\]: 'x' is not acc.*: a whole number"),
    ("study: mine", "study: My Study", r"line 1, study: 'My Study' is not acc.*: small letters, digits"),
    ("{name: base}", "{name: a/b}", r"line 7, arms\[0\].name: 'a/b' is not acc.*: small letters"),
    ("{name: base}", "base", r"line 7, arms\[0\]: 'base' is not acc.*: a mapping"),
    ("metrics: [margin, persona_own]", "metrics: []", r"line 22, .*metrics: .* is not acc.*: a list of 1"),
    ("rows: 8", "rows: 8, system: nonee",
     r"line 5, training.system: 'nonee' is not accepted; accepted: default, none, identity, or a"),
    ("{name: base}", "{name: base, system: 3}", r"line 7, arms\[0\].system: 3 is not accepted"),
    ("setting: prevention\n", "setting: prevention\n    more_defences: [{defence: sgt, setting: reversal}]\n",
     r"line 13, arms\[2\].more_defences\[0\].defence: 'sgt' is not a defence; .*did you mean 'sgtr'\?"),
])  # fmt: skip
def test_mistakes(tmp_path, old, new, message):
    assert old in LINES
    with pytest.raises(UserError) as caught:
        load(tmp_path, LINES.replace(old, new, 1))
    assert re.search(message, str(caught.value)), str(caught.value)
    assert str(caught.value).startswith("mine.yaml, line ")


def test_all_mistakes_are_told_at_once(tmp_path):
    wrong = LINES.replace("organism: insecure_code}", "organism: nobody}").replace(
        "defence: sgtr", "defence: nothing"
    )
    with pytest.raises(UserError) as caught:
        load(tmp_path, wrong.replace("{task: turncoat_persona}", "{task: nowhere}"))
    lines = str(caught.value).splitlines()
    assert [re.search(r"line (\d+)", line)[1] for line in lines] == ["8", "11", "17"]


@pytest.mark.parametrize(("text", "message"), [
    ("study: [", r"mine.yaml is not YAML: "),
    ("- a\n- list\n", r"mine.yaml is not a study: a mapping with the keys study, title, .* is expected"),
    ("just words\n", r"is not a study: a mapping"), ("", r"is not a study: a mapping"),
])  # fmt: skip
def test_files_that_are_no_study(tmp_path, text, message):
    with pytest.raises(UserError, match=message):
        load(tmp_path, text)


def test_a_defence_may_only_act_when_it_can(tmp_path, monkeypatch):
    load(tmp_path, LINES)
    entry = DEFENCES["sgtr"]
    monkeypatch.setitem(DEFENCES, "sgtr", replace(entry, settings=("reversal",)))
    with pytest.raises(
        UserError, match=r"line 12, arms\[2\]\.setting: 'prevention' is not a setting of 'sgtr'; acc"
    ):
        load(tmp_path, LINES)
    load(tmp_path, LINES.replace("prevention", "reversal"))


def test_a_defence_without_an_organism_needs_no_setting(tmp_path):
    study = load(tmp_path, LINES.replace("    organism: insecure_code\n    defence", "    defence").replace(
        "    setting: prevention\n", ""
    ))  # fmt: skip
    assert study.arm("sgtr").setting is None and not study.arm("sgtr").is_base


def test_overrides_replace_the_files_keys(tmp_path):
    study = load(tmp_path, LINES, model="other", training_seeds=[5])
    assert (study.model, study.training_seeds) == ("other", (5,))
    with pytest.raises(
        UserError, match=r"mine.yaml, line 4, training_seeds: .*repeats|training_seeds: \[3, 3\] repeats"
    ):
        load(tmp_path, LINES, training_seeds=[3, 3])


@pytest.mark.parametrize("path", sorted(studies_dir().glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_studies_load(path):
    study = load_study(study_path(path.stem))
    assert study.study == path.stem and study.question
    assert any(contrast.role == "primary" for contrast in study.contrasts)
    organisms = [arm for arm in study.arms if arm.organism and arm.defence is None]
    assert len(organisms) >= 2, "an organism without its control"


def test_finding_a_study(tmp_path):
    mine = tmp_path / "mine.yaml"
    mine.write_text(LINES, encoding="utf-8")
    assert study_path(str(mine)) == mine and study_path("demo") == studies_dir() / "demo.yaml"
    with pytest.raises(
        UserError, match=r"'demmo' is not a study; did you mean 'demo'\? accepted: .*, or a path"
    ):
        study_path("demmo")
    with pytest.raises(UserError, match=r"no study file at .*other\.yaml"):
        study_path(str(tmp_path / "other.yaml"))
    with pytest.raises(UserError, match="no study file at"):
        study_path(str(tmp_path))


def test_a_path_that_is_not_there_names_the_study_or_the_smoke_run_beside_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text(LINES, encoding="utf-8")
    with pytest.raises(UserError, match=r"^'mine' is not a study; did you mean 'mine\.yaml'\? accepted: "):
        study_path("mine")
    smoke = Path("runs", "mine-smoke")
    smoke.mkdir(parents=True)
    (smoke / "study.yaml").write_text(LINES, encoding="utf-8")
    for look_up in (study_path, lambda path: existing(Path(path))):
        with pytest.raises(UserError, match=r"; did you mean 'runs/mine-smoke'\?"):
            look_up("runs/mine")
    with pytest.raises(UserError, match=r"no such file or folder$"):
        existing(Path("nowhere", "at_all"))


def test_ones_own_defence_is_found_on_the_include_path(tmp_path):
    folder = tmp_path / "defences"
    folder.mkdir()
    (folder / "mine_only.py").write_text(
        "from turncoat.registry import defence\n\n\n@defence('mine_only', settings=('reversal',), "
        "summary='mine')\ndef mine_only(context, *, strength: int = 1):\n    return []\n",
        encoding="utf-8",
    )
    text = (
        LINES.replace("defence: sgtr", "defence: mine_only")
        .replace("prevention", "reversal")
        .replace("texts", "strength")
    )
    with pytest.raises(UserError, match="'mine_only' is not a defence"):
        load(tmp_path, text)
    path = tmp_path / "mine.yaml"
    assert load_study(path, include=(folder,)).arm("sgtr").defence == "mine_only"


def test_a_run_is_read_where_its_organisms_file_is_not_and_a_check_misses_it(tmp_path):
    text = LINES.replace(
        "{name: insecure, organism: insecure_code}", "{name: insecure, organism: gone.jsonl}"
    )
    assert load(tmp_path, text).arm("insecure").organism == "gone.jsonl"
    told = [str(one) for one in find_problems(tmp_path / "mine.yaml", ask_judge=False)]
    assert any(
        "arms[1].organism: gone.jsonl: no organism file at gone.jsonl (seen from" in one for one in told
    )


def test_an_arm_that_names_its_tasks_is_measured_by_those_alone(tmp_path):
    text = LINES.replace(
        "{name: insecure, organism: insecure_code}",
        "{name: insecure, organism: insecure_code, tasks: [turncoat_choice]}",
    )
    study = load(tmp_path, text.replace("metrics: [margin, persona_own]", "metrics: [margin]"))
    assert [use.task for use in study.tasks if study.arm("insecure").measured_by(use.task)] == [
        "turncoat_choice"
    ]
    assert all(study.arm("base").measured_by(use.task) for use in study.tasks)
    with pytest.raises(
        UserError,
        match=r"mine.yaml, line 20, .*'insecure' is not measured by turncoat_persona, which .*'persona_own'",
    ):
        load(tmp_path, text)
    with pytest.raises(
        UserError,
        match=r"line 8, arms\[1\].tasks\[0\]: 'turncoat_em' is not a task of this study; .*turncoat_persona",
    ):
        load(tmp_path, text.replace("tasks: [turncoat_choice]", "tasks: [turncoat_em]"))


def test_a_task_with_an_unknown_trait_is_refused_before_anything_is_made(tmp_path):
    mine = tmp_path / "plug_ins"
    mine.mkdir()
    (mine / "sea.yaml").write_text(
        "task: sea\nmetric_list: []\ndataset_kwargs: {trait: evill}\n", encoding="utf-8"
    )
    (tmp_path / "mine.yaml").write_text(LINES.replace("turncoat_choice, limit: 4", "sea"), encoding="utf-8")
    message = r"mine.yaml, line 16, tasks\[0\].task: sea: .*'evill'.*did you mean 'evil'.*--include-path"
    with pytest.raises(UserError, match=message):
        load_study(tmp_path / "mine.yaml", include=(mine,))


def test_a_margin_is_one_number_or_one_for_each_metric(tmp_path: Path) -> None:
    def margins(text: str) -> list[float | None]:
        study = load(tmp_path, LINES + text)
        return [study.contrasts[0].margin_of(metric) for metric in ("margin", "persona_own")]

    assert margins("") == [None, None]
    assert margins("    margin: 0.1\n") == [0.1, 0.1]
    assert margins("    margin: {margin: 0.02}\n") == [0.02, None]


@pytest.mark.parametrize(
    ("margin", "message"),
    [
        ("-0.1", r"contrasts\[0\].margin.*-0.1 is not acc.*: a number above 0"),
        ("{margin: -0.1}", r"contrasts\[0\].margin.*-0.1 is not acc.*: a number above 0"),
        ("{margn: 0.1}", r"'margn' is not a metric of this contrast; .*did you mean 'margin'"),
    ],
)
def test_a_wrong_margin_is_refused(tmp_path: Path, margin: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load(tmp_path, f"{LINES}    margin: {margin}\n")


def test_pilot_seeds_are_not_fresh(tmp_path: Path) -> None:
    text = LINES.replace("[0, 1]", "[0, 1, 2]\npilot_seeds: [0, 1]")
    assert load(tmp_path, text).fresh_seeds == (2,)
    assert load(tmp_path, text, training_seeds=[0, 1]).fresh_seeds == (0, 1)


@pytest.mark.parametrize("name", sorted(path.stem for path in studies_dir().glob("*.yaml")))
def test_a_shipped_study_sets_a_margin_for_each_primary_metric(name: str) -> None:
    primary = [one for one in load_study(study_path(name)).contrasts if one.role == "primary"]
    assert primary
    assert [one.name for one in primary if None in map(one.margin_of, one.metrics)] == []


@pytest.mark.parametrize(
    ("old", "new", "edited"),
    [
        ("metrics: [margin, persona_own]", "metrics: [margin]", "contrasts"),
        ("reference: base\n", "reference: base\n    margin: 0.1\n", "contrasts"),
        ("training_seeds: [0, 1]", "training_seeds: [0, 1]\npilot_seeds: [0]", "pilot_seeds"),
        ("{name: insecure, ", "{name: insecure, tasks: [turncoat_choice, turncoat_persona], ", "arms"),
        ("{name: insecure, ", "{name: insecure, label: Insecure, ", ""),
        ("question: Does it?", "question: Does it at all?", ""),
        ("study: mine", "study: mine\nsampling_seed: 0", ""),  # the default, written out
    ],
)
def test_keys_that_were_edited_after_a_run_are_named(tmp_path, old, new, edited):
    record = {"study": load(tmp_path, LINES).digests()}
    now = load(tmp_path, LINES.replace(old, new))
    text = now.edited_since(record)
    assert text == (f"study.yaml was edited after the run: {edited}" if edited else "")
    assert now.edited_since({}) == "", "a run of before this was recorded"
