"""Order of units: one is handed out when the stages that it needs of others are made."""

from collections import Counter
from collections.abc import Callable
from queue import SimpleQueue

from turncoat.errors import UserError
from turncoat.study.engines.job import Engine
from turncoat.study.units.maker import Event
from turncoat.study.units.plan import Plan

_LOSSES = 3  # Workers that a unit may lose (pre-empted, killed, out of memory) before the run stops


def drive(engine: Engine, job: str, plan: Plan, hear: Callable[[Event], None]) -> None:
    """Have all units made by an engine.

    A worker that is lost costs what its unit's stage at work had not kept; the unit is handed out again.

    Raises:
        UserError: A worker refused its unit (a judge that does not work, a model that cannot be read), or a
            unit lost its worker again and again.
        RuntimeError: A worker failed; the text is its traceback.
    """
    waiting = {unit.id: unit for unit in plan.units}
    at_work: set[str] = set()
    made: set[str] = set()
    losses: Counter[str] = Counter()
    inbox: SimpleQueue[Event] = SimpleQueue()
    with engine.running(job, inbox):
        while waiting or at_work:
            # In the plan's order, also those whose worker was lost.
            ready = [u.id for u in plan.units if u.id in waiting and made.issuperset(u.needs)]
            room = len(ready) if engine.most is None else engine.most - len(at_work)
            if chosen := ready[:room]:
                at_work.update(chosen)
                for name in chosen:
                    del waiting[name]
                engine.submit(chosen)
            event = inbox.get()
            if event.kind == "refused":
                raise UserError(event.text)
            if event.kind == "failed":
                raise RuntimeError(f"unit {event.unit} failed in its worker:\n{event.text}")
            if event.kind == "lost":
                losses[event.unit] += 1
                if losses[event.unit] == _LOSSES:
                    raise UserError(
                        f"unit {event.unit} lost its worker {_LOSSES} times ({event.text}); what was "
                        f"finished is kept: see what ends it with --only {event.unit}, and run the same "
                        "command to go on"
                    )
                waiting[event.unit] = plan.unit(event.unit)
            if event.kind == "made":
                made.add(event.stage)
            if event.ends:
                at_work.discard(event.unit)
            if event.kind in ("done", "diverged"):
                # Whatever a diverged unit lacks, the units that need it find out themselves.
                made.update(stage.id for stage in plan.unit(event.unit).stages)
            hear(event)
