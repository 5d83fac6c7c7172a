"""`turncoat show`: the facts of anything that can be named."""

import inspect
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from turncoat.commands.look.listing import everything
from turncoat.commands.options import IncludePath, plug_ins
from turncoat.commands.printing import print_line
from turncoat.errors import UserError, did_you_mean
from turncoat.shown_text import TextConsole, visible

if TYPE_CHECKING:
    from turncoat.study.config import Study

_SHOWN = 3  # names that are offered for a misspelt one
_WITHOUT_PLUG_INS = {"models", "embedders"}  # no plug-in can add one, so none has to be imported


def show(
    name: Annotated[str, typer.Argument(help="A task, defence, organism, judge, persona, model or study.")],
    include_path: IncludePath = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object for each kind.")] = False,
) -> None:
    """Show options, defaults, source and cost of anything that `turncoat list` lists.

    Example: turncoat show sgtr

    Example: turncoat show turncoat_em --json
    """
    kinds = everything(include_path)
    of = [kind for kind in kinds if name in kinds[kind]]
    if not of:
        hint = did_you_mean(sorted({other for kind in kinds.values() for other in kind}), name, _SHOWN)
        raise UserError(f"nothing is called '{name}'; {hint}`turncoat list` shows all names")
    if not {*of} <= _WITHOUT_PLUG_INS:
        plug_ins(include_path)
    for kind in of:
        facts = {"name": name, "kind": _SINGULAR[kind], "summary": kinds[kind][name], **_FACTS[kind](name)}
        facts = {key: value for key, value in facts.items() if value not in (None, "", [], {}, ())}
        if as_json:
            print(visible(json.dumps(facts, ensure_ascii=False, default=str)))
        else:
            _print(facts)


def _print(facts: dict[str, Any]) -> None:
    console = TextConsole()
    print_line(console, f"{facts.pop('name')}: {facts.pop('kind')}", "bold")
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style="dim")
    table.add_column()
    for key, value in facts.items():
        lines = [f"{k} = {v}" for k, v in value.items()] if isinstance(value, dict) else value
        table.add_row(key, "\n".join(map(str, lines)) if isinstance(lines, list) else str(lines))
    console.print(table)


def _task(name: str) -> dict[str, Any]:
    from turncoat.data.fetch import without_fetching
    from turncoat.evaluation.task_catalogue import (
        has_trait_scores,
        is_judged,
        metric_facts,
        task_content,
        task_file,
        trait_of,
    )
    from turncoat.evaluation.task_facts import learnt_by
    from turncoat.study.config import TaskUse
    from turncoat.study.evaluate import load_task

    content = task_content(name)
    sampling = content.get("generation_kwargs") or {}
    try:
        with without_fetching():
            questions: Any = len(load_task(TaskUse(task=name)).eval_docs)
    except UserError as error:
        questions = str(error)
    return {
        "questions": questions,
        "defaults": {
            key: value
            for key, value in {"repeats": content.get("repeats"), **sampling}.items()
            if key in ("repeats", "max_gen_toks", "temperature", "top_p")
        },
        "metrics": {
            metric: "; ".join(filter(None, (facts["label"], facts["unit"], facts["direction"])))
            for metric, facts in metric_facts(name).items()
        },
        "scored by": "a judge" if is_judged(name) or has_trait_scores(name) else "",
        "persona": trait_of(name),
        "shows that these are learnt": ", ".join(learnt_by(name)),
        "tags": content.get("tag"),
        "time": _time(tasks=[{"task": name}]) if isinstance(questions, int) else "",
        "source": task_file(name),
    }


def _defence(name: str) -> dict[str, Any]:
    from turncoat.registry import DEFENCES

    entry = DEFENCES[name]
    setting = entry.settings[0]
    organism = next(arm.organism for arm in _demo().arms if arm.organism)
    arm = {"name": "arm", "organism": organism, "defence": name, "setting": setting}
    return {
        "settings": ", ".join(entry.settings),
        **_built(entry),
        "fair control": entry.control,
        "checked": "yes: what it taught is shown in reports" if entry.check else "",
        "in a study": f"- {{name: {name}, organism: {organism}, defence: {name}, setting: {setting}}}",
        "time": _time(arms=[arm], of=("examples", "adapter", "check")),
        "source": entry.source,
    }


def _organism(name: str) -> dict[str, Any]:
    from turncoat.data.fetch import without_fetching
    from turncoat.data.organisms import find_organism

    entry = find_organism(name)
    try:
        with without_fetching():
            rows: Any = len(entry.build())
    except UserError as error:
        rows = str(error)
    return {
        "rows": rows, "control": entry.control, "is a control": "yes" if entry.is_control else "",
        "domains": ", ".join(entry.domains), "in a study": f"- {{name: {name}, organism: {name}}}",
        "time": _time(arms=[{"name": "arm", "organism": name}], of=("adapter",)),
        "source": entry.source,
    }  # fmt: skip


def _judge(name: str) -> dict[str, Any]:
    from turncoat.registry import JUDGES

    entry = JUDGES[name]
    options = ",".join(f"{key}=..." for key in list(entry.options)[:2])
    use = f"judge: {name}" + (f" or judge: '{name}:{options}'" if options else "")
    return {**_built(entry), "in a study": use, "source": entry.source}


def _persona(name: str) -> dict[str, Any]:
    from turncoat.persona.traits import trait_questions
    from turncoat.plug_ins import trait_yamls

    trait = trait_questions(name)
    return {
        "means": trait.description, "an axis": "yes" if trait.is_axis else "",
        "questions to extract": len(trait.questions), "questions to measure": len(trait.evaluation),
        "in a study": f"persona: {name}", "source": next(path for path in trait_yamls() if path.stem == name),
    }  # fmt: skip


def _model(name: str) -> dict[str, Any]:
    from turncoat.data.registry_models import REGISTRY_EMBEDDERS, REGISTRY_MODELS, is_here, model_folder

    if name in REGISTRY_EMBEDDERS:
        return {"licence": REGISTRY_EMBEDDERS[name].licence, "source": REGISTRY_EMBEDDERS[name].package}
    model = REGISTRY_MODELS[name]
    return {
        "licence": model.licence,
        "folder": model_folder(name) if is_here(name) else f"not here yet: turncoat model-path {name}",
        "source": list(model.packages),
    }


def _study(name: str) -> dict[str, Any]:
    from turncoat.paths import study_path
    from turncoat.study.config import load_study

    study = load_study(study_path(name))
    return {
        "model": study.model,
        "training seeds": list(study.training_seeds),
        "arms": {arm.name: arm.label or arm.name for arm in study.arms},
        "tasks": {use.task: use.model_dump(exclude={"task"}, exclude_none=True) for use in study.tasks},
        "contrasts": [f"{c.name} ({c.role}): {', '.join(c.metrics)}" for c in study.contrasts],
        "cost": f"turncoat plan {name}",
        "source": study_path(name),
    }


def _built(entry: Any) -> dict[str, Any]:
    """Options with their defaults, and the docstring of a plug-in's function."""
    return {"options": dict(entry.options), "about": inspect.getdoc(entry.build) or ""}


def _demo() -> "Study":
    """The study that times and examples are taken from."""
    from turncoat.paths import study_path
    from turncoat.study.config import load_study

    return load_study(study_path("demo"))


def _time(of: tuple[str, ...] = ("rows",), **changes: Any) -> str:
    """Estimated time of a study of one arm; "" where its data are not here."""
    from turncoat.data.fetch import without_fetching
    from turncoat.data.organisms import find_organism
    from turncoat.evaluation.task_catalogue import is_judged
    from turncoat.study.config import Study
    from turncoat.study.progress import duration
    from turncoat.study.units.plan import study_plan

    content = {"study": "s", "model": "m", "judge": "off", "arms": [{"name": "base"}]}
    choice = next(use.task for use in _demo().tasks if not is_judged(use.task))
    study = Study.model_validate({**content, "tasks": [{"task": choice}], **changes})
    try:
        with without_fetching():
            plan = study_plan(study, organism=lambda name: find_organism(name).build())
    except UserError:
        return ""
    seconds = sum(stage.cost for stage in plan.stages if stage.kind in of)
    return f"about {duration(seconds)} with a 135M model on two idle cores"


_FACTS: dict[str, Callable[[str], dict[str, Any]]] = {
    "tasks": _task, "defences": _defence, "organisms": _organism, "judges": _judge, "personas": _persona,
    "models": _model, "embedders": _model, "studies": _study,
}  # fmt: skip
_SINGULAR = {kind: kind.removesuffix("s") for kind in _FACTS} | {"studies": "study"}
