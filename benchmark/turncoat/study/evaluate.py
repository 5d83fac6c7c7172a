"""Evaluation of an arm on a task by lm-eval's own evaluator, and what its rows are keyed by."""

import inspect
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib.metadata import version
from itertools import takewhile
from pathlib import Path
from typing import Any

from turncoat.engine.base_model import BaseModel
from turncoat.engine.evidence import Answer
from turncoat.engine.intervention import Intervention
from turncoat.engine.vllm.process import find_vllm, python_with_vllm
from turncoat.engine.vllm.sampler import VllmSampler
from turncoat.errors import UserError
from turncoat.evaluation.lm import TurncoatLM
from turncoat.evaluation.lm_eval_compat import fixed_environment, machine_description
from turncoat.evaluation.remote_lm import RemoteLM
from turncoat.evaluation.samples_file import sample_files, sample_rows
from turncoat.evaluation.task_catalogue import (
    has_trait_scores,
    hub_dataset,
    is_judged,
    task_content,
    task_file,
    task_metadata,
    trait_of,
)
from turncoat.evaluation.vllm_lm import VllmLM
from turncoat.import_closure import code_key, import_closure
from turncoat.judges.spec import judge_from_name
from turncoat.judges.trait_scores import trait_judge
from turncoat.paths import tasks_dir
from turncoat.persona.answers import trait_rubric_id
from turncoat.persona.extract import extraction_spec
from turncoat.persona.traits import trait_questions
from turncoat.plug_ins import broken, task_folders
from turncoat.store import code_digest, digest, file_digest
from turncoat.study.config import Study, TaskUse

_LIBRARIES = ("bandit", "torch", "transformers", "peft", "lm_eval", "scipy")


def evaluation_spec(
    study: Study,
    base: BaseModel,
    use: TaskUse,
    adapter: Path | None,
    intervention: Intervention | None = None,
) -> dict[str, Any]:
    """Specification of an arm's rows on a task, for their key.

    Args:
        adapter: Folder of the arm's adapter, named by its key.
    """
    trait = use.trait
    part, engine = engine_of(study, use.task)
    vllm = vllm_sampler(study, base) if engine == "vllm" else None
    more = {"lm": code_key(Path(inspect.getfile(VllmLM)))} if part == "reader" else {}
    return {
        **({"intervention": intervention.described()} if intervention else {}),
        **({part: {**vllm.spec, **more}} if vllm else {}),
        "base": base.spec,
        "adapter": adapter and adapter.name,
        "persona": digest(extraction_spec(base, trait_questions(trait))) if trait else None,
        **task_spec(study, use),
    }


def engine_of(study: Study, task: str) -> tuple[str, str]:
    """The part that makes a task's rows ("writer" or "reader"), and its engine ("turncoat" or "vllm")."""
    sampled = task_content(task).get("output_type") == "generate_until"
    return ("writer", study.generation) if sampled else ("reader", study.log_likelihoods)


def vllm_sampler(
    study: Study, base: BaseModel, log: Callable[[str], None] = lambda _: None
) -> VllmSampler | None:
    """The vLLM of a study with `generation: vllm` or `log_likelihoods: vllm`, not started; else None.

    Args:
        log: Called with a line before vLLM starts.

    Raises:
        UserError: There is no vLLM.
    """
    if "vllm" not in (study.generation, study.log_likelihoods):
        return None
    return VllmSampler(find_vllm(python_with_vllm()), base, study.batch_size, log)


def task_spec(study: Study, use: TaskUse) -> dict[str, Any]:
    """The part of the key of rows that a task and its judge add, whatever model is measured."""
    source = task_file(use.task).parent
    judge = judge_of(study.judge, use.task)
    reads = task_metadata(use.task).get("reads", [])
    return {
        **({"judge": judge} if judge else {}),
        "task": task_settings(use),
        "source": {
            p.relative_to(source).as_posix(): file_digest(p) for p in sorted(source.rglob("*.[jpy]*"))
        },
        "reads": {name: file_digest(source / name) for name in reads},
        "sampling_seed": study.sampling_seed,
        "code": _evaluation_code(use.task),
        "libraries": {name: version(name) for name in _LIBRARIES},
    }


def task_settings(use: TaskUse) -> dict[str, Any]:
    """A study's use of a task, as it is in keys."""
    return use.model_dump(mode="json", exclude={"persona"} if use.persona else None)


def judge_of(spec: str, task: str) -> list[str]:
    """Id and rubric of the judge that scores a task's answers; [] where none does."""
    if is_judged(task):
        judge: Any = judge_from_name(spec)
        return [judge.id, judge.rubric] if judge else []
    trait = trait_of(task)
    judge = trait_judge(spec) if trait and has_trait_scores(task) else None
    return [judge.id, trait_rubric_id(judge, str(trait))] if judge else []


def _evaluation_code(task: str) -> str:
    """Key of the model type's code and of what the task's own files and functions import."""
    wrapper = Path(inspect.getfile(TurncoatLM))
    named = re.findall(r"turncoat(?:\.\w+)+", json.dumps(task_content(task)))
    folder = task_file(task).parent
    read = [folder / name for name in task_metadata(task).get("reads", []) if name.endswith(".py")]
    own = [*sorted(folder.glob("*.py")), *read]
    return code_digest([wrapper, *import_closure([wrapper, *own], named)])


def verdicts_lost(folder: Path, task: str) -> bool:
    """True if an answer in a scored task's rows has no verdict because a call to the judge failed."""
    rows = (row for path in sample_files(folder, task) for row in sample_rows(path))
    if not is_judged(task):
        rows = (row for row in rows if row["doc"].get("trait") and not row["doc"].get("trait_unscored"))
    key = "judge" if is_judged(task) else "trait_score"
    return any("judge_error" in s or key not in s for row in rows for s in row.get("samples") or [])


@contextmanager
def _answers_again(lm: TurncoatLM | RemoteLM, rows: Path) -> Iterator[None]:
    """Inside the block `lm` gives the answers of a samples file again, as they were before any filter."""
    saved = {row["doc_id"]: row for row in sample_rows(rows)}

    def generate_until(requests: list[Any], disable_tqdm: bool = False) -> list[Any]:
        given: Counter[int] = Counter()
        answers = []
        for request in requests:
            row, place = saved[request.doc_id], given[request.doc_id]
            given[request.doc_id] += 1
            # what the judge and later filters added is made again
            of_model = takewhile(lambda pair: not pair[0].startswith("judge"), row["samples"][place].items())
            answers.append(Answer(row["resps"][0][place], {k: v for k, v in of_model if k != "text"}))
        return answers

    lm.__dict__["generate_until"] = generate_until
    try:
        yield
    finally:
        del lm.__dict__["generate_until"]


def run_task(lm: TurncoatLM | RemoteLM, use: TaskUse, folder: Path, earlier: Path | None = None) -> None:
    """Run one task through lm-eval's evaluator and leave its own output files in `folder`.

    Args:
        earlier: Folder of an earlier run of the same: its answers are filtered and judged again, and nothing
            is generated.

    Raises:
        UserError: lm-eval wrote no rows (it only warns when saving fails).
    """
    import lm_eval
    from lm_eval.loggers import EvaluationTracker

    tracker = EvaluationTracker(output_path=str(folder / "lm_eval"))
    # run.json has Turncoat's own commit.
    saved: AbstractContextManager[None] = nullcontext()
    if earlier is not None:
        saved = _answers_again(lm, sample_files(earlier, use.task)[0])
    with saved, fixed_environment(machine_description()):
        results = lm_eval.simple_evaluate(
            model=lm, model_args={"pretrained": lm.base.name}, tasks=[load_task(use)],
            task_manager=_manager(use.task), limit=use.limit, apply_chat_template=True, bootstrap_iters=0,
            log_samples=True, evaluation_tracker=tracker, verbosity="ERROR",
        )  # fmt: skip
    assert results is not None
    samples = results.pop("samples")
    tracker.save_results_aggregated(results=results, samples=samples)
    read_by = getattr(lm, "read_by", None)
    for name, rows in samples.items():
        for row in rows if read_by else ():
            row["engine"] = read_by
        tracker.save_results_samples(task_name=name, samples=rows)
    _flatten(folder, use.task)


def _manager(task: str) -> Any:
    from lm_eval.tasks import TaskManager

    # Of lm-eval's own tasks the folder of this one: an index of all takes ten seconds.
    folders = (*task_folders(), *([task_file(task).parent] if hub_dataset(task) else []))
    return TaskManager(include_path=[str(folder) for folder in folders], include_defaults=False)


def load_task(use: TaskUse) -> Any:
    """The lm-eval task with the study's numbers in place of its own.

    Raises:
        UserError: The data set of a task of lm-eval's own is not here and cannot be fetched, or a task of the
            user's cannot be made.
    """
    try:
        task = _manager(use.task).load([use.task])["tasks"][use.task]
    except Exception as error:
        if isinstance(error, UserError):
            raise
        if not (dataset := hub_dataset(use.task)):
            path = task_file(use.task)
            if path.is_relative_to(tasks_dir()):
                raise  # a task that ships: a bug, with its traceback
            raise broken(path, error) from error
        raise UserError(
            f"task '{use.task}': its data set {dataset} is not in the cache of the Hugging Face hub and "
            f"could not be fetched ({type(error).__name__}: {str(error).splitlines()[0][:200]}); connect "
            "once (HF_HUB_OFFLINE unset), or copy the cache folder that HF_HOME names from a machine that "
            "has it"
        ) from error
    if use.repeats is not None:
        task.set_config(key="repeats", value=use.repeats)
    if use.max_gen_toks is not None:
        task.config.generation_kwargs["max_gen_toks"] = use.max_gen_toks
    if not use.persona:
        for split, rows in task.dataset.items():
            task.dataset[split] = rows.map(lambda _: {"trait": None})
    return task


def _flatten(folder: Path, task: str) -> None:
    written = sorted((folder / "lm_eval").rglob("*.json*"))
    rows = [path for path in written if path.name.startswith(f"samples_{task}_") and path.stat().st_size]
    results = [path for path in written if path.name.startswith("results_")]
    if len(rows) != 1 or len(results) != 1:
        raise UserError(
            f"lm-eval left {[p.name for p in written]} for task '{task}'; a samples and a results file are "
            "due"
        )
    for path in (*rows, *results):
        path.rename(folder / path.name)
    for path in sorted((folder / "lm_eval").rglob("*"), reverse=True):
        path.rmdir()
    (folder / "lm_eval").rmdir()
