"""Progress of a running study: durations in words, time left that falls and learns the machine's speed."""

import io

import pytest
from rich.console import Console
from turncoat.study import progress
from turncoat.study.progress import StudyProgress, duration


@pytest.mark.parametrize(("seconds", "text"), [
    (0, "0 s"), (44.6, "45 s"), (89, "89 s"), (90, "2 min"), (170, "3 min"), (89 * 60, "89 min"),
    (90 * 60, "1 h 30 min"), (80 * 60 + 4800, "2 h 40 min"), (7200, "2 h 0 min"),
])  # fmt: skip
def test_durations(seconds, text):
    assert duration(seconds) == text


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(progress.time, "perf_counter", lambda: self.now)


def begun(monkeypatch: pytest.MonkeyPatch, planned: float = 100.0) -> tuple[Clock, StudyProgress]:
    return Clock(monkeypatch), StudyProgress(Console(file=io.StringIO()), planned=planned)


def run(study: StudyProgress, clock: Clock, estimate: float, took: float, **more) -> float:
    with study.stage("work", estimate, **more) as stage:
        clock.now += took
        stage.update(1, 2)
    return study.remaining


def test_the_time_left_falls_to_nothing(monkeypatch):
    clock, study = begun(monkeypatch)
    left = [study.remaining] + [run(study, clock, estimate=10, took=10) for _ in range(10)]
    assert left[0] == 100 and left == sorted(left, reverse=True) and left[-1] == 0
    assert run(study, clock, estimate=10, took=10) == 0, "more than was planned leaves nothing, not less"


@pytest.mark.parametrize(("took", "expected"), [(5, 40.0), (10, 80.0), (30, 240.0)])
def test_it_learns_the_speed_of_the_machine(monkeypatch, took, expected):
    clock, study = begun(monkeypatch)
    run(study, clock, estimate=10, took=took)
    assert run(study, clock, estimate=10, took=took) == pytest.approx(expected)


def test_the_stage_at_work_counts_as_far_as_it_is(monkeypatch):
    clock, study = begun(monkeypatch)
    with study.stage("long", 50) as stage:
        clock.now += 60
        stage.update(1, 4)
        assert study.remaining == pytest.approx(87.5 * 60 / 12.5)
        stage.update(2, 4)
        assert study.remaining == pytest.approx(75 * 60 / 25)
    assert study.remaining == pytest.approx(50 * 60 / 50)


def test_one_slow_start_is_no_measure(monkeypatch):
    clock, study = begun(monkeypatch)
    assert run(study, clock, estimate=1, took=60) == 99


def test_lines_for_what_was_done_now_and_before(monkeypatch):
    clock, out = Clock(monkeypatch), io.StringIO()
    study = StudyProgress(Console(file=out, width=120), planned=100.0)
    run(study, clock, estimate=40, took=20)
    assert study.remaining == 30
    run(study, clock, estimate=50, took=0, cached=True)
    assert study.remaining == 5, "what was done before takes no time any more"
    lines = out.getvalue().splitlines()
    assert lines == ["  work: 20.0 s  (30 s left)", "  work: done before"]
    run(study, clock, estimate=10, took=50)
    assert out.getvalue().splitlines()[-1] == "  work: 50.0 s  (nearly done)", "no 0 s that last a minute"


def test_a_run_whose_stages_were_all_done_before_has_nothing_left(monkeypatch):
    clock, study = begun(monkeypatch, planned=0.3)
    for _ in range(3):
        run(study, clock, estimate=0.1, took=0, cached=True)
    study.planned -= 1e-9  # sums of estimates are rounded
    assert study.remaining == 0


def test_a_failed_stage_leaves_no_bar_and_counts_as_nothing(monkeypatch):
    clock, out = Clock(monkeypatch), io.StringIO()
    study = StudyProgress(Console(file=out, force_terminal=True, width=120), planned=100.0)
    with pytest.raises(RuntimeError), study.stage("work", 50):
        raise RuntimeError
    assert study._bars is None and study.remaining == 100 and run(study, clock, estimate=50, took=5) == 5
