"""The bench: equality first, then every way in turns, then one record of all of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from turncoat.bench import adapters, answers, choices, finetune, vector
from turncoat.bench.counters import Counts, counting, peak_memory, reset_peak_memory
from turncoat.bench.machine import clock, description, peaks, product_seconds, products_of
from turncoat.bench.work import Done, Setting, Strategy, Work, float32_twin
from turncoat.engine.base_model import LOADS, load_base
from turncoat.errors import UserError, accepted
from turncoat.evaluation.own_texts import set_current_base
from turncoat.formats import duration

NEAR = 0.85  # of the fastest rival's rate: slower ways take one turn

WORKS: dict[str, Callable[[Setting], list[Work]]] = {
    "W1": answers.sampling, "W3": answers.activations, "W4": vector.works, "W5": choices.works,
    "W6": adapters.works, "W7": finetune.works,
}  # fmt: skip


@dataclass
class _Runs:
    """All runs of one strategy."""

    strategy: Strategy
    seconds: list[float] = field(default_factory=list)
    done: list[Done] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)
    counts: Counts = field(default_factory=Counts)  # of the last run

    @property
    def rates(self) -> list[float]:
        """Units per second, of each run."""
        return [units / seconds for (units, _), seconds in zip(self.done, self.seconds, strict=True)]

    def one_more(self, model: Any, turn: int) -> None:
        """Run the strategy once."""
        reset_peak_memory()
        with counting(model) as counts:
            began = clock()
            done = self.strategy.run(turn)
            self.seconds.append(clock() - began)
        self.done.append(done)
        self.counts = counts
        self.memory += [memory] if (memory := peak_memory()) is not None else []

    def record(self, main: _Runs | None, products: dict[str, list[float]]) -> dict[str, Any]:
        """Rates, ratios and counters; `products` are seconds of the model's matrix products."""
        counts, rows, needed = self.counts, self.strategy.rows, self.done[-1][1]
        passes = {"body": counts.body, "head": counts.head}
        step = products_of({"body": {rows: 1}, "head": {rows: 1}}, products) if rows else None
        # Of the same turn: what slows the machine down for a while slows both.
        pairs = zip(main.rates if main else (), self.rates, strict=False)
        ratios = [ours / this for ours, this in pairs if this]
        return {
            "name": self.strategy.name, "ours": self.strategy.ours, "part": self.strategy.part,
            "seconds": self.seconds, "units": [units for units, _ in self.done],
            "rate": _spread(self.rates), "main_over_this": _spread(ratios),
            "passes": counts.body.total(), "prefill_tokens": counts.prefill_tokens,
            "decode_tokens": counts.decode_tokens,
            "dead_row_steps": None if needed is None else counts.decode_tokens - needed,
            "peak_memory_bytes": max(self.memory, default=None),
            "products_share": products_of(passes, products) / self.seconds[-1] if counts.body else None,
            "roofline_share": median(self.rates) * step / rows if step else None,
        }  # fmt: skip


def _spread(values: Sequence[float]) -> dict[str, float] | None:
    return {"min": min(values), "median": median(values), "max": max(values)} if values else None


def bench(
    model: str, names: Sequence[str], *, runs: int, quick: bool, vllm_python: str | None,
    say: Callable[[str], None],
) -> dict[str, Any]:  # fmt: skip
    """Time the works and return the record; Ctrl-C ends it with what is done.

    Args:
        model: As `load_base` takes it.
        names: Of works; empty = all.
        runs: Turns of every strategy.
        say: Called with lines on progress.

    Raises:
        UserError: There is no such work or model, or two ways give different results.
    """
    for name in names:
        if name not in WORKS:
            raise UserError(f"'{name}' is not a work; {accepted(WORKS, name)}; without a name all are timed")
    loads = len(LOADS)
    base = load_base(model)
    record: dict[str, Any] = {
        "turncoat_bench": 1, "model": model, **base.spec,
        "date": datetime.now(UTC).isoformat(timespec="seconds"), "runs": runs, "quick": quick,
        "stopped": False, "machine": description(), "works": [],
    }  # fmt: skip
    with TemporaryDirectory(prefix="turncoat-bench-") as folder:
        try:
            twin = float32_twin(base)
            record["peak"] = peaks([base.model, twin.model])
            setting = Setting(base, quick, Path(folder), vllm_python)
            works = [work for name in WORKS if name in names or not names for work in WORKS[name](setting)]
            checks = []
            for work in works:
                say(f"{work.name}: are all results the same?")
                checks.append(work.equal(twin))
            del twin
            set_current_base(None)  # `--model turncoat` named the twin, which would stay in memory
            for work, equality in zip(works, checks, strict=True):
                entry = {"work": work.name, "title": work.title, "unit": work.unit, "note": work.note}
                record["works"].append(entry | {"equality": equality, "main": None, "strategies": []})
                for result in _race(base.model, work, runs, say):
                    record["works"][-1] |= result
        except KeyboardInterrupt:
            record["stopped"] = True
    record["model_loads"] = len(LOADS) - loads
    return record


def _race(model: Any, work: Work, turns: int, say: Callable[[str], None]) -> Iterator[dict[str, Any]]:
    """The strategies in turns (A B C, A B C, ...); yields all that is known after each run."""
    race = [_Runs(strategy) for strategy in work.strategies]
    products: list[dict[str, list[float]]] = []
    with ExitStack() as stack:
        for strategy in work.strategies:
            if isinstance(strategy.run, AbstractContextManager):  # an engine in a process of its own
                stack.enter_context(strategy.run)
        running = race
        for turn in range(turns):
            products.append(product_seconds(model))
            for number, runs in enumerate(running, 1):
                runs.one_more(model, turn)
                rate = f"{runs.rates[-1]:.4g} {work.unit}/s"
                left = _time_left(running, number, turns - turn - 1)
                say(f"{work.name} {turn + 1}/{turns}, {runs.strategy.name}: {rate}; time left {left}")
                yield _entry(work, race, products)
            running = running if turn else _worth_repeating(race)


def _worth_repeating(race: Sequence[_Runs]) -> list[_Runs]:
    """The strategies without those that are far slower than a rival after the first turn."""
    best: dict[str, float] = {}
    for runs in race:
        best[runs.strategy.rival_of] = max(best.get(runs.strategy.rival_of, 0.0), runs.rates[0])
    return [
        runs
        for runs in race
        if not runs.strategy.rival_of or runs.rates[0] >= NEAR * best[runs.strategy.rival_of]
    ]


def _time_left(running: Sequence[_Runs], done: int, turns: int) -> str:
    """Time for the rest of this turn and `turns` more, once every strategy has run."""
    if not all(runs.seconds for runs in running):
        return "known after the first turn"
    rest = sum(runs.seconds[-1] for runs in running[done:])
    return duration(rest + turns * sum(median(runs.seconds) for runs in running))


def _entry(work: Work, race: list[_Runs], products: list[dict[str, list[float]]]) -> dict[str, Any]:
    typical = {
        part: [median(times) for times in zip(*(one[part] for one in products), strict=True)]
        for part in products[0]
    }
    ran = [runs for runs in race if runs.seconds]
    most = max(len(runs.seconds) for runs in ran)
    ours = [runs for runs in ran if runs.strategy.ours and len(runs.seconds) >= most - 1]
    main = next((runs for runs in ours if runs.strategy.name == work.main), None)
    main = main or max(ours, key=lambda runs: median(runs.rates), default=None)
    return {
        "main": main and main.strategy.name, "product_seconds": typical,
        "strategies": [runs.record(main, typical) for runs in ran],
    }  # fmt: skip
