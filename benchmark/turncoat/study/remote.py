"""Study of models behind an endpoint (`model: openai:MODEL`): sampled tasks, judged; nothing is trained.

An arm is the study's model, or the one that its own `model:` names (for each training seed, if it has some):
organism and defence then say how that model was made. The cost of all answers that are missing is said and
checked against its limit before the first request.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console

from turncoat.errors import UserError
from turncoat.evaluation import remote_lm
from turncoat.evaluation.lm_eval_compat import without_request_bar
from turncoat.evaluation.remote_endpoint import PREFIX, RemoteEndpoint
from turncoat.evaluation.remote_lm import RemoteLM
from turncoat.evaluation.samples_file import BASE_SEED
from turncoat.evaluation.task_catalogue import is_task, task_content, task_metrics
from turncoat.import_closure import code_key
from turncoat.judges.spec import check_host, check_ready, judged_by
from turncoat.safe_files import check_writable, write_file
from turncoat.store import Store
from turncoat.strict_model import Location
from turncoat.study.before_run.out_folder import check_out, claim
from turncoat.study.config import Study, TaskUse
from turncoat.study.evaluate import judge_of, load_task, run_task, task_spec, verdicts_lost
from turncoat.study.gather import Made, gather_rows, judge_record, provenance, seconds_of
from turncoat.study.progress import StudyProgress
from turncoat.study.units.plan import Stage

_READ_INSIDE = ("persona_", "samples")  # metrics of activations, and the count beside them


def remote_problems(study: Study) -> list[tuple[Location, str]]:
    """Mistakes in a study of an endpoint, and endpoints in one of weights, as (place, message)."""
    problems: list[tuple[Location, str]] = []
    for i, arm in enumerate(study.arms):
        where: Location = ("arms", i, "model")
        if not study.is_remote:
            if arm.model is not None:
                problems.append(
                    (where, f"for studies of an endpoint (model: {PREFIX}MODEL) alone; remove it")
                )
            continue
        inside = next((use.defence for use in arm.defences if use.setting == "inference"), "")
        if inside or arm.system != "default":
            text = f"'{inside or 'system'}' acts inside a model while it answers, which no endpoint allows"
            problems.append((("arms", i, "setting" if inside else "system"), text))
        elif arm.is_trained and arm.model is None:
            text = (
                f"missing: '{arm.name}' is a finetune, and nothing is trained at an endpoint; name its model "
                "there, for each training seed ({0: ft:...}); `turncoat finetune` makes one"
            )
            problems.append((where, text))
        else:
            lacks = [seed for seed in _seeds(study, i) if not arm.endpoint_model(seed, study.model)]
            if lacks:
                text = f"names no model for seed {lacks[0]}; give one for each training seed"
                problems.append((where, text))
    if not study.is_remote:
        return problems
    if study.generation != "turncoat":
        text = f"{study.generation} writes answers of weights; an endpoint writes its own: remove the key"
        problems.append((("generation",), text))
    if study.log_likelihoods != "turncoat":
        text = f"{study.log_likelihoods} reads weights, which an endpoint does not give: remove the key"
        problems.append((("log_likelihoods",), text))
    for i, use in enumerate(study.tasks):
        if not is_task(use.task):
            continue
        plain = [name for name in task_metrics(use.task) if not name.startswith(_READ_INSIDE)]
        if task_content(use.task).get("output_type") != "generate_until":
            text = f"{use.task} needs log-likelihoods, which an endpoint does not give; remove it"
            problems.append((("tasks", i, "task"), text))
        elif not plain:
            text = f"{use.task} reads activations, which an endpoint does not give; remove it"
            problems.append((("tasks", i, "task"), text))
    for i, contrast in enumerate(study.contrasts):
        for metric in contrast.metrics:
            if metric.startswith("persona_"):
                text = f"{metric} reads activations, which an endpoint does not give; remove it"
                problems.append((("contrasts", i, "metrics"), text))
    return problems


def refuse_remote_mistakes(study: Study) -> None:
    """Refuse a study with `remote_problems`.

    Raises:
        UserError: All of them.
    """
    if problems := remote_problems(study):
        raise UserError("\n".join(f"{'.'.join(map(str, where))}: {text}" for where, text in problems))


def run_remote(
    study: Study, out: Path, *, store: Store, console: Console, replace: bool = False
) -> list[str]:
    """Ask for what is missing and gather the rows; as `run_study`.

    Raises:
        UserError: It costs too much, or answers are missing.
    """
    if leaving := check_out(out, study, replace=replace):
        console.print(f"  {leaving}")
    check_writable(store.root, "the cache (TURNCOAT_CACHE)")
    endpoint = study.endpoint
    if endpoint.base_url:
        endpoint.client.check_host()
    judged = any(judge_of(study.judge, use.task) for use in study.tasks)
    if judged:
        check_host(study.judge)
    cells = [_Cell(study, endpoint, i, seed, use, store) for i, seed, use in _cells(study)]
    todo = [cell for cell in cells if not cell.made or cell.lacks_verdicts]
    endpoint.say_cost(study.model, [cell.missing() for cell in todo if not cell.made])
    if todo and judged:
        check_ready(study.judge)
    claim(out, study)
    progress = StudyProgress(console, sum(cell.stage.cost for cell in cells))
    results = []
    try:
        for cell in cells:
            before = cell.made and not cell.lacks_verdicts
            progress.begin(cell.stage.label, cell.stage.cost)
            results.append((cell.stage, Made(cell.make(progress), before)))
            progress.end(cell.stage.label, cell.stage.cost, None if before else 0.0)
    finally:
        progress.close()
    gather_rows(out, study, results)
    record = {
        "provenance": provenance(), "study": study.digests(),
        "model": {
            "name": study.model, "parameters": None, "dtype": "n/a", "weights": endpoint.name_of(study.model),
        },
        "judge": judge_record(study), "failed": [], "checks": [], "training": [],
        "measured": [{"arm": c.arm.name, "seed": c.stage.seed, "endpoint": c.lm.name} for c in cells],
        "seconds": seconds_of(results), "peak_memory_gb": None,
    }  # fmt: skip
    write_file(out / "run.json", json.dumps(record, indent=1) + "\n")
    return []


def _seeds(study: Study, arm: int) -> tuple[int, ...]:
    return study.training_seeds if study.arms[arm].is_trained else (BASE_SEED,)


def _cells(study: Study) -> Iterator[tuple[int, int, TaskUse]]:
    for i, arm in enumerate(study.arms):
        for seed in _seeds(study, i):
            yield from ((i, seed, use) for use in study.tasks if arm.measured_by(use.task))


class _Cell:
    """One arm with one training seed on one task."""

    def __init__(
        self, study: Study, endpoint: RemoteEndpoint, arm: int, seed: int, use: TaskUse, store: Store
    ) -> None:
        self.study, self.arm, self.use, self.store = study, study.arms[arm], use, store
        unit = self.arm.name if seed == BASE_SEED else f"{self.arm.name}/{seed}"
        about = {"name": self.arm.name, "seed": seed, "organism": self.arm.organism,
                 "defence": self.arm.defence, "setting": self.arm.setting,
                 **self.arm.further}  # fmt: skip
        model = self.arm.endpoint_model(seed, study.model)
        self.lm = RemoteLM(endpoint, model, store, sampling_seed=study.sampling_seed, arm=about)
        spec = {
            **task_spec(study, use), "endpoint": self.lm.name, "arm": about,
            "sent": [endpoint.token_field, endpoint.send_seed], "client": code_key(Path(remote_lm.__file__)),
        }  # fmt: skip
        self.key = ("rows", spec)
        self.requests = self._requests() if not self.made else []
        self.stage = Stage(
            f"{unit}/{use.task}", "rows", f"{unit}: {use.task}", float(len(self.requests)), self.arm.name,
            seed, task=use, requests=len(self.requests),
        )  # fmt: skip

    @property
    def made(self) -> bool:
        """True if its rows are in the store."""
        return self.store.has(*self.key)

    @property
    def lacks_verdicts(self) -> bool:
        """True if a call to the judge failed in them."""
        judged = self.made and judge_of(self.study.judge, self.use.task)
        return bool(judged) and verdicts_lost(self.store.folder(*self.key), self.use.task)

    def missing(self) -> tuple[int, int, int]:
        """As `RemoteLM.missing`."""
        return self.lm.missing(self.requests)

    def make(self, progress: StudyProgress) -> Path:
        """Folder of its rows; where they lack verdicts their answers are judged again."""
        answered = 0

        def count(new: int) -> None:
            nonlocal answered
            answered += new
            progress.update(answered, max(len(self.requests), answered, 1), "", self.stage.label)

        def build(folder: Path) -> None:
            self.lm.progress = count
            earlier = self.store.folder(*self.key) if self.made else None
            with judged_by(self.study.judge):
                run_task(self.lm, self.use, folder, earlier)

        return self.store.stage(*self.key, build, again=lambda _: self.lacks_verdicts)

    def _requests(self) -> list[Any]:
        """lm-eval's requests, each as often as it is repeated."""
        task = load_task(self.use)
        with without_request_bar():
            task.build_all_requests(
                limit=self.use.limit, apply_chat_template=True, chat_template=self.lm.apply_chat_template
            )
        for request in task.instances:
            request.task_name = self.use.task
        return [request for request in task.instances for _ in range(request.repeats or 1)]
