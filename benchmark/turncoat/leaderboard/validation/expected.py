"""Expected documents, requests, filters and metrics of a task, as lm-eval builds them.

expected = expected_rows(use)
expected.requests[0][0].messages     # [{"role": "user", "content": ...}]: what the chat template is given

Nothing of a task is defined again here: lm-eval builds the task and its requests, as it does for a
measurement.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from turncoat.data.fetch import without_fetching
from turncoat.errors import UserError
from turncoat.evaluation.lm_eval_compat import filter_steps, without_request_bar
from turncoat.evaluation.task_catalogue import is_judged, task_content
from turncoat.evaluation.task_facts import is_fetched
from turncoat.leaderboard.entry.track import TrackTask

Messages = list[dict[str, str]]


@dataclass(frozen=True)
class Request:
    """One request of lm-eval: its conversation, and the continuation or the generation settings."""

    messages: Messages
    second: Any


@dataclass(frozen=True)
class ExpectedRows:
    """Documents, requests and filters of a task; `docs`, `hashes` and `requests` are empty without `task`."""

    use: TrackTask
    version: float
    fetched: bool  # Whether its texts come from a published set, so that rows hold none of them
    judged: bool
    filter: str = "none"
    task: Any = None  # lm-eval's task; None where its data are not here
    docs: tuple[dict[str, Any], ...] = ()
    hashes: tuple[tuple[str, str], ...] = ()  # (doc_hash, target_hash) of each document
    requests: tuple[tuple[Request, ...], ...] = ()

    def filtered(self, doc: dict[str, Any], answers: list[Any]) -> list[Any]:
        """Answers through the task's filters, but for those that ask a judge."""
        filtered: list[list[Any]] = [answers]
        for step in filter_steps(self.task):
            if not type(step).__module__.startswith("turncoat.judges."):
                filtered = step.apply(filtered, [doc])
        return list(filtered[0])


@cache
def expected_rows(use: TrackTask) -> ExpectedRows:
    """Expected rows of `use`; without documents where they would have to be fetched.

    Raises:
        UserError: The task has fewer documents than the track asks for.
    """
    content = task_content(use.task)
    facts: dict[str, Any] = {
        "use": use,
        "version": float((content.get("metadata") or {}).get("version", 0)),
        "fetched": is_fetched(use.task),
        "judged": is_judged(use.task),
        "filter": (content.get("filter_list") or [{"name": "none"}])[0]["name"],
    }
    try:
        # Rows are checked without a network: what is not here is compared between the arms instead.
        with without_fetching():
            task = _built(use)
    except UserError:
        # Answers are nothing without their questions; log-likelihoods can still be compared.
        if not facts["fetched"] or use.samples is not None:
            raise
        return ExpectedRows(**facts)
    by_doc: list[list[Any]] = [[] for _ in range(use.questions)]
    for instance in task.instances:
        by_doc[instance.doc_id].append(instance)
    if not all(by_doc):
        raise UserError(f"track, {use.task}: it has {sum(map(bool, by_doc))} questions, not {use.questions}")
    documents = [instances[0].doc for instances in by_doc]
    texts = [_as_lm_eval_hashes(doc) for doc in documents]
    targets = [sha256(str(task.doc_to_target(doc))) for doc in documents]
    requests = tuple(tuple(map(_request, sorted(of_doc, key=lambda one: one.idx))) for of_doc in by_doc)
    docs, hashes = tuple(map(json.loads, texts)), tuple(zip(map(sha256, texts), targets, strict=True))
    return ExpectedRows(**facts, task=task, docs=docs, hashes=hashes, requests=requests)


def sha256(text: str) -> str:
    """lm-eval's `hash_string`; lone surrogates, which no honest row has, do not stop it."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


@cache
def registry_tokenizer(model: str) -> Any:
    """A registry model's tokenizer; None for other models and where it is not on this machine.

    The weights are not read, and nothing is fetched.
    """
    from turncoat.data.registry_models import REGISTRY_MODELS
    from turncoat.paths import cache_dir
    from turncoat.store import Store

    known = REGISTRY_MODELS.get(model)
    store = Store(cache_dir() / "models")
    if known is None or not store.has(known.name, known.spec):
        return None
    from transformers import AutoTokenizer

    folder = store.folder(known.name, known.spec)
    return AutoTokenizer.from_pretrained(str(folder), local_files_only=True)


@cache
def registry_chat(model: str) -> Callable[[Messages], str] | None:
    """The chat template of a `registry_tokenizer`, which renders each conversation once; else None."""
    from turncoat.engine.chat import render

    tokenizer = registry_tokenizer(model)
    if tokenizer is None:
        return None
    rendered: dict[str, str] = {}

    def chat(messages: Messages) -> str:
        key = json.dumps(messages)
        if key not in rendered:
            rendered[key] = render(tokenizer, messages)
        return rendered[key]

    return chat


@cache
def continuation_tokens(model: str, prompt: str, continuation: str) -> int | None:
    """Tokens of a continuation as lm-eval counts them; None without a `registry_tokenizer`.

    White space at the prompt's end counts with the continuation (lm-eval's `_encode_pair`).
    """
    from turncoat.engine.chat import encode

    tokenizer = registry_tokenizer(model)
    if tokenizer is None:
        return None
    return len(encode(tokenizer, prompt + continuation)) - len(encode(tokenizer, prompt.rstrip()))


def _built(use: TrackTask) -> Any:
    from turncoat.study.config import TaskUse
    from turncoat.study.evaluate import load_task

    task = load_task(TaskUse(task=use.task, repeats=use.samples, max_gen_toks=use.max_gen_toks))
    with without_request_bar():
        task.build_all_requests(limit=use.questions, apply_chat_template=True, chat_template=_as_json)
    return task


def _as_json(messages: Messages, add_generation_prompt: bool = True) -> str:
    """In place of a chat template: the conversation itself, to be read back by `_request`."""
    return json.dumps(messages) + "\n"


def _request(instance: Any) -> Request:
    return Request(json.loads(instance.args[0]), instance.args[1])


def _as_lm_eval_hashes(doc: Any) -> str:
    from lm_eval.utils import handle_non_serializable

    return json.dumps(doc, indent=2, default=handle_non_serializable, ensure_ascii=False)


def first_of(texts: Sequence[str]) -> str:
    """A few names for a message."""
    return ", ".join(texts[:5]) + (f" and {len(texts) - 5} more" if len(texts) > 5 else "")
