"""Stages of a study that are made, found without making anything.

worker = Worker(study, base, LookingStore(store.root))
done_stages(worker, plan)        # {"base/turncoat_em", "insecure/0/adapter", ...}
"""

from contextlib import suppress
from pathlib import Path
from typing import Any

from turncoat.engine.outline import NoWeights
from turncoat.store import Store
from turncoat.study.units.plan import Plan
from turncoat.study.units.worker import Worker


class _NotMade(Exception):
    pass


class LookingStore(Store):
    """A store in which nothing is made."""

    def stage(self, kind: str, spec: dict[str, Any], build: Any, **_: Any) -> Path:
        """The folder of a stage that is made; any other ends the question that needed it."""
        if not self.has(kind, spec):
            raise _NotMade(kind)
        return self.folder(kind, spec)


def done_stages(worker: Worker, plan: Plan) -> set[str]:
    """Ids of the stages that are made; examples are, once their adapter is.

    Args:
        worker: With a `LookingStore`.
    """
    done = set()
    for unit in plan.units:
        for stage in unit.stages:
            # A key that hangs on something that is not made, or on the weights, belongs to nothing made.
            with suppress(_NotMade, NoWeights):
                if worker.done(stage):
                    done.add(stage.id)
        trained = {stage.steps for stage in unit.stages if stage.kind == "adapter" and stage.id in done}
        done |= {s.id for s in unit.stages if s.kind == "examples" and s.steps in trained}
    return done
