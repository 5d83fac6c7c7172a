"""Worker of a study: says a stage's key and whether it is done, and makes it, on one base model.

    worker = Worker(study, base, store)
    for stage in plan.stages:
        with worker.unit():
            worker.done(stage) or worker.make(stage)

A stage is keyed by all that determines its result, so arms and studies share what they have in common.
"""

import dataclasses
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from turncoat.engine.base_model import BaseModel
from turncoat.engine.intervention import Intervention
from turncoat.engine.vllm.sampler import VllmSampler
from turncoat.evaluation.lm import TurncoatLM
from turncoat.evaluation.vllm_lm import VllmLM
from turncoat.judges.spec import judged_by
from turncoat.persona.extract import extraction_spec, vector_folder
from turncoat.persona.traits import trait_questions
from turncoat.registry import DEFENCES
from turncoat.safe_files import write_file
from turncoat.store import Store, file_digest
from turncoat.study.arms.adapters import Adapters, defence_code
from turncoat.study.arms.steps import Acting
from turncoat.study.config import Study
from turncoat.study.evaluate import evaluation_spec, judge_of, run_task, verdicts_lost, vllm_sampler
from turncoat.study.units.checks import Check
from turncoat.study.units.plan import Stage

Key = tuple[str, dict[str, Any]]  # kind and specification of a stage in the store
CHECKS_FILE = "checks.json"


def _no_progress(done: float, total: float, note: str = "") -> None:
    pass


class Worker:
    """Makes a study's stages.

    Args:
        study: The study.
        base: Its base model.
        store: Where results are kept.
        log: Called with a line on what has to be made first.
    """

    def __init__(
        self, study: Study, base: BaseModel, store: Store, log: Callable[[str], None] | None = None
    ) -> None:
        self.study, self.base, self.store = study, base, store
        self.adapters = Adapters(base, store, study.batch_size, log)
        self._interventions: dict[str, Intervention | None] = {}
        self._keys: dict[str, Key] = {}
        self._unit = ExitStack()
        self._adapter_is_on = False

    @cached_property
    def vllm(self) -> VllmSampler | None:
        """The vLLM that measures arms; None in a study that uses our engine alone."""
        return vllm_sampler(self.study, self.base, lambda text: self.adapters.log(text))

    @cached_property
    def _lm(self) -> TurncoatLM:
        study, vllm = self.study, self.vllm
        settings: dict[str, Any] = {
            "sampling_seed": study.sampling_seed, "batch_size": study.batch_size, "store": self.store
        }  # fmt: skip
        reads = study.log_likelihoods == "vllm"
        lm = VllmLM(self.base, vllm, **settings) if vllm and reads else TurncoatLM(self.base, **settings)
        if vllm and study.generation == "vllm":
            lm.writer = vllm
        return lm

    def key(self, stage: Stage) -> Key | None:
        """Key of a stage, computed once; None for examples, which are part of their adapter's key.

        The examples and adapters that a key depends on are made if they are missing.
        """
        if stage.id not in self._keys and stage.kind != "examples":
            self._keys[stage.id] = self._new_key(stage)
        return self._keys.get(stage.id)

    def _new_key(self, stage: Stage) -> Key:
        if stage.kind == "vector":
            return "persona", extraction_spec(self.base, trait_questions(stage.trait))
        if stage.kind == "adapter":
            return "adapter", self.adapters.finetune(stage.steps, stage.seed).spec
        adapter = self.adapter(stage)
        if stage.acting is not None:
            return "check", self._check_spec(stage.acting, adapter)
        assert stage.task is not None
        spec = evaluation_spec(self.study, self.base, stage.task, adapter, self.intervention(stage.arm))
        return "rows", {**spec, "arm": self._facts(stage)}

    def made(self, stage: Stage) -> bool:
        """True if the stage's result is in the store; False for examples."""
        key = self.key(stage)
        return key is not None and self.store.has(*key)

    def done(self, stage: Stage) -> bool:
        """True if the stage is made and no call to the judge failed in it."""
        return self.made(stage) and not self._lacks_verdicts(stage)

    def _lacks_verdicts(self, stage: Stage) -> bool:
        if stage.task is None or not judge_of(self.study.judge, stage.task.task):
            return False
        key = self.key(stage)
        assert key is not None
        return verdicts_lost(self.store.folder(*key), stage.task.task)

    def adapter(self, stage: Stage) -> Path | None:
        """Folder of the adapter that a stage is about, there or not; None without a finetune."""
        return self.adapters.folder(stage.steps, stage.seed)

    def intervention(self, arm: str) -> Intervention | None:
        """The intervention on an arm while it is measured, built once."""
        if arm not in self._interventions:
            self._interventions[arm] = self.adapters.intervention(self.study.arm(arm))
        return self._interventions[arm]

    def make(
        self,
        stage: Stage,
        on_progress: Callable[..., None] = _no_progress,
        together: Sequence[Stage] = (),
    ) -> Path | None:
        """Make a stage unless it is done; answers that lack their verdicts are judged again, not generated.

        Args:
            stage: Of the study's plan. Rows are made inside `unit()`.
            on_progress: Called with (done, total, a note or nothing).
            together: Rows of other arms with the same prompts, to be made later: vLLM answers for them in the
                same call.

        Returns:
            Its folder; None for examples.

        Raises:
            TrainingDiverged: The loss of a finetune became NaN or infinite.
        """
        if stage.kind == "vector":
            questions, batch_size = trait_questions(stage.trait), self.study.batch_size
            return vector_folder(
                self.base, questions, self.store, batch_size=batch_size, on_progress=on_progress
            )
        if stage.kind == "rows":
            return self._rows(stage, on_progress, together)
        if stage.acting is not None:
            self.check(stage.acting, None)
            return self.check(stage.acting, self.adapter(stage))
        finetune = self.adapters.finetune(stage.steps, stage.seed, on_progress)
        if stage.kind == "examples":
            return None
        return self.adapters.train(
            finetune, lambda n, of, loss: on_progress(n, of, f"step {n}/{of}, loss {loss:.2f}")
        )

    @contextmanager
    def unit(self) -> Iterator[None]:
        """Around the stages of one unit: its adapter is loaded once, and only if rows are missing."""
        with ExitStack() as self._unit:
            self._adapter_is_on = False
            yield

    def _rows(self, stage: Stage, on_progress: Callable[..., None], together: Sequence[Stage]) -> Path:
        key = self.key(stage)
        assert key is not None and stage.task is not None
        use = stage.task

        if self.done(stage):
            return self.store.folder(*key)
        answered = 0

        def count(new: int) -> None:
            nonlocal answered
            answered += new
            self.store.check_leases()
            on_progress(answered, max(stage.requests, answered))

        def build(folder: Path) -> None:
            if not self._adapter_is_on:
                acting = self.intervention(stage.arm)
                self._unit.enter_context(
                    self._lm.measuring(self.adapter(stage), acting, **self._facts(stage))
                )
                self._adapter_is_on = True
            self._lm.progress = count
            if self.vllm is not None:
                self.vllm.arms.together = tuple(self.adapter(one) for one in (stage, *together))
            earlier = self.store.folder(*key) if self.made(stage) else None
            with judged_by(self.study.judge):
                run_task(self._lm, use, folder, earlier)

        return self.store.stage(*key, build, again=lambda _: self._lacks_verdicts(stage))

    def check(self, acting: Acting, adapter: Path | None) -> Path:
        """Folder with the manipulation checks of a defence, on an adapter or (None) on the base model."""

        def build(folder: Path) -> None:
            run = DEFENCES[acting[0]].check
            assert run is not None
            with self.base.adapter(adapter):
                checks: list[Check] = run(self.adapters.context(), **json.loads(acting[1]))
            write_file(
                folder / CHECKS_FILE, json.dumps([dataclasses.asdict(check) for check in checks], indent=1)
            )

        return self.store.stage("check", self._check_spec(acting, adapter), build)

    def _check_spec(self, acting: Acting, adapter: Path | None) -> dict[str, Any]:
        name, options = acting
        entry = DEFENCES[name]
        return {
            "base": self.base.spec, "adapter": adapter and adapter.name, "defence": name,
            "options": json.loads(options), "code": defence_code(entry),
            "data": [file_digest(path) for path in sorted((entry.source.parent / "data").glob("*.jsonl"))],
        }  # fmt: skip

    def _facts(self, stage: Stage) -> dict[str, Any]:
        """The arm as lm-eval's results file names it."""
        arm = self.study.arm(stage.arm)
        return {
            "name": arm.name, "seed": stage.seed, "organism": arm.organism, "defence": arm.defence,
            "setting": arm.setting, **arm.further,
            **({"smoke": self.study.smoke} if self.study.smoke else {}),
        }  # fmt: skip
