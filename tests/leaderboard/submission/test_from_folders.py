"""Folders of the lm_eval command become the same entry as the run that measured the same."""

import json
import shutil
from pathlib import Path

import pytest
import yaml
from leaderboard.entry_files import facts_of
from leaderboard.made_entry import make_entry
from leaderboard.made_run import edit_rows, facts_file, make_folders
from safetensors.torch import load_file, save_file
from turncoat.errors import UserError
from turncoat.leaderboard.entry.track import find_track
from turncoat.leaderboard.submission.draft import SubmitterInfo
from turncoat.leaderboard.submission.facts_file import TEMPLATE, Facts
from turncoat.leaderboard.submission.from_folders import draft_of_folders
from turncoat.leaderboard.submission.write import write_entry
from turncoat.paths import tasks_dir
from turncoat.training.adapter_digest import adapter_digest


def submit(given, facts, out, *, share=None, track="tiny"):
    draft = draft_of_folders(given, facts, find_track(track), SubmitterInfo(), shares=share is not None)
    return write_entry(draft, out, share=share)


@pytest.fixture
def made(tmp_path):
    """(an entry, `--lm-eval` for each arm and seed, the facts file)."""
    make_entry(tmp_path, slug="none", setting="none")
    entry = make_entry(tmp_path, slug="sgtr")
    return entry, make_folders(tmp_path / "measured", entry), facts_file(tmp_path / "facts.yaml", entry)


def test_the_rows_and_facts_are_those_that_were_measured(made, tmp_path):
    entry, given, facts = made
    submit(given, facts, tmp_path / "out" / "sgtr")
    mine, theirs = facts_of(tmp_path / "out" / "sgtr"), facts_of(entry)
    same = ("rows", "model", "persona", "judge", "tasks", "seeds", "adapters")
    assert {key: mine[key] for key in same} == {key: theirs[key] for key in same}
    assert mine["organism"]["sha256"] and mine["organism"]["examples"], "found for a registered set"
    assert mine["command"] == "turncoat lm-eval --output_path out", "no path of this machine"
    assert mine["benign"] == mine["control"]


def test_what_another_entry_has_need_not_be_given(made, tmp_path):
    entry, given, facts = made
    own = [one for one in given if one.startswith(("defended", "benign"))]
    with pytest.raises(UserError, match="the arm 'base' is missing; give --lm-eval base=DIR, or --share"):
        submit(own, facts, tmp_path / "mine")
    changed = facts_file(tmp_path / "own.yaml", entry, model={"parameters": 1_000_000})
    written = submit(own, changed, tmp_path / "mine", share="none")
    assert set(written.shared) == {"base", "organism", "control"}
    assert facts_of(tmp_path / "mine")["adapters"] == facts_of(entry)["adapters"]
    assert facts_of(tmp_path / "mine")["wall_seconds"] == 5.0
    assert facts_of(tmp_path / "mine")["defence"]["changes_prompt"] is False


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda given: given[1:], "the arm 'base' is missing"),
        (lambda given: [one for one in given if not one.startswith("control/1")],
         "control/1 is missing; every arm needs"),
        (lambda given: [one for one in given if "/2=" not in one],
         r"2 training seeds \(seed-0, seed-1\).*needs 3"),
        (lambda given: [*given, given[0]], "base/base is given twice"),
        (lambda given: [*given, "organism=/x"], "ROLE/SEED=DIR is expected"),
        (lambda given: [*given, "attacked/0=/x"], "ROLE one of organism, control, defended, benign"),
        (lambda given: [*given, "organism/9=/nowhere"], "no folder at /nowhere"),
    ],
)  # fmt: skip
def test_arms_and_seeds_are_whole(made, tmp_path, change, message):
    _, given, facts = made
    with pytest.raises(UserError, match=message):
        submit(change(given), facts, tmp_path / "out")


def test_of_two_samples_files_none_is_guessed(made, tmp_path):
    _, given, facts = made
    folder = Path(given[1].partition("=")[2])
    (path,) = folder.rglob("samples_turncoat_em_2*")
    again = path.with_name(path.name.replace("2026", "2027"))
    again.write_bytes(path.read_bytes())
    with pytest.raises(UserError, match="2 samples files of turncoat_em") as error:
        submit(given, facts, tmp_path / "out")
    assert path.name in str(error.value) and again.name in str(error.value)
    again.unlink()
    path.unlink()
    with pytest.raises(
        UserError, match=r"no samples file of turncoat_em \(arm organism/seed-0\); measure it with"
    ):
        submit(given, facts, tmp_path / "out")


def test_a_folder_is_what_it_says_it_is(made, tmp_path):
    _, given, facts = made
    path = next(Path(given[-1].partition("=")[2]).rglob("results_*.json"))
    content = json.loads(path.read_text())
    content["config"]["turncoat"]["arm"]["seed"] = 7
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"arm\.seed: 7; the folder was given as benign/seed-2"):
        submit(given, facts, tmp_path / "out")
    content["config"]["turncoat"]["arm"] = {"pretrained": "another"}
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match="different base models"):
        submit(given, facts, tmp_path / "out")


def test_a_plain_backend_is_told_what_it_lacks(made, tmp_path):
    _, given, facts = made

    def plain(rows):
        for row in rows:
            row["metrics"] = [name for name in row["metrics"] if "persona" not in name]
        return rows

    (path,) = Path(given[-4].partition("=")[2]).rglob("samples_turncoat_persona_2*")
    edit_rows(path, plain)
    with pytest.raises(
        UserError, match=r"no persona_fixed, which turncoat_persona has.*--model turncoat.*peft=DIR"
    ):
        submit(given, facts, tmp_path / "out")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"adapters": {}}, r"adapters\.organism\.0: missing"),
        ({"colour": "red"}, "colour: unknown key; accepted: adapters"),
        ({"defence": {"name": "x", "setting": "sometimes", "summary": "y"}},
         r"defence\.setting.*'sometimes'"),
        ({"organism": {"name": "insecure_code", "examples": 3}},
         r"insecure_code\.examples is 3; the registered set's is"),
        ({"wall_seconds": -1}, "wall_seconds.*-1"),
    ],
)  # fmt: skip
def test_facts_are_checked(made, tmp_path, changed, message):
    entry, given, _ = made
    with pytest.raises(UserError, match=message):
        submit(given, facts_file(tmp_path / "facts.yaml", entry, **changed), tmp_path / "out")


def test_the_template_is_a_facts_file_also_with_its_optional_lines():
    Facts.model_validate(yaml.safe_load(TEMPLATE))
    everything = TEMPLATE.replace("\n# versions", "\nversions").replace("\n# persona", "\npersona")
    everything = (
        everything.replace("\n# judge", "\njudge")
        .replace("\n# model:\n#  ", "\nmodel:\n ")
        .replace("\n  # ", "\n  ")
    )
    filled = Facts.model_validate(yaml.safe_load(everything))
    assert filled.model and filled.judge and filled.persona and filled.versions and filled.defence.options
    assert set(yaml.safe_load(everything)) == set(Facts.model_fields) - {"trait"}


def evaluate(lm, model: str, tasks: list[str], out: Path) -> None:
    """Do `turncoat lm-eval --output_path OUT --log_samples --limit 3`, without its index of other tasks."""
    import lm_eval
    from lm_eval.loggers import EvaluationTracker
    from lm_eval.tasks import TaskManager

    tracker = EvaluationTracker(output_path=str(out))
    results = lm_eval.simple_evaluate(
        model=lm,
        model_args={"pretrained": model},
        tasks=tasks,
        task_manager=TaskManager(include_path=str(tasks_dir()), include_defaults=False),
        limit=3,
        apply_chat_template=True,
        bootstrap_iters=0,
        evaluation_tracker=tracker,
    )
    samples = results.pop("samples")
    tracker.save_results_aggregated(results=results, samples=samples)
    for name, rows in samples.items():
        tracker.save_results_samples(task_name=name, samples=rows)


def test_what_lm_eval_writes_can_be_submitted(
    tiny_base, tiny_folder, tiny_adapter, quick_store, plain_lm_eval, tmp_path, monkeypatch
):
    """A real evaluation of a tiny model: the base, and an adapter that stands for both organisms."""
    from turncoat.evaluation.lm import TurncoatLM

    monkeypatch.setenv("TURNCOAT_TRACKS", str(tmp_path))
    (tmp_path / "one.yaml").write_text(
        "track: one\nsummary: One task.\nmin_seeds: 2\nranked_by: margin_per_token\nranked_by_else: "
        "margin_per_token\n"
        "judges: [embedded]\nnarrow_kept: 0.5\ncoherence_lost: 10\n"
        "tasks: [{task: turncoat_choice, questions: 2}]\nheld_out_loss: {questions: 2}\n"
    )
    tasks = ["turncoat_choice", "turncoat_insecure_code_loss"]
    lm = TurncoatLM(tiny_base, store=quick_store)
    evaluate(lm, str(tiny_folder), tasks, tmp_path / "base")
    with lm.measuring(tiny_adapter) as trained_lm:
        evaluate(trained_lm, str(tiny_folder), tasks, tmp_path / "trained")
    trained = [f"{role}/{seed}={tmp_path}/trained" for role in ("organism", "control") for seed in (0, 1)]
    content = {
        **yaml.safe_load(TEMPLATE),
        "defence": {"name": "no defence", "setting": "none", "summary": "As it is."},
        "adapters": {role: dict.fromkeys((0, 1), str(tiny_adapter)) for role in ("organism", "control")},
        "persona": {"trait": "evil", "layer": 1},
        "judge": {"id": "embedded-1", "rubric": "none"},
    }
    (tmp_path / "facts.yaml").write_text(yaml.safe_dump(content))
    submit(
        [f"base={tmp_path}/base", *trained], tmp_path / "facts.yaml", tmp_path / "out" / "none", track="one"
    )
    facts = facts_of(tmp_path / "out" / "none")
    assert facts["model"]["name"] == "model" and facts["model"]["dtype"] == "float32"
    digests = facts["adapters"]["organism"]["0"], facts["adapters"]["control"]["1"]
    assert set(digests) == {adapter_digest(tiny_adapter)}
    assert {key: file["rows"] for key, file in facts["rows"].items()} == {
        f"{where}/{task}": 2
        for where in (
            "base/base",
            *(f"{role}/seed-{seed}" for role in ("organism", "control") for seed in (0, 1)),
        )
        for task in tasks
    }
    assert str(tmp_path) not in json.dumps(facts)
    broken = Path(shutil.copytree(tiny_adapter, tmp_path / "broken"))
    weights = load_file(broken / "adapter_model.safetensors")
    first = next(iter(weights))
    save_file({**weights, first: weights[first] / 0}, broken / "adapter_model.safetensors")
    content["adapters"]["control"][1] = str(broken)
    (tmp_path / "facts.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(UserError, match=r"adapters\.control\.1: peft=.*1 of .* weights hold NaN or infinite"):
        submit([f"base={tmp_path}/base", *trained], tmp_path / "facts.yaml", tmp_path / "again", track="one")
