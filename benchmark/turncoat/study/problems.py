"""Problems of a study that show without its model: names, controls, sizes, long rows, what is not here.

    for problem in find_problems(path): print(problem)
    # mine.yaml, line 9, arms[1].organism: insecure_code's control secure_code is in no arm; add ...

An "error" stops a run, a "warning" leaves it with less to say than its author may think, a "note" names what
a run fetches first.
"""

import importlib.util
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from turncoat.data.availability import Missing, missing_data_set, missing_model, missing_published
from turncoat.data.examples import Example
from turncoat.data.fetch import NotHere, without_fetching
from turncoat.data.organisms import find_organism
from turncoat.data.registry_models import REGISTRY_MODELS, model_folder
from turncoat.data.too_long import refuse_too_long
from turncoat.engine.chat import encode_example, with_fixed_date
from turncoat.engine.system_prompt import named_prompt
from turncoat.engine.vllm.process import find_vllm, python_with_vllm
from turncoat.errors import UserError
from turncoat.evaluation.task_catalogue import hub_dataset, is_task
from turncoat.judges.spec import check_host, check_ready
from turncoat.registry import ORGANISMS, discover
from turncoat.strict_model import Location
from turncoat.study.config import Study, name_problems, read_study
from turncoat.study.evaluate import judge_of, load_task
from turncoat.study.remote import remote_problems

_SILENT_JUDGES = ("embedded", "local", "off")  # nothing to ask before they are built


Entry = tuple[str, Location, str]  # level, location, message


@dataclass(frozen=True)
class Problem:
    """One problem, or one thing that a run fetches first."""

    level: str  # "error", "warning" or "note"
    file: str
    line: int  # From 1; 0 where the message says it
    field: str  # Such as "arms[2].organism"
    value: Any  # Of the field; None where it is missing
    message: str  # What is wrong and what to do

    def __str__(self) -> str:
        return f"{self.file}, line {self.line}, {self.field}: {self.message}" if self.line else self.message


def find_problems(
    path: Path,
    overrides: dict[str, Any] | None = None,
    include: tuple[Path, ...] = (),
    *,
    ask_judge: bool = True,
) -> list[Problem]:
    """All problems of a study's YAML, errors first.

    Args:
        overrides: Top-level keys that replace the file's.
        include: Folders with the user's own plug-ins.
        ask_judge: Whether a judge behind an endpoint is asked for a number.

    Raises:
        UserError: A plug-in is wrong.
    """
    discover(include)
    try:
        study, places = read_study(path, overrides)
    except UserError as error:
        return [Problem("error", path.name, 0, "", None, text) for text in str(error).splitlines()]
    names = name_problems(study)
    search = _Search(study, {loc for loc, _ in names}, ask_judge)
    entries = [("error", loc, text) for loc, text in names] + list(search.all())
    order = ("error", "warning", "note")
    return [
        Problem(level, path.name, places.line(loc), places.dotted(loc), places.value(loc), text)
        for level, loc, text in sorted(entries, key=lambda entry: order.index(entry[0]))
    ]


class _Search:
    def __init__(self, study: Study, wrong: set[Location], ask_judge: bool) -> None:
        self.study, self.ask_judge = study, ask_judge
        self.arms = [  # those whose names are all known
            (i, arm) for i, arm in enumerate(study.arms) if not any(loc[:2] == ("arms", i) for loc in wrong)
        ]
        self.rows: dict[str, list[Example]] = {}
        self.wrong = wrong

    def all(self) -> Iterator[Entry]:
        yield from self._model()
        yield from self._vllm()
        yield from self._organisms()
        yield from self._controls()
        yield from self._row_lengths()
        yield from self._system_prompts()
        yield from self._tasks()
        yield from self._reports()
        if self.ask_judge:
            yield from self._judge()
        if not self.study.contrasts and len(self.study.arms) > 1:
            yield "warning", ("contrasts",), f"none: nothing is compared; add {self._first_contrast()}"

    def _first_contrast(self) -> str:
        treated, reference = (self.study.arms[i].name for i in (-1, 0))
        for _, arm in self.arms:
            control = arm.organism and find_organism(arm.organism).control
            other = next((a.name for _, a in self.arms if control and a.organism == control), None)
            if other is not None:
                treated, reference = arm.name, other
                break
        return f"- {{name: NAME, treated: {treated}, reference: {reference}, metrics: [...]}}"

    def _model(self) -> Iterator[Entry]:
        yield from (("error", where, text) for where, text in remote_problems(self.study))
        if not self.study.is_remote and (missing := missing_model(self.study.model)):
            yield missing.level, ("model",), missing.text

    def _vllm(self) -> Iterator[Entry]:
        keys = [key for key in ("generation", "log_likelihoods") if getattr(self.study, key) == "vllm"]
        if keys and not self.study.is_remote:
            try:
                find_vllm(python_with_vllm())
            except UserError as error:
                yield "error", (keys[0],), f"{error}, or leave the key out for Turncoat's own engine"

    def _organisms(self) -> Iterator[Entry]:
        """Reads the rows of every organism that is here."""
        for i, arm in self.arms:
            if arm.organism is None or arm.organism in self.rows:
                continue
            entry = find_organism(arm.organism)
            try:
                with without_fetching():
                    self.rows[arm.organism] = entry.build()
            except UserError as error:
                missing = _not_here(error)
                yield missing.level, ("arms", i, "organism"), f"{arm.organism}: {missing.text}"

    def _controls(self) -> Iterator[Entry]:
        own = [(i, arm) for i, arm in self.arms if arm.answers_of is None]  # with the organism's answers
        plain = {arm.organism: arm.name for _, arm in own if arm.organism and not arm.defence}
        done: set[str] = set()
        for i, arm in own:
            name = arm.organism
            if not name or name in done or (entry := find_organism(name)).is_control:
                continue
            done.add(name)
            where: Location = ("arms", i, "organism")
            others = [other for other in plain if other != name and name in self.rows and other in self.rows]
            if entry.control is not None and entry.control not in plain:
                add = f"add - {{name: control, organism: {entry.control}}} and a contrast with it"
                yield "warning", where, f"{name}'s control is {entry.control}, which no arm has; {add}"
            elif entry.control is None and not any(self._matched(name, other) for other in others):
                yield "warning", where, self._no_match(name, others)
            elif entry.control in self.rows and name in self.rows and not self._matched(name, entry.control):
                text = f"{entry.control} has other rows than {name}"
                yield "warning", where, f"{text}: the two differ by more than their answers"

    def _matched(self, one: str, other: str) -> bool:
        """True if the two organisms have the same examples but for the answers, hence the same batches."""
        keys = [{(row.id, row.length) for row in self.rows[name]} for name in (one, other)]
        return keys[0] == keys[1]

    def _no_match(self, name: str, others: Sequence[str]) -> str:
        if not others:
            return (
                f"{name} has no control: an arm trained on harmless answers to the same prompts, such as "
                "- {name: control, organism: harmless.jsonl}"
            )
        ids = {row.id for row in self.rows.get(name, ())}
        shared = {other: len(ids & {row.id for row in self.rows[other]}) for other in others}
        best = max(shared, key=lambda other: shared[other])
        return (
            f"{name} has no matched control: of its {len(ids)} prompts {best} has {shared[best]}; give both "
            'files the same prompts (or an "id" in each row), so that they differ by their answers alone'
        )

    def _row_lengths(self) -> Iterator[Entry]:
        if self.study.is_remote or missing_model(self.study.model):
            return
        count = _token_counter(self.study.model)
        for i, arm in self.arms:
            rows = self.rows.get(arm.organism or "", [])
            if not rows or arm.defence is not None:
                continue
            recipe = arm.recipe(self.study.training)
            if arm.organism in ORGANISMS and (recipe.rows or 0) * 2 <= len(rows):
                continue  # a published set keeps some long rows out, and half of it is enough
            lengths = {row.id: count(row) for row in rows}
            where: Location = ("arms", i, "organism")
            try:
                left_out = refuse_too_long(str(arm.organism), rows, lengths, recipe.max_length)
            except UserError as error:
                yield "error", where, str(error)
                continue
            if (recipe.rows or 1) > (fit := len(rows) - left_out):
                text = (
                    f"{recipe.rows or 'all'} rows are more than the {fit} of {arm.organism} that are within"
                )
                yield "error", ("training", "rows"), f"{text} max_length = {recipe.max_length} tokens"

    def _system_prompts(self) -> Iterator[Entry]:
        """Prompts that the chat template drops, or defaults to take out that it does not have."""
        if self.study.is_remote or missing_model(self.study.model):
            return
        asked: dict[str, Location] = {self.study.training.system: ("training", "system")}
        for i, arm in self.arms:
            asked.setdefault(arm.system, ("arms", i, "system"))
            asked.setdefault(arm.recipe(self.study.training).system, ("arms", i, "training"))
            for use in arm.defences:
                asked.setdefault(use.defence_training.get("system", "default"), ("arms", i))
        if len(asked) == 1 and "default" in asked:
            return
        tokenizer = _tokenizer(self.study.model)
        for given, where in asked.items():
            try:
                named_prompt(given, self.study.model, tokenizer, str(where[-1]))
            except UserError as error:
                yield "error", where, str(error)

    def _tasks(self) -> Iterator[Entry]:
        for i, use in enumerate(self.study.tasks):
            where: Location = ("tasks", i, "task")
            if not is_task(use.task) or where in self.wrong:
                continue
            data_set = hub_dataset(use.task)
            if data_set and (missing := missing_data_set(data_set)):
                yield missing.level, where, f"{use.task}: {missing.text}"
                continue
            try:
                with without_fetching():
                    questions = len(load_task(use).eval_docs)
            except UserError as error:
                missing = _not_here(error)
                yield missing.level, where, f"{use.task}: {missing.text}"
                continue
            if use.limit is not None and use.limit > questions:
                text = f"{use.limit} is more than its {questions} questions; accepted: 2 to {questions}"
                yield "error", ("tasks", i, "limit"), f"{text}, or leave it out for all"

    def _reports(self) -> Iterator[Entry]:
        for name in self.study.training.report_to:
            if importlib.util.find_spec(name) is None:
                text = f"{name} is not installed; `pip install {name}`, or take it out"
                yield "error", ("training", "report_to"), text

    def _judge(self) -> Iterator[Entry]:
        judge = self.study.judge
        if ("judge",) in self.wrong or judge.partition(":")[0].lower() in _SILENT_JUDGES:
            return
        try:
            if any(is_task(use.task) and judge_of(judge, use.task) for use in self.study.tasks):
                check_host(judge)
                check_ready(judge)
        except UserError as error:
            yield "error", ("judge",), str(error)


def _not_here(error: UserError) -> Missing:
    return missing_published(error.name) if isinstance(error, NotHere) else Missing("error", str(error))


def _tokenizer(model: str) -> Any:
    """The tokenizer of a model that is here, as a run has it."""
    path = model_folder(model) if model in REGISTRY_MODELS else model
    tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=False, local_files_only=True)
    tokenizer.chat_template = with_fixed_date(tokenizer.chat_template, model)
    return tokenizer


def _token_counter(model: str) -> Callable[[Example], int]:
    """Counts the tokens of an example with the chat template's own; the model's tokenizer is here."""
    tokenizer = _tokenizer(model)
    return lambda example: sum(map(len, encode_example(tokenizer, example)))
