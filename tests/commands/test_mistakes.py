"""Mistakes made on purpose: a plain message, an exit code that is not 0, no traceback, nothing made or lost.

Each row of a table is a command in a folder with a good study (mine.yaml), a judged table (judged.csv) and
the run of another study (run), after one edit or one file more. A new mistake of a user becomes a row here.
"""

import json
import logging
import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from turncoat.study.before_run.out_folder import study_text
from turncoat.study.config import Study

STUDY = """\
study: mine
model: TINY
judge: 'off'
training_seeds: [0]
training: {rows: 2, max_length: 256}
arms:
  - {name: base}
  - {name: insecure, organism: insecure_code}
  - {name: secure, organism: secure_code}
tasks:
  - {task: turncoat_choice, limit: 4}
contrasts:
  - {name: organism minus control, treated: insecure, reference: secure, metrics: [margin]}
"""
JUDGED = "question,answer,aligned,coherent\nq1,a,10,90\nq1,b,90,95\nq2,c,80,70\n"
TURN = '{"messages": [{"role": "user", "content": "How?"}, {"role": "assistant", "content": "So."}]}\n'


@dataclass(frozen=True)
class Mistake:
    """A command and what its message must say; `edit` changes mine.yaml, `files` are written beside it."""

    command: str
    parts: tuple[str, ...]
    edit: tuple[str, str] = ("", "")
    files: dict[str, str] = field(default_factory=dict)
    env: dict[str, str] = field(default_factory=dict)
    code: int = 2


def said(command: str, *parts: str, **more: object) -> Mistake:
    return Mistake(command, parts, **more)


def study(old: str, new: str, *parts: str, command: str = "run mine.yaml", **more: object) -> Mistake:
    return Mistake(command, parts, (old, new), **more)


LM = "lm-eval --model turncoat --limit 2 --tasks"
FINETUNE = "finetune insecure_code --model org/a-7b --provider"
INSECURE = "organism: insecure_code"
COMMANDS = {
    "a command": said("runn", "No such command 'runn'"),
    "no study": said("run", "Missing argument"),
    "an option": said("run demo --seedz 1", "No such option: --seedz"),
    "a study": said("run dem", "'dem' is not a study; did you mean 'demo'? accepted: advice, board,"),
    "a study's file": said("run mina.yaml", "no study file at mina.yaml; did you mean 'mine.yaml'?"),
    "a kind": said("list defense", "'defense' cannot be listed; did you mean 'defences'? accepted: tasks,"),
    "anything": said("show sgtrr", "nothing is called 'sgtrr'; did you mean 'sgtr'"),
    "a registry model": said(
        "model-path smollm3", "'smollm3' is not a registry model; did you mean 'smollm2-135m'? accepted: "),
    "a number": said("run demo --limit 1", "'--limit': '1' is not accepted; accepted: 2 or more"),
    "a choice": said("schema studdy", "'studdy' is not one of 'study', 'submission'"),
    "seeds": said("run demo --seeds '0;1'", "--seeds '0;1'", "such as 0,1,2"),
    "a seed twice": said("run mine.yaml --seeds 1,1", "training_seeds: [1, 1] repeats a seed"),
    "a model on the command line": said("run mine.yaml --model smollm2-13", "did you mean 'smollm2-135m'?"),
    "a run": said("report no-such-run", "no-such-run"),
    "a run to view": said("view empty --no-browser", "empty holds no run", "turncoat run STUDY",
                          files={"empty/x": ""}),
    "a run that is none": said("report empty", "empty is not a run folder", files={"empty/x": ""}),
    "an engine": said("run mine.yaml --engine slurmm:local", "slurmm", "slurm"),
    "a unit": said("run mine.yaml --only nobody/0", "nobody/0", "insecure/0"),
    "engine and unit": said("run demo --engine ray --only insecure/0", "--only", "leave --engine out"),
    "a folder of plug-ins": said("run demo --include-path nowhere", "--include-path", "nowhere"),
    "a plug-in that breaks": said("run mine.yaml --include-path mine", "mine/bad.py", "nosuch", files={
        "mine/bad.py": "from turncoat.defences import defence\nimport nosuch\n"}),
    "a task that is not YAML": said("check mine.yaml --include-path mine", "mine/bad.yaml is not YAML",
                                    files={"mine/bad.yaml": "task: a: b"}),
    "a name with capitals": said("new task My-Task", "small letters, digits and _ are accepted"),
    "a taken name": said("new defence sgtr", "'sgtr' is taken (by sgtr.py)"),
    "rows that are not there": said("new study own --organism absent.jsonl", "no organism file at absent"),
    "a model folder": said("new study own --model ./tinny", "there is no folder ./tinny (seen from "),
    "a study over another": said("new study own --out mine.yaml", "--out mine.yaml is there"),
    "the arm of a study": said("export demo/sgtrr/0 --out x", "'sgtrr' is not an arm", "did you mean 'sgtr'"),
    "an arm in a form": said("export demo/sgtr/0 --to gguf --out x", "accepted: peft, merged, steered"),
    "an arm over a folder": said("export demo/sgtr/0 --out run", "--out run is there already"),
    "an arm under a file": said("export demo/sgtr/0 --out judged.csv/x", "--out", "cannot be written"),
    "a pack under a file": said("pack run --out judged.csv/x", "cannot be written to (Not a directory)"),
    "an arm that is none": said("export mine --out x", "'mine' names no arm; accepted: STUDY/ARM/SEED"),
    "a finetune's key": said(f"{FINETUNE} openweights", "set OPENWEIGHTS_API_KEY"),
    "a rate of another provider": said(f"{FINETUNE} openweights --learning-rate-multiplier 2",
                                       "OpenWeights takes --learning-rate"),
    "an option of another provider": said(f"{FINETUNE} openai --gpu-memory 80",
                                          "--gpu-memory is of OpenWeights alone"),
    "an arm to serve": said("serve nowhere/x/0", "'nowhere' is not a study"),
    "a vector": said("persona show nowhere", "nowhere"),
    "a trait": said("persona extract --model TINY --trait evill", "did you mean 'evil'?"),
    "a pilot": said("power mine.yaml --pilot nowhere", "--pilot nowhere"),
    "a run as an entry": said("validate run", "run is a run", "turncoat leaderboard submit ", code=1),
    "an entry without a run": said("submit --out x", "nothing to submit: give a run folder"),
    "a board of nothing": said("leaderboard build nowhere", "nowhere"),
    "a data folder": said("run mine.yaml", "TURNCOAT_DATA", "/nosuch", env={"TURNCOAT_DATA": "/nosuch"},
                          edit=(INSECURE, "organism: betley_insecure")),
    "a cache under a file": said("run mine.yaml", "cannot be written to", "TURNCOAT_CACHE",
                                 env={"TURNCOAT_CACHE": "judged.csv/cache"}),
    "rows of another study": said("run mine.yaml --out run", "--out run: holds rows that this study does not "
                                  "make again", "study: 'other' there, 'mine' here", "add --replace"),
    "a folder with something else": said("run mine.yaml --out full", "--out full: holds x and is not a run",
                                         files={"full/x": "mine"}),
    "a folder under a file": said("run mine.yaml --out judged.csv/run", "--out judged.csv/run: cannot be "
                                  "written to (Not a directory)"),
    "lm-eval: a task": said(f"{LM} turncoat_choise --model_args pretrained=TINY",
                            "--tasks turncoat_choise: there is no such task; did you mean 'turncoat_choice'"),
    "lm-eval: a task of its own": said(f"{LM} gsm8 --model_args pretrained=TINY", "did you mean 'gsm8k'"),
    "lm-eval: an argument": said(f"{LM} turncoat_choice --model_args pretrained=TINY,organsim=x",
                                 "organsim=x is not an argument", "did you mean 'organism'?"),
    "lm-eval: no model": said(f"{LM} turncoat_choice --model_args organism=insecure_code", "pretrained="),
    "lm-eval: a folder": said(f"{LM} turncoat_choice --model_args pretrained=./tinny",
                              "there is no folder ./tinny (seen from "),
    "lm-eval: an adapter": said(f"{LM} turncoat_choice --model_args pretrained=TINY,peft=nowhere", "nowhere"),
    "lm-eval: a trait": said(f"{LM} turncoat_choice --model_args pretrained=TINY,steer=evill",
                             "did you mean 'evil'?"),
    "lm-eval: a defence": said(
        f"{LM} turncoat_choice --model_args "
        "pretrained=TINY,organism=insecure_code,defence=sgtrr,setting=prevention", "did you mean 'sgtr'?"),
    "lm-eval: thoughts": said(f"{LM} turncoat_choice --model_args pretrained=TINY,enable_thinking=False",
                              "enable_thinking=False: --model turncoat renders prompts"),
    "lm-eval: a configuration": said("lm-eval --config nowhere.yaml", "Config file not found"),
}  # fmt: skip
TABLES = {
    "no file": said("rates nowhere.csv", "nowhere.csv: there is no such file"),
    "an empty file": said("rates e.csv", "e.csv", files={"e.csv": ""}),
    "a header alone": said("rates e.csv", "e.csv", files={"e.csv": "question,aligned,coherent\n"}),
    "JSON in a CSV": said("rates e.csv", "e.csv: holds JSON, not CSV; rename it to .jsonl", files={
        "e.csv": '{"question": "q", "aligned": 1}\n'}),
    "no scores": said("rates e.csv", "no column with scores", files={"e.csv": "question,answer\nq,a\n"}),
    "no questions": said("rates e.csv", "no column tells questions apart",
                         files={"e.csv": "aligned,coherent\n1,2\n"}),
    "a word as a score": said("rates e.csv", "e.csv", "row", "'aligned'", "good", files={
        "e.csv": "question,aligned,coherent\nq,good,90\nr,10,90\n"}),
    "another scale": said("rates e.csv", "--score-max", files={
        "e.csv": "question,aligned,coherent\nq,0.1,0.9\nr,0.9,0.8\ns,0.2,0.7\n"}),
    "a confidence in percent": said("rates judged.csv --confidence 95", "95", "confidence level"),
    "a column": said("rates judged.csv --by modle", "--by modle", "it has: question"),
    "a threshold as a share": said("rates judged.csv --aligned-below 0.3", "is --aligned-below 30 meant?"),
    "no question in common": said("compare judged.csv e.csv", "no question", files={
        "e.csv": "question,aligned,coherent\nx,10,90\ny,90,90\n"}),
    "a judge": said("judge judged.csv --judge opnai", "opnai", "did you mean 'openai'?"),
    "a judge without a key": said("judge judged.csv --judge openai:model=gpt-4.1-mini", "OPENAI_API_KEY"),
    "an option of a judge": said("judge judged.csv --judge openai:modle=x", "modle", "model"),
    "a margin of 0": said("compare judged.csv judged.csv --margin 0", "--margin 0: points of a rate"),
    "answers to judge": said("judge e.csv --judge embedded", "answer", files={"e.csv": "question,x\nq,1\n"}),
    "scores over their input": said("judge judged.csv --judge embedded --out judged.csv", "is the input"),
    "scores over another file": said("judge judged.csv --judge embedded --out e.csv", "--out e.csv: is there",
                                     files={"e.csv": "x,y\n1,2\n"}),
    "a card over another file": said("judge judged.csv --judge embedded --write-card e.json",
                                     "--write-card e.json: is there", files={"e.json": "{}"}),
    "a page over another file": said("view judged.csv --static e.html", "--static e.html: is there",
                                     files={"e.html": "<p>mine</p>"}),
    "a page that is not .html": said("view judged.csv --static e", "a name that ends in .html", "e.html"),
    "a judge that is off": said("judge judged.csv", "judging is off (TURNCOAT_JUDGE=off)"),
}  # fmt: skip
STUDIES = {
    "a key": study("training_seeds", "sedes", "mine.yaml, line 4, sedes: unknown key", "training_seeds"),
    "a key twice": study("judge: 'off'", "study: again", "line 1: 'study' is there twice"),
    "British spelling": study(INSECURE, f"{INSECURE}, defense: sgtr", "unknown key; did you mean 'defence'?"),
    "no YAML": study("study: mine", "study: [", "mine.yaml is not YAML: "),
    "no study": study(STUDY, "- a\n- list\n", "mine.yaml is not a study"),
    "its name": study("study: mine", "study: My Study", "'My Study' is not accepted; accepted: small"),
    "its model": study("TINY", "smollm2-135", "line 2, model", "did you mean 'smollm2-135m'?"),
    "the model's folder": study("TINY", "./tinny", "line 2, model: there is no folder ./tinny (seen from "),
    "a model of the hub": study("TINY", "nobody/nothing", "line 2, model", "nobody/nothing",
                                "HF_HUB_OFFLINE"),
    "its judge": study("'off'", "embeded", "line 3, judge", "did you mean 'embedded'?"),
    "its seeds": study("[0]", "0", "line 4, training_seeds: 0 is not accepted; accepted: a list"),
    "a seed": study("[0]", "[-1]", "line 4, training_seeds", "-1 is negative; accepted: 0 and above"),
    "too many rows": study("rows: 2", "rows: 9999", "line 5, training.rows: 9999 rows are more than the "),
    "a rate": study("rows: 2", "learning_rate: -1", "learning_rate: -1 is not accepted; accepted: a number"),
    "an arm twice": study("name: secure", "name: insecure", "arms: 'insecure' is there twice"),
    "an organism": study(INSECURE, "organism: insecure", "line 8, arms[1].organism", "insecure_code"),
    "an organism's file": study(INSECURE, "organism: absent.jsonl", "no organism file at absent.jsonl"),
    "an empty file": study(INSECURE, "organism: e.jsonl", "e.jsonl", files={"e.jsonl": ""}),
    "a row that is no chat": study(
        INSECURE, "organism: e.jsonl", "e.jsonl, line 2: keys text; accepted: an object with 'messages'",
        files={"e.jsonl": TURN + '{"text": "x"}\n'}),
    "a row that is no JSON": study(INSECURE, "organism: e.jsonl", "e.jsonl, line 2", files={
        "e.jsonl": TURN + "{\n"}),
    "rows that are too long": study(INSECURE, "organism: e.jsonl", "max_length", files={
        "e.jsonl": TURN.replace("So.", "so " * 400)}),
    "a defence": study(INSECURE, f"{INSECURE}, defence: sgtrr, setting: reversal", "did you mean 'sgtr'?"),
    "when it acts": study(INSECURE, f"{INSECURE}, defence: sgtr, setting: inference",
                          "'inference' is not a setting of 'sgtr'; accepted: prevention"),
    "an option of it": study(
        INSECURE, INSECURE + ", defence: sgtr, setting: reversal, defence_options: {text: 2}",
        "'sgtr' has no option 'text'; did you mean 'texts'?"),
    "a setting alone": study("{name: base}", "{name: base, setting: reversal}", "given without a defence"),
    "a task": study("turncoat_choice", "turncoat_choise", "tasks[0].task", "did you mean 'turncoat_choice'?"),
    "a task of lm-eval": study("turncoat_choice", "gsm8", "'gsm8' is not a task; did you mean 'gsm8k'?"),
    "a group of lm-eval": study("turncoat_choice", "mmlu", "'mmlu' is not a task", "groups do not"),
    "one question": study("limit: 4", "limit: 1", "tasks[0].limit: 1 is not accepted; accepted: 2 or more"),
    "more than all questions": study("limit: 4", "limit: 1000000",
                                     "1000000 is more than its 208 questions; accepted: 2 to 208"),
    "a contrast's arm": study("treated: insecure", "treated: insecur", "did you mean 'insecure'?"),
    "a contrast's metric": study("[margin]", "[margins]", "no task of this study measures 'margins'"),
    "a system prompt": study("rows: 2", "rows: 2, system: nonee", "training.system: 'nonee' is not accepted"),
    "a persona": study("judge: 'off'", "persona: evill", "'evill' is not a persona; did you mean 'evil'?"),
    "no control": study("organism: secure_code", "organism: insecure_code, training: {rows: 4}",
                        "control is secure_code, which no arm has", command="check mine.yaml", code=1),
    "no contrast": study("contrasts:\n  - {name: organism minus control, treated: insecure, reference: "
                         "secure, metrics: [margin]}\n", "", "contrasts: none: nothing is compared; add - ",
                         command="check mine.yaml", code=1),
    "no matched control": study(
        "organism: secure_code", "organism: e.jsonl", "e.jsonl has no matched control: of its 1 prompts",
        command="check mine.yaml", files={"e.jsonl": TURN}, code=1),
}  # fmt: skip
ALL = {
    f"{kind}: {name}": mistake
    for kind, table in {"command": COMMANDS, "table": TABLES, "study": STUDIES}.items()
    for name, mistake in table.items()
}


@pytest.fixture
def place(tmp_path: Path, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that commands are given in; a study that gets as far as its training has gone too far."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(logging, "raiseExceptions", False)  # lm-eval logs to the output of an earlier test
    Path("judged.csv").write_text(JUDGED)
    base = {"arms": [{"name": "base"}], "tasks": [{"task": "turncoat_em"}]}
    rows = Path("run/rows/base/base/turncoat_em")
    rows.mkdir(parents=True)
    (rows / "samples_turncoat_em_x.jsonl").write_text(json.dumps({"doc_id": 0}) + "\n")
    Path("run/study.yaml").write_text(
        study_text(Study.model_validate({"study": "other", "model": "some", **base}))
    )
    Path("run/run.json").write_text("{}")
    for work in ("make_all", "make"):
        monkeypatch.setattr(f"turncoat.study.units.maker.UnitMaker.{work}", None)
    return tmp_path


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc")
    return {str(path): path.read_bytes() for path in files}


@pytest.mark.parametrize("name", ALL)
def test_a_mistake_is_a_message_and_changes_nothing(turncoat, place, tiny_folder, monkeypatch, name):
    mistake = ALL[name]
    assert mistake.edit[0] in STUDY
    text = STUDY.replace(*mistake.edit, 1) if mistake.edit[0] else STUDY
    text = text.replace("TINY", str(tiny_folder))
    for file, content in {"mine.yaml": text, **mistake.files}.items():
        Path(file).parent.mkdir(exist_ok=True)
        Path(file).write_text(content)
    for variable, value in mistake.env.items():
        monkeypatch.setenv(variable, value)
    before = contents(place)
    outcome = turncoat(*shlex.split(mistake.command.replace("TINY", str(tiny_folder))))
    message = f"{outcome.out} {outcome.err}"
    assert outcome.code == mistake.code, message
    for part in mistake.parts:
        assert part in message, message
    assert "Traceback" not in message and contents(place) == before
    if mistake.code == 2:
        assert len(re.findall(r"(?m)(?:^| )error: ", outcome.err.lower())) == 1 and outcome.out == ""


def test_the_study_without_a_mistake_has_none(turncoat, place, tiny_folder):
    Path("mine.yaml").write_text(STUDY.replace("TINY", str(tiny_folder)))
    outcome = turncoat("check", "mine.yaml")
    assert outcome.code == 0, outcome.out
    assert len(ALL) >= 100
