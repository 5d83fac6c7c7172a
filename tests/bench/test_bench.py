"""The bench on the tiny model: counters, refusal of unequal results, shape of the record; never times."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
import torch
import typer
from engine.vllm.fake_vllm import fake_python, notes
from turncoat.bench import adapters, answers, finetune, run as bench_run
from turncoat.bench.counters import counting
from turncoat.bench.machine import ROWS, products_of
from turncoat.bench.prompts import answer_requests, recognition_pairs
from turncoat.bench.reference import generate
from turncoat.bench.table import as_markdown
from turncoat.bench.vllm_engine import VllmAnswers
from turncoat.bench.work import Setting, Strategy, Work, float32_twin, same
from turncoat.commands.maintain.bench import bench as command
from turncoat.engine.decoding.sampler import Sampler
from turncoat.engine.vllm import sampler as vllm_sampler
from turncoat.errors import UserError


def bench(model: Path | str, names: list[str], *, say=lambda _: None, runs: int = 2):
    return bench_run.bench(str(model), names, runs=runs, quick=True, vllm_python=None, say=say)


@pytest.fixture
def one_work(monkeypatch):
    """A bench of one work of two ways, which do nothing; `change` replaces fields of the work."""

    def make(**change):
        ways = [
            Strategy("ours", lambda turn: (6.0, 0), ours=True),
            Strategy("plain", change.pop("plain", lambda turn: (2.0, None)), part="a third"),
        ]
        work = Work(
            "W1", "nothing", "tokens", ways, **{"equal": lambda twin: [same("a", [1], [1], 0)], **change}
        )
        monkeypatch.setattr(bench_run, "WORKS", {"W1": lambda setting: [work]})

    return make


def test_passes_are_counted_as_the_model_makes_them(tiny_base):
    with counting(tiny_base.model) as counts, torch.inference_mode():
        tiny_base.model(input_ids=torch.ones(3, 5, dtype=torch.long))
        tiny_base.model(input_ids=torch.ones(3, 1, dtype=torch.long), logits_to_keep=1)
    tiny_base.model(input_ids=torch.ones(1, 2, dtype=torch.long))
    assert (counts.prefill_tokens, counts.decode_tokens) == (15, 3)
    assert counts.body == Counter({15: 1, 3: 1}) == counts.head


def test_dead_row_steps_are_those_that_no_answer_needed(tiny_base):
    requests = answer_requests(tiny_base, 4, 2, 12, turn=0)
    with counting(tiny_base.model) as counts:
        results = Sampler(tiny_base.model, tiny_base.tokenizer, 4, refill=True, row_multiple=1).run(requests)
    tokens, needed = answers.tokens_of(answers.sampled(results))
    assert tokens == sum(len(result.token_ids) for result in results)
    assert counts.decode_tokens == needed  # refilled, and without filler rows, nothing is dead
    assert counts.prefill_tokens == sum(len(request.prompt_ids) for request in requests[::2])
    with counting(tiny_base.model) as counts:
        drawn = generate(tiny_base.model, tiny_base.tokenizer, requests, 8)
    _, needed = answers.tokens_of(drawn)
    longest = max(len(ids) + ended for ids, ended in drawn)
    assert counts.decode_tokens == 8 * (longest - 1) > needed


def test_products_lie_between_the_measured_rows_and_grow_beyond_them():
    seconds = {"body": [float(rows) for rows in ROWS], "head": [2.0] * len(ROWS)}
    assert products_of({"body": {16: 2, 1024: 1}, "head": {1: 3}}, seconds) == pytest.approx(32 + 1024 + 6)


def test_numbers_may_differ_by_the_tolerance_and_texts_not_at_all():
    assert same("numbers", [0.5, -2.0], [0.50009, -2.0])["largest_difference"] < 1e-4
    for ours, theirs in (([0.5], [0.5002]), ([float("nan")], [0.5])):
        with pytest.raises(UserError, match=r"numbers differ: by up to .*nothing is timed"):
            same("numbers", ours, theirs)
    with pytest.raises(UserError, match=r"number 1 is \[3\] here and \[4\] there"):
        same("texts", [[1], [3]], [[1], [4]], 0)


def test_loss_curves_may_differ_by_two_percent_in_a_quarter():
    ours = [2.0, 1.0, 1.0, 0.5]
    check = finetune.same_curve(ours, [2.02, 9.0, 9.0, 0.5])
    assert check["largest_difference"] == pytest.approx(0.02 / 2.02)
    with pytest.raises(UserError, match=r"losses .* differ: by up to 0\.029.*, accepted: 0\.02"):
        finetune.same_curve(ours, [2.06, 1.0, 1.0, 0.5])


def test_the_twin_shares_nothing_with_the_model(tiny_base):
    twin = float32_twin(tiny_base)
    assert twin.model.dtype == torch.float32
    tiny = next(tiny_base.model.parameters())
    assert next(twin.model.parameters()).data_ptr() != tiny.data_ptr()


def test_recognition_pairs_cover_rivals_and_orders(tiny_base):
    pairs = recognition_pairs(tiny_base, 2)
    assert len(pairs) == 2 * 3 * 2 * 2 and len({prompt for prompt, _ in pairs}) == 12
    assert {answer for _, answer in pairs} == {"1", "2"}


def test_sampling_is_compared_and_counted(tiny_folder):
    record = bench(tiny_folder, ["W1"], runs=1)
    json.dumps(record, allow_nan=False)
    (work,) = record["works"]
    assert record["model_loads"] <= 1 and record["machine"]["threads"] >= 1  # loaded by another test
    assert work["equality"] == [
        {"check": "greedy answers and generate's", "compared": 8, "largest_difference": 0.0, "tolerance": 0}
    ]
    ways = {way["name"]: way for way in work["strategies"]}
    assert work["main"] == "Turncoat, batch 32" and ways[work["main"]]["main_over_this"]["median"] == 1
    assert ways["generate, batch 1"]["part"] == "1 of 4 samples"
    for way in ways.values():
        assert way["passes"] > 0 and way["prefill_tokens"] > 0 and way["units"][0] > 0
        assert way["products_share"] > 0 and way["roofline_share"] > 0
    assert ways["generate, batch 1"]["dead_row_steps"] == 0 < ways["generate, batch 32"]["dead_row_steps"]


def test_other_greedy_answers_are_refused_before_anything_is_timed(tiny_folder, monkeypatch):
    def other(*given):
        return [([*ids, 7], ended) for ids, ended in generate(*given)]

    monkeypatch.setattr(answers, "generate", other)
    lines = []
    with pytest.raises(UserError, match="greedy answers and generate's differ: number 0"):
        bench(tiny_folder, ["W1"], say=lines.append)
    assert lines == ["W1: are all results the same?"]


def test_turns_ratios_and_table(tiny_folder, one_work):
    one_work()
    lines = []
    record = bench(tiny_folder, [], say=lines.append)
    assert [line.split(":")[0] for line in lines[1:]] == [
        "W1 1/2, ours",
        "W1 1/2, plain",
        "W1 2/2, ours",
        "W1 2/2, plain",
    ]
    ours, plain = record["works"][0]["strategies"]
    assert ours["units"] == [6.0, 6.0] and plain["dead_row_steps"] is None and not record["stopped"]
    ratios = [3 * theirs / mine for mine, theirs in zip(ours["seconds"], plain["seconds"], strict=True)]
    assert plain["main_over_this"]["min"] == pytest.approx(min(ratios))
    text = as_markdown(json.loads(json.dumps(record)))
    assert "QUICK" in text and record["machine"]["cpu"] in text and "| plain (a third) |" in text
    assert len({line.count("|") for line in text.splitlines() if line.startswith("|")}) == 1


def test_a_slow_rival_takes_one_turn_and_its_ratio_is_of_that_turn(tiny_folder, monkeypatch):
    units = {"ours": 1000.0, "hf, 1": 1.0, "hf, 8": 100.0}
    ways = [
        Strategy(name, lambda turn, n=n: (n, None), name == "ours", rival_of="" if name == "ours" else "hf")
        for name, n in units.items()
    ]
    monkeypatch.setattr(bench_run, "NEAR", 0.2)  # the ways take no time: their rates are noise within it
    work = Work("W1", "nothing", "tokens", ways, lambda twin: [same("a", [1], [1], 0)])
    monkeypatch.setattr(bench_run, "WORKS", {"W1": lambda setting: [work]})
    record = bench(tiny_folder, [], runs=3)
    assert {way["name"]: len(way["seconds"]) for way in record["works"][0]["strategies"]} == {
        "ours": 3, "hf, 1": 1, "hf, 8": 3,
    }  # fmt: skip


def test_the_command_prints_tables_then_one_object_and_keeps_it(tiny_folder, one_work, tmp_path, capsys):
    one_work()
    out = tmp_path / "bench.json"
    command(model=str(tiny_folder), runs=1, quick=True, out=out)
    *table, blank, last = capsys.readouterr().out.splitlines()
    assert json.loads(last) == json.loads(out.read_text()) and not blank
    command(table=out)
    assert capsys.readouterr().out.splitlines() == table
    command(model=str(tiny_folder), runs=1, quick=True, as_json=True)
    assert len(capsys.readouterr().out.splitlines()) == 1
    out.write_text("{}")
    with pytest.raises(UserError, match="not a record of"):
        command(table=out)
    with pytest.raises(UserError, match="its folder is not there"):
        command(out=tmp_path / "no" / "bench.json")


def test_ctrl_c_leaves_what_is_done(tiny_folder, one_work, capsys):
    def plain(turn):
        if turn == 1:
            raise KeyboardInterrupt
        return 2.0, None

    one_work(plain=plain)
    with pytest.raises(typer.Exit) as stop:
        command(model=str(tiny_folder), runs=2)
    *table, last = capsys.readouterr().out.splitlines()
    ours, theirs = json.loads(last)["works"][0]["strategies"]
    assert stop.value.exit_code == 1 and (len(ours["seconds"]), len(theirs["seconds"])) == (2, 1)
    assert "STOPPED" in " ".join(table)


def test_an_unknown_work_is_refused_before_a_model_is_looked_for():
    with pytest.raises(UserError, match=r"'W2' is not a work; accepted: W1"):
        bench("no-such-model", ["W2"])


def test_vllm_is_loaded_once_and_draws_with_other_seeds_each_turn(tiny_base, tmp_path):
    with VllmAnswers(fake_python(tmp_path), tiny_base, [[1] * n for n in range(1, 11)], 80) as answers:
        assert answers(0) == (55.0, None) and answers(1) == (55.0, None)
    seeds = [settings["seed"] for settings in notes(tmp_path, "settings")]
    assert len(notes(tmp_path, "weights")) == 1 and len(set(seeds)) == len(seeds) == 28


def test_vllm_measures_the_arms_of_w6_in_one_call(tiny_base, tmp_path, monkeypatch):
    monkeypatch.setattr(vllm_sampler, "DRIFT", {"float32": 100.0})
    for name, torch_version, how in (
        ("gpu", "9.9", "all arms in one call"),
        ("cpu", "9.9+cpu", "starts incl"),
    ):
        python = fake_python(tmp_path / name, torch=torch_version)
        (work,) = adapters.works(Setting(tiny_base, True, tmp_path / f"{name}-arms", python))
        way = work.strategies[-1]
        assert how in way.name and not way.ours
        with way.run as run:
            arms, steps = run(0)
        assert arms == 3 and steps > 0
    pairs = 2 * 12
    assert notes(tmp_path / "gpu", "call") == [[3 * 8, 3], [3 * pairs, 3]] * 2, "once to warm up"
    assert notes(tmp_path / "cpu", "call") == [[8, 1], [pairs, 1]] * 3
    assert len(notes(tmp_path / "gpu", "weights")) == 1 and len(notes(tmp_path / "cpu", "weights")) == 3


@pytest.mark.slow
@pytest.mark.parametrize("name", ["W3", "W4", "W5", "W6", "W7"])
def test_every_work_gives_the_same_and_finishes(tiny_folder, name):
    record = bench(tiny_folder, [name], runs=1)
    assert all(work["strategies"] and work["main"] for work in record["works"])
    for work in record["works"]:
        assert all(one["largest_difference"] <= one["tolerance"] for one in work["equality"])
        assert all(way["passes"] > 0 for way in work["strategies"])
    assert record["works"][0]["title"] in as_markdown(record)


def test_activations_are_compared_on_the_twin(tiny_base, tmp_path):
    (work,) = answers.activations(Setting(tiny_base, quick=True, folder=tmp_path))
    checks = work.equal(float32_twin(tiny_base))
    assert len(checks) == 2 and all(one["largest_difference"] < 1e-4 and one["compared"] for one in checks)
