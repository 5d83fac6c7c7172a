"""Two runs of one study at once: no stage is made twice, and each takes the work that the other is not at."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from types import SimpleNamespace

import pytest
from study.tiny_study import samples, write_study
from turncoat.paths import PACKAGE
from turncoat.store import StageBusy, Store
from turncoat.study.units.maker import UnitMaker
from turncoat.testing import save_tiny

# `turncoat run` with a short extraction, that writes down which stages it builds.
_RUN = """
import os, sys
import torch.utils.collect_env as c; c.get_pretty_env_info = lambda: ''
import turncoat.persona.extract as e; e.TOKENS, e.ROLLOUTS = 4, 1
from turncoat.store import Store
build = Store._build
def counted(store, lease, kind, spec, make, **options):
    build(store, lease, kind, spec, make, **options)
    with open(os.environ["BUILT"], "a") as file:
        print(f"{os.getpid()} {store.folder(kind, spec)}", file=file)
Store._build = counted
from turncoat.cli import main; main()
"""


def test_units_that_others_make_come_last_and_the_run_waits_once_nothing_else_is_left(tmp_path):
    store, tried, told = Store(tmp_path), [], []
    busy = Counter({"b": 1, "c": 3})

    class Maker(UnitMaker):
        def __init__(self) -> None:
            self.worker = SimpleNamespace(store=store, vllm=None)
            self._diverged = {}
            self.plan = SimpleNamespace(units=[SimpleNamespace(id=name) for name in "abcd"])

        def make(self, unit, tell) -> None:
            tried.append(unit.id + ("" if store._waits else "?"))
            if busy[unit.id] and not store._waits:
                busy[unit.id] -= 1
                raise StageBusy("rows", None)

    Maker().make_all(told.append)
    assert tried == ["a?", "b?", "c?", "d?", "b?", "c?", "c"] and store._waits
    assert [event.unit for event in told] == ["b", "c", "c"] and {event.kind for event in told} == {"busy"}


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_no_stage_is_made_twice(tmp_path):
    model = save_tiny(tmp_path / "model", layers=2)
    file = write_study(tmp_path / "tiny.yaml", model, ("base", "insecure", "sgtr"), ("turncoat_choice",))
    built, outs = tmp_path / "built", [tmp_path / "one", tmp_path / "two"]
    places = {
        "TURNCOAT_CACHE": str(tmp_path / "cache"), "PYTHONPATH": str(PACKAGE.parent), "BUILT": str(built),
        "TURNCOAT_EMBEDDER": "off",
    }  # fmt: skip
    running = [
        subprocess.Popen(
            [sys.executable, "-c", _RUN, "run", str(file), "--out", str(out)],
            env={**os.environ, **places}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for out in outs
    ]  # fmt: skip
    for process in running:
        printed, _ = process.communicate(timeout=1700)
        assert process.returncode == 0, printed[-3000:]
    makers, stages = zip(*(line.split() for line in built.read_text().splitlines()), strict=True)
    assert len(set(stages)) == len(stages)
    assert len(set(makers)) == 2, "one of them made all"
    assert samples(outs[0] / "rows") == samples(outs[1] / "rows") != {}
    assert not list((tmp_path / "cache" / "stages").rglob("*.work"))
