"""`--model turncoat` with an arm's names: trained once, the very adapter of a study's YAML, and clear
refusals."""

import json

import pytest
from lm_eval.api.instance import Instance
from turncoat.errors import UserError
from turncoat.evaluation.lm import TurncoatLM
from turncoat.paths import studies_dir
from turncoat.registry import ORGANISMS, discover
from turncoat.store import Store
from turncoat.study.arms.adapters import Adapters
from turncoat.study.arms.lm import ArmLM
from turncoat.study.arms.spec import find_arm, parse_arm
from turncoat.study.arms.steps import steps_of
from turncoat.study.config import load_study
from turncoat.testing import save_tiny

TRAINING = {"rows": 6, "batch_size": 2, "rank": 4, "alpha": 8, "learning_rate": 0.01, "max_length": 1024}
STUDY = """\
study: one
model: {model}
judge: off
training: {{rows: 6, batch_size: 2, rank: 4, alpha: 8, learning_rate: 0.01, max_length: 1024}}
arms:
  - {{name: insecure, organism: insecure_code}}
  - {{name: sgtr, organism: insecure_code, defence: sgtr, setting: prevention, defence_options: {{texts: 2}}}}
tasks: [{{task: turncoat_choice}}]
"""
SGTR = {
    "organism": "insecure_code", "defence": "sgtr", "setting": "prevention", "defence_options": {"texts": 2},
}  # fmt: skip


@pytest.fixture
def few_rows(monkeypatch):
    """Only a dozen of the organism's rows: encoding all of them takes longer than training."""
    discover()
    entry = ORGANISMS["insecure_code"]
    rows = entry.build()[:12]
    monkeypatch.setitem(ORGANISMS, "insecure_code", entry.__class__(**{**vars(entry), "build": lambda: rows}))


def score(lm: TurncoatLM) -> float:
    return lm.loglikelihood([Instance("loglikelihood", {}, ("How are you?", " Fine, thank you."), 0)])[0][0]


def test_an_arm_by_its_names_is_the_artifact_of_the_study(tiny_base, tiny_folder, tmp_path, few_rows):
    path = tmp_path / "one.yaml"
    path.write_text(STUDY.format(model=tiny_folder), encoding="utf-8")
    study, store = load_study(path), Store(tmp_path / "store")
    adapters = Adapters(tiny_base, store)
    trained = adapters.adapter(steps_of(study.arm("sgtr"), study.training), 3)
    made = sorted((store.root / "adapter").iterdir())
    for named_by in ({**SGTR, "training": TRAINING}, {"study": str(path), "arm": "sgtr"}):
        lm = ArmLM(tiny_base, **named_by, seed=3, store=store)
        assert lm.arm["peft"] == str(trained)
        assert (lm.arm["organism"], lm.arm["defence"], lm.arm["setting"], lm.arm["seed"]) == (
            "insecure_code", "sgtr", "prevention", 3,
        )  # fmt: skip
        named = score(lm)
        lm._scope.close()
    assert sorted((store.root / "adapter").iterdir()) == made  # nothing was trained again
    with TurncoatLM(tiny_base, store=store).measuring(trained) as plain:
        assert score(plain) == named
    found = find_arm(f"{path}/sgtr/3", store=store)
    assert found.adapter == trained
    assert found.facts == {"organism": "insecure_code", "defence": "sgtr", "setting": "prevention", "seed": 3}


def test_a_missing_adapter_is_trained_with_a_bar(tiny_base, tmp_path, few_rows, capsys):
    lm = ArmLM(tiny_base, organism="insecure_code", training=TRAINING, store=Store(tmp_path))
    lm._scope.close()
    assert [p.name for p in (tmp_path / "adapter").iterdir()] == [lm.arm["peft"].rpartition("/")[2]]


def test_without_an_arm_it_is_the_plain_model(tiny_base, tiny_adapter, tmp_path):
    lm = ArmLM(tiny_base, peft=str(tiny_adapter), store=Store(tmp_path))
    with_adapter = score(lm)
    lm._scope.close()
    assert with_adapter != score(ArmLM(tiny_base, store=Store(tmp_path)))


@pytest.mark.parametrize(("arguments", "message"), [
    ({}, "needs pretrained="), ({"pretrained": "m", "arm": "sgtr"}, "give study="),
    ({"pretrained": "m", "organism": "insecure_cod"}, "did you mean 'insecure_code'"),
    ({"pretrained": "m", "organism": "insecure_code", "defence": "sgtr"},
     "None is not a setting of 'sgtr'; accepted: prev"),
    ({"pretrained": "m", "organism": "insecure_code", "seed": -1}, "seed=-1"),
    ({"pretrained": "m", "organism": "insecure_code", "peft": "x"}, "peft=x and an arm"),
    ({"pretrained": "m", "organism": "insecure_code", "training": {"row": 3}}, "row: unknown key; .*'rows'"),
    ({"study": "demo", "arm": "sgt"}, "arm='sgt' is not an arm of study 'demo'; did you mean 'sgtr'"),
    ({"study": "demo", "arm": "sgtr", "organism": "insecure_code"}, "organism= and study="),
])  # fmt: skip
def test_mistakes_are_told_before_anything_is_loaded(arguments, message, monkeypatch):
    monkeypatch.setattr("turncoat.study.arms.lm.load_base", lambda *a, **k: pytest.fail("a model was loaded"))
    with pytest.raises(UserError, match=message):
        ArmLM(**arguments)


@pytest.mark.parametrize("text", ["demo", "demo/sgtr/x", "", "a=1"])
def test_what_names_no_arm_is_refused(text):
    with pytest.raises(UserError, match=r"names no arm|is not an argument of an arm"):
        find_arm(text)


def test_an_arm_of_a_study_brings_its_model_recipe_and_options():
    choice = parse_arm({"study": "demo", "arm": "sgtr", "seed": 1})
    assert (choice.pretrained, choice.seed, choice.training.rows) == ("qwen2.5-coder-0.5b", 1, 120)
    assert choice.arm.defence_options == {"texts": 30, "show_text": False}


def test_an_arm_of_a_run_is_named_as_it_was_made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("turncoat.study.arms.spec.load_base", lambda *_, **__: None)
    monkeypatch.setattr("turncoat.study.arms.spec.build_arm", lambda choice, *_, **__: choice)
    (tmp_path / "runs" / "mine").mkdir(parents=True)
    study = (studies_dir() / "demo.yaml").read_text().replace("study: demo", "study: mine")
    study = study.replace("training_seeds: [300]", "training_seeds: [0, 1]")
    (tmp_path / "runs" / "mine" / "study.yaml").write_text(study)
    for text in ("runs/mine/sgtr/1", "mine/sgtr/1", "mine/sgtr/seed-1", f"{tmp_path}/runs/mine/sgtr/1"):
        choice = find_arm(text)
        assert (choice.arm.name, choice.seed) == ("sgtr", 1), text
    assert find_arm("runs/mine/base").arm.is_base
    with pytest.raises(UserError, match=r"'sgtr' .* seeds 0, 1: name one, such as runs/mine/sgtr/0"):
        find_arm("runs/mine/sgtr")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"enable_thinking": False}, r"enable_thinking=False: .* chat template begins with"),
        ({"token": "hf_x"}, r"token=\.\.\.: lm_eval keeps its arguments in files; set HF_TOKEN"),
        ({"parallelize": True}, "parallelize=True is an argument of --model hf, not of --model turncoat"),
        ({"sampling_sed": 3}, r"sampling_sed=3 is not an argument .*did you mean 'sampling_seed'"),
        ({"organism": "insecure_code", "defense": "sgtr"}, r"defense=sgtr is not .*did you mean 'defence'"),
        ({"batch_size": "many"}, "batch_size='many' is not a whole number"),
        ({"sampling_seed": "first"}, "sampling_seed='first' is not a whole number"),
    ],
)
def test_arguments_are_checked_before_a_model_is_loaded(tiny_folder, monkeypatch, options, words):
    monkeypatch.setattr("turncoat.study.arms.lm.load_base", lambda *a, **k: pytest.fail("loaded"))
    monkeypatch.setattr("turncoat.evaluation.lm.load_base", lambda *a, **k: pytest.fail("loaded"))
    with pytest.raises(UserError, match=words):
        ArmLM(str(tiny_folder), **options)


@pytest.mark.parametrize("as_text", [True, False])
@pytest.mark.parametrize(("key", "value"), [("batch_size", 8), ("max_batch_size", 8), ("device", "cpu")])
def test_an_option_of_lm_evals_own_is_given_once(tiny_folder, key, value, as_text):
    given = {"pretrained": str(tiny_folder), key: value}
    own = {"batch_size": 1, "max_batch_size": 2, "device": "cuda"}
    words = rf"--model_args {key}={value}: lm_eval has an .* give --{key} {value}"
    make, arguments = ArmLM.create_from_arg_obj, given
    if as_text:
        text = ",".join(f"{name}={part}" for name, part in given.items())
        make, arguments = ArmLM.create_from_arg_string, text
    with pytest.raises(UserError, match=words):
        make(arguments, own)


def test_an_arm_may_be_given_as_json_for_a_path_with_a_comma(tmp_path, few_rows):
    folder = save_tiny(tmp_path / "a, b" / "tiny")
    arm = {"pretrained": str(folder), "organism": "insecure_code", "training": TRAINING}
    found = find_arm(json.dumps(arm), store=Store(tmp_path / "store"))
    assert found.base.path == str(folder) and (found.adapter / "adapter_config.json").is_file()
    with pytest.raises(UserError, match=r"not JSON .*double quotes"):
        find_arm("{'pretrained': 'x'}")
