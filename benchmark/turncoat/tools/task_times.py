"""Run time of each task on a model, extrapolated from its first documents.

`turncoat dev task-times` prints the table of `tasks/README.md`. Judging is included (TURNCOAT_JUDGE). What is
done once and cached (loading the model, extracting persona vectors) is not: it is done before the clock
starts, on one document.
"""

import sys
import time
from collections.abc import Sequence
from typing import Any

from turncoat.study.progress import duration


def task_times(model: str, tasks: Sequence[str], limit: int) -> list[dict[str, Any]]:
    """One row per task: documents, answers per document, seconds for `limit` documents, seconds for all.

    Raises:
        UserError: As the tasks do (published data that is not at hand, ...); such a task's row says so.
    """
    import lm_eval
    from lm_eval.tasks import TaskManager

    from turncoat.engine.base_model import load_base
    from turncoat.errors import UserError
    from turncoat.evaluation.lm import TurncoatLM
    from turncoat.evaluation.lm_eval_compat import fixed_environment
    from turncoat.paths import cache_dir, tasks_dir
    from turncoat.store import Store

    base = load_base(model)
    manager = TaskManager(include_path=str(tasks_dir()), include_defaults=False)

    def seconds(name: str, documents: int) -> tuple[Any, float]:
        # Another sampling seed each time: verdicts and texts of an earlier run would make a task look quicker
        # than it is.
        lm = TurncoatLM(base, store=Store(cache_dir() / "stages"), sampling_seed=time.time_ns() % 2**31)
        lm.progress = lambda _: None
        task = manager.load([name])["tasks"][name]
        began = time.perf_counter()
        with fixed_environment():
            lm_eval.simple_evaluate(
                model=lm, tasks=[task], limit=documents, apply_chat_template=True, bootstrap_iters=0,
                verbosity="ERROR",
            )  # fmt: skip
        return task, time.perf_counter() - began

    rows = []
    for name in tasks:
        row: dict[str, Any] = {"task": name}
        try:
            task, _ = seconds(name, 1)
            samples = task.OUTPUT_TYPE == "generate_until"
            documents = len(task.eval_docs)
            some = min(limit if samples else 8 * limit, documents)
            _, spent = seconds(name, some)
            row |= {
                "documents": documents, "answers": int(task.config.repeats) if samples else 0,
                "measured": some, "seconds": spent, "all": spent * documents / some,
            }  # fmt: skip
        except UserError as error:
            row["error"] = str(error)
        rows.append(row)
        print(f"{name}: {row.get('error') or round(row['seconds'], 1)}", file=sys.stderr, flush=True)
    return rows


def as_markdown(rows: list[dict[str, Any]]) -> str:
    """The rows as a Markdown table."""
    lines = ["| task | documents | answers each | run time, all documents |", "|---|---|---|---|"]
    for row in rows:
        if "error" in row:
            lines.append(f"| `{row['task']}` | | | not measured: {row['error'].splitlines()[0]} |")
        else:
            answers = row["answers"] or "log-likelihoods"
            lines.append(f"| `{row['task']}` | {row['documents']} | {answers} | {duration(row['all'])} |")
    return "\n".join(lines)
