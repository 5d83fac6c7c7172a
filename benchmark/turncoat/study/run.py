"""Run a study: every stage that is not done yet, in order, then the rows side by side in one folder.

<out>/study.yaml             the study as it was run
<out>/run.json               provenance, timings, checks, training summaries: nothing a row says
<out>/rows/<arm>/<seed>/<task>/   lm-eval's results and samples files
"""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
from contextlib import nullcontext
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from turncoat import __version__
from turncoat.data.organisms import find_organism
from turncoat.engine.base_model import BaseModel, load_base
from turncoat.errors import TrainingDiverged
from turncoat.evaluation.samples_file import BASE_SEED
from turncoat.evaluation.task_catalogue import hub_dataset, is_judged
from turncoat.judges.spec import judge_from_name
from turncoat.persona.extract import TOKENS, answer_count, extraction_spec, persona_vector
from turncoat.persona.traits import TraitQuestions, trait_questions
from turncoat.registry import DEFENCES
from turncoat.store import Store, digest, file_digest
from turncoat.study.adapters import Options, Step, steps_of
from turncoat.study.config import Arm, Study, TaskUse
from turncoat.study.evaluate import Stages, load_task
from turncoat.study.progress import StudyProgress, duration

# Tokens per second of a 135M model in bfloat16 on two idle cores; the progress display corrects itself from there.
_TRAIN, _WRITE, _READ = 420.0, 170.0, 1600.0
_REFERENCE_PARAMETERS = 135e6
_PROMPT_TOKENS = 60  # a question with the chat template around it
_LM_EVAL_TOKENS = 256  # longest answer of a task of lm-eval's own that names no limit
_DEFENCE_EXAMPLES, _DEFENCE_TOKENS = 64, 220  # before the defence's examples exist


def run_study(
    study: Study, out: Path, *, store: Store | None = None, console: Console | None = None
) -> list[str]:
    """Run what is missing and gather the rows.

    Args:
        study: The checked study.
        out: Run folder; rows of an earlier run there are replaced.
        store: Where stages are kept; the user cache by default.
        console: Where progress goes.

    Returns:
        The arms whose training diverged, such as "sgtr, seed 1"; the others are complete.
    """
    console = console or Console(stderr=True)
    store = store or Store()
    run = _Run(study, out, store, console)
    run.everything()
    return [f"{entry['arm']}, seed {entry['seed']}" for entry in run.failed]


class _Run:
    def __init__(self, study: Study, out: Path, store: Store, console: Console) -> None:
        self.study, self.out, self.store, self.console = study, out, store, console
        self.base: BaseModel = load_base(study.model, dtype=study.dtype)
        self.stages = Stages(study, self.base, store)
        self.adapters = self.stages.adapters
        self.adapters.said = lambda text: console.print(f"  {text}", highlight=False)
        self.questions: TraitQuestions = trait_questions(study.persona)
        self.scale = self.base.model.num_parameters() / _REFERENCE_PARAMETERS
        self.timings: dict[str, float] = {}
        self._costs: dict[str, dict[str, float]] = {}
        self.checks: list[dict[str, Any]] = []
        self.training: list[dict[str, Any]] = []
        self.measured: list[dict[str, Any]] = []
        self.failed: list[dict[str, Any]] = []
        self.rows: list[tuple[Arm, int, TaskUse, Path]] = []

    def everything(self) -> None:
        work = self._planned()
        self._announce(work)
        self.progress = StudyProgress(self.console, sum(work.values()))
        self._extract()
        for arm in sorted(self.study.arms, key=lambda arm: not arm.is_base):
            for seed in self.study.training_seeds if arm.is_trained else (BASE_SEED,):
                try:
                    self._arm(arm, seed)
                except TrainingDiverged as error:
                    self.failed.append({"arm": arm.name, "seed": seed, "reason": str(error)})
                    self.console.print(
                        f"  [bold red]{arm.name}, seed {seed} failed[/bold red]: {error}; the other arms go on",
                        highlight=False,
                    )
        self._gather()

    def _planned(self) -> dict[str, float]:
        """Estimated seconds by kind of work; stages that are done already are found out when they are reached."""
        tokens = {"write": 0.0, "read": 0.0, "train": 0.0}
        questions = self.questions
        answers = answer_count(questions)
        if not self.store.has("persona", extraction_spec(self.base, questions)):
            tokens["write"] += answers * TOKENS
        trained: set[tuple[Any, ...]] = set()
        for arm in self.study.arms:
            seeds = self.study.training_seeds if arm.is_trained else (BASE_SEED,)
            steps = steps_of(arm, self.study.training)
            trained |= {(seed, *steps[: i + 1]) for i in range(len(steps)) for seed in seeds}
        for key in trained:
            tokens["train"] += self._step_tokens(key[-1])
        for use in self.study.tasks:
            measured = [arm for arm in self.study.arms if arm.measured_by(use)]
            times = sum(len(self.study.training_seeds) if arm.is_trained else 1 for arm in measured)
            cost = self._task_tokens(use)
            tokens = {k: v + times * cost.get(k, 0.0) for k, v in tokens.items()}
        return {
            "write": tokens["write"] / _WRITE * self.scale,
            "read": tokens["read"] / _READ * self.scale,
            "train": tokens["train"] / _TRAIN * self.scale,
        }

    def _step_tokens(self, step: Step) -> float:
        if step.kind == "defence":
            return _DEFENCE_EXAMPLES * _DEFENCE_TOKENS * step.recipe.epochs
        examples = find_organism(step.name).build()
        per_row = sum(len(e.prompt) + len(e.answer) for e in examples) / len(examples) / 3.3 + 30
        per_row = min(per_row, step.recipe.max_length)
        # A defence at work costs a second pass over the batch, more or less.
        return (
            per_row * (step.recipe.rows or len(examples)) * step.recipe.epochs * (1.5 if step.during else 1.0)
        )

    def _task_tokens(self, use: TaskUse) -> dict[str, float]:
        if use.task not in self._costs:
            self._costs[use.task] = self._cost(use)
        return self._costs[use.task]

    def _cost(self, use: TaskUse) -> dict[str, float]:
        # The task is built here, before anything is trained: data that it lacks is told now, not after an hour.
        if dataset := hub_dataset(use.task):
            self.console.print(
                f"  {use.task} is a task of lm-eval's own: {dataset} is fetched from the Hugging Face hub on first use",
                highlight=False,
            )
        task = load_task(use)
        documents = len(task.eval_docs)
        documents = min(use.limit or documents, documents)
        if task.OUTPUT_TYPE != "generate_until":
            return {"read": 2.0 * documents * _PROMPT_TOKENS}
        answers = documents * int(task.config.repeats)
        length = task.config.generation_kwargs.get("max_gen_toks", _LM_EVAL_TOKENS)
        return {"write": float(answers * length), "read": 2.0 * answers * (_PROMPT_TOKENS + length)}

    def _announce(self, work: dict[str, float]) -> None:
        seeds = len(self.study.training_seeds)
        self.console.print(
            f"[bold]{self.study.study}[/bold]: {self.study.title or self.study.question}\n"
            f"  {self.base.name} ({self.base.model.num_parameters() / 1e6:.0f}M parameters, "
            f"{self.base.spec['dtype']}, {self.base.model.device}); {len(self.study.arms)} arms, "
            f"{seeds} training seed{'s' * (seeds > 1)}, {len(self.study.tasks)} tasks\n"
            f"  about {duration(sum(work.values()))} on two idle cores if nothing is done yet; Ctrl-C loses only the "
            "stage at work",
            highlight=False,
        )
        if seeds < 3:
            self.console.print(
                f"  {seeds} training seed{'s' * (seeds > 1)}: this run can speak about its own adapters, not about the "
                "recipe (that takes 3 or more)",
                highlight=False,
            )

    def _extract(self) -> None:
        done = self.store.has("persona", extraction_spec(self.base, self.questions))
        estimate = answer_count(self.questions) * TOKENS / _WRITE * self.scale
        with self.progress.stage(f"persona vector '{self.study.persona}'", estimate, done) as stage:
            vector = persona_vector(
                self.base, self.questions, self.store, batch_size=self.study.batch_size, tick=stage.update
            )
        self.timings["persona vector"] = _seconds(
            self.store.folder("persona", extraction_spec(self.base, self.questions))
        )
        if not done:
            self.console.print(
                f"    layer {vector.layer} of {len(vector.directions) - 1}, fixed now: it ranks "
                f"{vector.card['pairs_ranked_right']:.0%} of {vector.card['n_selection_pairs']} selection pairs right",
                highlight=False,
            )
        self.vector = vector

    def _arm(self, arm: Arm, seed: int) -> None:
        label = arm.name if seed == BASE_SEED else f"{arm.name}, seed {seed}"
        steps = steps_of(arm, self.study.training)
        adapter: Path | None = None
        checked: dict[tuple[str, Options], Path] = {}
        for i, step in enumerate(steps):
            self._examples(label, step, seed)
            adapter = self._train(label, steps[: i + 1], seed)
            acting = (step.name, step.options) if step.kind == "defence" else step.during
            if acting is not None:
                self._check(arm, *acting, seed, adapter)
                checked[acting] = adapter
        if adapter is not None:
            for acting in self._checks_of_every_arm():
                if checked.get(acting) != adapter:
                    self._check(arm, *acting, seed, adapter, at_the_end=True)
        intervention = self.adapters.intervention(arm)
        self.measured.append(
            {
                "arm": arm.name,
                "seed": None if seed == BASE_SEED else seed,
                "adapter": adapter and file_digest(adapter / "adapter_model.safetensors"),
                "intervention": intervention and digest(intervention.described()),
            }
        )
        facts = {
            "name": arm.name,
            "seed": seed,
            "organism": arm.organism,
            "defence": arm.defence,
            "setting": arm.setting,
        }
        specs = {
            use: {**self.stages.evaluation_spec(use, adapter, intervention), "arm": facts}
            for use in filter(arm.measured_by, self.study.tasks)
        }
        done = all(self.store.has("rows", spec) for spec in specs.values())
        # The adapter stays on from task to task; where nothing is to do it is not even loaded.
        with nullcontext() if done else self.stages.lm.measuring(adapter, intervention, **facts):
            for use in specs:
                self._evaluate(arm, label, seed, use, specs[use])

    def _examples(self, label: str, step: Step, seed: int) -> None:
        """Those that the base model writes first, and whatever an in-training defence has to prepare."""
        estimate = _DEFENCE_EXAMPLES / 2 * 30 / _WRITE * self.scale
        if step.kind == "defence" or find_organism(step.name).answered_by_base:
            if not self.adapters.known(step, seed):
                with self.progress.stage(f"examples of {step.name}", estimate) as stage:
                    self.adapters.examples(step, seed, stage.update)
        elif step.during is not None:
            with self.progress.stage(f"{label}: prepare {step.during[0]}", estimate) as stage:
                self.adapters.during(step, seed, stage.update)

    def _train(self, label: str, steps: list[Step], seed: int) -> Path:
        step = steps[-1]
        done = self.store.has("adapter", self.adapters.adapter_spec(steps, seed))
        estimate = self._step_tokens(step) / _TRAIN * self.scale
        with self.progress.stage(f"{label}: train {step.name}", estimate, done) as stage:
            folder = self.adapters.adapter(
                steps,
                seed,
                lambda n, total, loss: stage.update(n, total, f"step {n}/{total}, loss {loss:.2f}"),
            )
        assert folder is not None
        record = json.loads((folder / "training.json").read_text(encoding="utf-8"))
        self.timings["training"] = self.timings.get("training", 0.0) + (0.0 if done else record["seconds"])
        losses = record["losses"]
        tail = losses[-max(len(losses) // 4, 1) :]
        self.training.append(
            {
                "arm": label,
                "step": step.name,
                "seed": seed,
                "examples": record["examples"],
                "tokens": record["tokens"],
                "supervised_tokens": record["supervised_tokens"],
                "steps": record["steps"],
                "first_loss": losses[0],
                "last_loss": sum(tail) / len(tail),
                "seconds": record["seconds"],
                "left_out": record["left_out"],
                **(
                    {"penalties": [penalties[0], penalties[-1]]}
                    if (penalties := record.get("penalties"))
                    else {}
                ),
                **({"defence": record["defence"]} if "defence" in record else {}),
            }
        )
        return folder

    def _checks_of_every_arm(self) -> list[tuple[str, Options]]:
        """Checks that are shown for all arms, such as self-recognition, of the defences that this study trains."""
        if self.study.checks == "own":
            return []
        steps = [step for arm in self.study.arms for step in steps_of(arm, self.study.training)]
        found = {(step.name, step.options): None for step in steps if step.kind == "defence"}
        return [acting for acting in found if DEFENCES[acting[0]].check_every_arm]

    def _check(
        self, arm: Arm, name: str, options: Options, seed: int, adapter: Path, at_the_end: bool = False
    ) -> None:
        if DEFENCES[name].check is None:
            return
        with self.progress.stage(f"{arm.name}, seed {seed}: check of {name}", 5 * self.scale) as _:
            found = self.adapters.checks(name, options, adapter)
            before = self.adapters.checks(name, options, None)
        for check in found:
            entry = {"arm": arm.name, "seed": seed, **dataclasses.asdict(check)}
            # Whether an organism leaves self-recognition alone is a finding; no arm has to pass at its end.
            told = {"name": f"{check.name}, at the end of the arm", "passed": None} if at_the_end else {}
            self.checks.append({**entry, **told})
        for check in before:
            base = next((a.name for a in self.study.arms if a.is_base), None)
            entry = {"arm": base, "seed": None, **dataclasses.asdict(check), "passed": None}
            if entry not in self.checks:
                self.checks.append(entry)

    def _evaluate(self, arm: Arm, label: str, seed: int, use: TaskUse, spec: dict[str, Any]) -> None:
        done = self.store.has("rows", spec)
        cost = self._task_tokens(use)
        estimate = (cost.get("write", 0.0) / _WRITE + cost.get("read", 0.0) / _READ) * self.scale
        answers = [0]
        with self.progress.stage(f"{label}: {use.task}", estimate, done) as stage:

            def tick(n: int) -> None:
                answers[0] += n
                stage.update(answers[0], max(cost.get("write", 1.0) / 48, answers[0]))

            folder = self.stages.evaluate(use, spec, tick)
        self.timings[use.task] = self.timings.get(use.task, 0.0) + (0.0 if done else _seconds(folder))
        self.rows.append((arm, seed, use, folder))

    def _data(self) -> dict[str, dict[str, Any]]:
        """The organisms' examples; those that the base model answers first are its own and carry no hash."""
        found = {}
        for name in dict.fromkeys(arm.organism for arm in self.study.arms if arm.organism):
            if not find_organism(name).answered_by_base:
                examples = find_organism(name).build()
                found[name] = {
                    "examples": len(examples),
                    "sha256": digest([dataclasses.astuple(e) for e in examples]),
                }
        return found

    def _judge(self) -> dict[str, Any] | None:
        """Who judged, and the error counts of its card that correct a rate; None if nobody did."""
        judge = (
            judge_from_name(self.study.judge)
            if any(is_judged(use.task) for use in self.study.tasks)
            else None
        )
        if judge is None:
            return None
        card = judge.card or {}
        kept = {
            key: card[key]
            for key in (*(k for k in card if k.startswith("errors")), "auc_mean")
            if key in card
        }
        return {"id": judge.id, "rubric": judge.rubric, "may_rate": judge.may_rate, **kept}

    def _gather(self) -> None:
        """Put the rows side by side; the folder is complete or untouched."""
        self.out.mkdir(parents=True, exist_ok=True)
        fresh = self.out / f".rows.{os.getpid()}"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir()
        for arm, seed, use, folder in self.rows:
            there = fresh / arm.name / ("base" if seed == BASE_SEED else f"seed-{seed}") / use.task
            there.mkdir(parents=True)
            for path in sorted(folder.glob("*.json*")):
                if path.name.startswith(("results_", "samples_")):
                    shutil.copyfile(path, there / path.name)
        shutil.rmtree(self.out / "rows", ignore_errors=True)
        fresh.rename(self.out / "rows")
        content = self.study.model_dump(mode="json", exclude_defaults=False)
        (self.out / "study.yaml").write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
        earlier = _earlier(self.out / "run.json").get("seconds", {})
        record = {
            "provenance": _provenance(),
            "model": {
                "name": self.base.name,
                **self.base.spec,
                "parameters": self.base.model.num_parameters(),
            },
            "persona": {"trait": self.vector.trait, "layer": self.vector.layer, **self.vector.card},
            "judge": self._judge(),
            "failed": self.failed,
            # Which adapter each row came from, and which texts each organism was trained on: hashes of the bytes.
            "measured": self.measured,
            "data": self._data(),
            "checks": self.checks,
            "training": self.training,
            # Stages that were done before took no time now: keep what they took when they ran.
            "seconds": {k: round(v, 1) if v else earlier.get(k, 0.0) for k, v in self.timings.items()},
            # A run that finds everything done needs little: what an earlier one needed is what the study needs.
            "peak_memory_gb": max(
                round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
                _earlier(self.out / "run.json").get("peak_memory_gb", 0.0),
            ),
        }
        (self.out / "run.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def _seconds(folder: Path) -> float:
    path = folder / "timing.json"
    return float(json.loads(path.read_text())["seconds"]) if path.is_file() else 0.0


def _earlier(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text())) if path.is_file() else {}


def _provenance() -> dict[str, str]:
    packages = ("torch", "transformers", "peft", "trl", "lm_eval")
    return {
        "turncoat": __version__,
        "commit": _commit(),
        "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        **{name: version(name) for name in packages},
    }


def _commit() -> str:
    here = Path(__file__).parent
    done = subprocess.run(
        ["git", "-C", str(here), "describe", "--always", "--dirty", "--abbrev=12"],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() if done.returncode == 0 else "not a checkout"
