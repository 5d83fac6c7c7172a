"""The check of a GPU on a CPU: each part by itself, and what becomes of one that fails or takes too long."""

from __future__ import annotations

import json
import time

import pytest
import typer
from turncoat.bench.work import same
from turncoat.commands.maintain.dev import gpu_check as command
from turncoat.tools import gpu_check


def test_a_part_that_fails_or_takes_too_long_costs_itself_alone(tiny_folder, tmp_path, monkeypatch, capsys):
    parts = {
        "wrong": lambda setting: {"equality": [same("numbers", [1.0], [2.0])]},
        "nothing": lambda setting: {"passed": None, "left_out": "1 GPU here"},
        "right": lambda setting: {"layers": setting.small},
        "long": lambda setting: time.sleep(60) or {},
    }
    monkeypatch.setattr(gpu_check, "PARTS", parts)
    monkeypatch.setattr(gpu_check, "LIMIT", 2.0)
    with pytest.raises(typer.Exit) as stop:
        command(model=str(tiny_folder), small=True, out=tmp_path / "gpu.json")
    record = json.loads(capsys.readouterr().out)
    assert record == json.loads((tmp_path / "gpu.json").read_text()) and stop.value.exit_code == 1
    assert {name: part["passed"] for name, part in record["parts"].items()} == {
        "wrong": False, "nothing": None, "right": True, "long": False,
    }  # fmt: skip
    assert "numbers differ: by up to 1" in record["parts"]["wrong"]["error"] and not record["passed"]
    assert record["parts"]["long"]["error"] == "the 2 seconds of a check were over"
    assert record["parts"]["right"]["layers"] is True and record["machine"]["cores"] >= 1


@pytest.mark.slow
def test_all_parts_on_a_cpu(tiny_folder, plain_lm_eval):
    record = gpu_check.gpu_check(str(tiny_folder), small=True, vllm_python=None, say=print, out=None)
    assert {name: part["passed"] for name, part in record["parts"].items()} == {
        name: None if name == "vLLM" else True for name in gpu_check.PARTS
    }
    parts = record["parts"]
    assert parts["two GPUs"]["same_rows"] == parts["two GPUs"]["of"] > 0
    assert len(parts["7B"]["losses"]) == gpu_check.STEPS and parts["7B"]["peak_memory_bytes"] > 1e8
    assert parts["numbers"]["equality"][1]["largest_difference"] < 1e-4
