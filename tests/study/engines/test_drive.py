"""Order in which units are handed out, and what happens when a worker is lost or refuses."""

import socket
import sys
import tomllib
from contextlib import contextmanager
from pathlib import Path

import pytest
from turncoat.errors import UserError
from turncoat.study.engines import slurm_jobs
from turncoat.study.engines.drive import drive
from turncoat.study.engines.job import event_line, event_of
from turncoat.study.engines.names import engine_from_name
from turncoat.study.engines.pool import Pool, WorkerLost
from turncoat.study.ray_address import check_ray_address
from turncoat.study.units.maker import Event
from turncoat.study.units.plan import Plan, Stage, Unit


def unit(name: str, *needs: str) -> Unit:
    stages = tuple(Stage(f"{name}/{part}", "rows", name, 1.0) for part in "ab")
    return Unit(name, name, stages, needs=needs)


PLAN = Plan((unit("v"), unit("base", "v/a"), unit("x", "v/b"), unit("y", "x/a")))


class Scripted:
    """Answers each unit at once by the events of a script, whatever was submitted before."""

    described = "scripted"

    def __init__(self, most=None, **script):
        self.most, self.script, self.submitted, self.at_work = most, script, [], 0

    @contextmanager
    def running(self, job, inbox):
        self.inbox = inbox
        yield

    def submit(self, units):
        self.submitted.append(list(units))
        for name in units:
            kinds = self.script.get(name, ["made a", "made b", "done"])
            kinds = kinds.pop(0) if kinds and isinstance(kinds[0], list) else kinds
            for kind in kinds:
                what, _, part = kind.partition(" ")
                self.inbox.put(Event(what, name, stage=f"{name}/{part}" if part else "", text="so it went"))


def ran(engine, plan=PLAN):
    heard = []
    drive(engine, None, plan, heard.append)
    return heard


def test_a_unit_is_handed_out_when_the_stages_it_needs_are_made():
    engine = Scripted()
    assert [e.unit for e in ran(engine) if e.kind == "done"] == ["v", "base", "x", "y"]
    assert engine.submitted == [["v"], ["base"], ["x"], ["y"]]
    together = Plan((unit("v"), unit("p"), unit("q"), unit("r")))
    for most, expected in ((None, [["v", "p", "q", "r"]]), (2, [["v", "p"], ["q"], ["r"]])):
        engine = Scripted(most)
        ran(engine, together)
        assert engine.submitted == expected


def test_a_lost_worker_costs_its_unit_alone_and_a_diverged_one_holds_up_nobody():
    engine = Scripted(x=[["made a", "lost"], ["made a", "diverged"]])
    kinds = [(e.kind, e.unit) for e in ran(engine) if e.kind != "made"]
    assert kinds.count(("lost", "x")) == 1 and ("diverged", "x") in kinds and ("done", "y") in kinds
    with pytest.raises(UserError, match=r"unit v lost its worker 3 times .so it went.*--only v"):
        ran(Scripted(v=["lost"]))


def test_a_lost_worker_is_replaced_and_one_that_cannot_start_ends_the_run():
    class Fragile(Pool):
        most, started, last = 1, 0, None

        @contextmanager
        def worker(self, number, job):
            self.started += 1
            if self.started == self.last:
                raise UserError("no room")

            def make(unit):
                yield Event("begin", unit, f"{unit}/a")
                if self.started == 1:
                    raise WorkerLost("killed")
                yield from (Event("made", unit, f"{unit}/a"), Event("done", unit))

            yield make

    pool, refused = Fragile(), Fragile()
    kinds = [(e.kind, e.unit) for e in ran(pool) if e.kind != "made"]
    assert kinds[:4] == [("begin", "v"), ("lost", "v"), ("begin", "v"), ("done", "v")]
    assert pool.started == 2 and kinds[-1] == ("done", "y")
    refused.last = 2
    with pytest.raises(UserError, match=r"^no room$"):
        ran(refused)


def test_what_a_worker_refuses_ends_the_run_with_its_words():
    with pytest.raises(UserError, match=r"^so it went$"):
        ran(Scripted(base=["refused"]))
    with pytest.raises(RuntimeError, match="unit base failed in its worker:\nso it went"):
        ran(Scripted(base=["failed"]))


def test_a_job_that_ran_out_of_time_too_often_says_what_to_give(monkeypatch, capsys):
    failed = Event("failed", "v", text=f"Traceback ...\nUncompletedJobError: {slurm_jobs.TOO_OFTEN}.")
    monkeypatch.setattr(slurm_jobs, "make_unit", lambda job, unit, tell: tell(failed))
    slurm_jobs._UnitJob()(None, "v")
    event = event_of(capsys.readouterr().out.partition(" ")[2])
    assert event.kind == "refused" and "--engine slurm:minutes=N" in event.text


@pytest.mark.parametrize(
    ("engine", "module", "extra"), [("ray", "ray", "ray"), ("slurm:local", "submitit", "slurm")]
)
def test_an_engine_whose_library_is_missing_names_the_extra(engine, module, extra, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UserError, match=rf"needs .*: pip install 'turncoat\[{extra}\]'$"):
        engine_from_name(engine)
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["optional-dependencies"][extra][0].startswith(module)


def test_an_event_is_a_line_and_a_librarys_line_is_not_an_event():
    event = Event("made", "x/0", "x/0/adapter", "a\nb", seconds=1.5, before=True)
    assert "\n" not in event_line(event) and event_of(event_line(event)) == event
    assert [event_of(line) for line in ("", "Loading", "{}", '"text"', '{"loss": 1}', "[1]")] == [
        None, None, Event("", ""), None, None, None,
    ]  # fmt: skip


def test_a_ray_cluster_that_is_not_there_is_said_before_a_study_is_read(tmp_path, monkeypatch):
    (tmp_path / "ray.py").write_text(
        "def init(address, **_): raise ConnectionError('no running Ray instance')\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr("turncoat.study.ray_address.find_spec", lambda name: name)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        for fine in ("processes:2", "ray", "ray:workers=2", f"ray:127.0.0.1:{port},gpus=1"):
            check_ray_address(fine)
    for address, text in (
        ("auto", "no running Ray instance"),
        (f"127.0.0.1:{port}", "nothing answers there"),
    ):
        with pytest.raises(UserError, match=rf"ray:{address}: .*{text}.*; accepted: the address of"):
            check_ray_address(f"ray:{address},workers=2")


@pytest.mark.parametrize(
    "text",
    ["threads:2", "processes", "processes:0", "processes:2,gpus=1", "ray:a,b", "slurm:remote", "", "ray:x=1"],
)
def test_engines_that_there_are_not(text):
    with pytest.raises(UserError, match="accepted: processes:2, ray, "):
        engine_from_name(text)
