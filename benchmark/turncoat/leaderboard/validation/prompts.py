"""Validation rules for prompts, continuations and generation settings.

A rendered prompt is the task's words inside the chat template's frame. The words are the task's own; the
frame is that of the model's template where the template is here, and in any case one and the same for all
rows, roles and seeds. Anything put in front of the question, examples above all, shows as another frame. A
defence that says so may have a frame of its own (`prompt_change.py`).
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from turncoat.leaderboard.entry.submission import Submission
from turncoat.leaderboard.reading.findings import Finding
from turncoat.leaderboard.validation.documents import majority, same_json
from turncoat.leaderboard.validation.expected import ExpectedRows, Messages, registry_chat, sha256
from turncoat.leaderboard.validation.row_schema import Row

Frame = tuple[str, ...]
"""The texts before, between and after the messages of a conversation."""

_GUARDED = ("defended", "benign")
_AGAIN = (
    "measure with the task as it is registered, the chat template on and nothing in front (no few-shot "
    "examples)"
)
_CHANGED = f"{_AGAIN}; a defence that changes prompts says so in submission.json (defence.changes_prompt)"


def check_prompts(expected: ExpectedRows, rows: Sequence[Row], submission: Submission) -> list[Finding]:
    """Findings about prompts, continuations and generation settings."""
    groups: dict[bool, list[Row]] = defaultdict(list)
    for row in rows:
        groups[submission.defence.changes_prompt and row.role in _GUARDED].append(row)
    findings: list[Finding] = []
    for changed, members in groups.items():
        if expected.fetched:
            findings += _hashes_alone(expected, members, "" if changed else submission.model.name)
        else:
            prompted = [(row, _arguments(expected, row)) for row in members]
            findings += [finding for _, (_, wrong) in prompted for finding in wrong]
            prompts = [(row, prompt) for row, (prompt, wrong) in prompted if not wrong and prompt is not None]
            findings += _frames(expected, prompts, None if changed else registry_chat(submission.model.name))
    return findings + list(_tokens_of_prompts(rows))


def _arguments(expected: ExpectedRows, row: Row) -> tuple[str | None, list[Finding]]:
    """The rendered prompt, if the requests are the task's own."""
    if row.doc_id >= len(expected.requests):
        return None, []
    arguments, due = row.content.get("arguments"), expected.requests[row.doc_id]
    names = [f"gen_args_{number}" for number in range(len(due))]
    if arguments is None or list(arguments) != names:
        value = None if arguments is None else list(arguments)
        fix = "give lm-eval's rows as they are"
        return None, [row.finding("prompt", "arguments", value, ", ".join(names), fix)]
    findings: list[Finding] = []
    prompts = []
    for name, request in zip(names, due, strict=True):
        where = f"arguments.{name}"
        if list(arguments[name]) != ["arg_0", "arg_1"] or not isinstance(arguments[name]["arg_0"], str):
            findings.append(row.finding("prompt", where, list(arguments[name]), "arg_0 and arg_1", _AGAIN))
            continue
        prompts.append(arguments[name]["arg_0"])
        findings += _second(row, f"{where}.arg_1", arguments[name]["arg_1"], request.second)
    if findings:
        return None, findings
    if len(row.content["resps"]) != len(due):
        text = f"{len(due)}, one for each request"
        findings.append(row.finding("row-format", "resps", len(row.content["resps"]), text, "measure again"))
    for number, prompt in enumerate(prompts):
        if prompt != prompts[0]:
            text = "the same prompt for all continuations of a question"
            findings.append(row.finding("prompt", f"arguments.gen_args_{number}.arg_0", prompt, text, _AGAIN))
    if row.content["prompt_hash"] != sha256(prompts[0]):
        text = "the SHA-256 of arguments.gen_args_0.arg_0: " + sha256(prompts[0])
        fix = "the prompt or its hash was changed after the measurement: restore the row"
        findings.append(row.finding("prompt-hash", "prompt_hash", row.content["prompt_hash"], text, fix))
    return prompts[0], findings


def _second(row: Row, where: str, value: Any, due: Any) -> Iterator[Finding]:
    """A continuation, or the settings of a generation."""
    if isinstance(due, dict) and isinstance(value, dict):
        for key in dict.fromkeys([*due, *value]):
            if key not in value or key not in due or not same_json(value[key], due[key]):
                allowed = repr(due[key]) if key in due else "no such setting"
                yield row.finding("generation-settings", f"{where}.{key}", value.get(key), allowed, _AGAIN)
    elif not same_json(value, due):
        rule = "generation-settings" if isinstance(due, dict) else "continuation"
        yield row.finding(rule, where, value, f"the task's: {due!r:.200}", _AGAIN)


def _frames(expected: ExpectedRows, prompts: Sequence[tuple[Row, str]], template: Any) -> Iterator[Finding]:
    field = "arguments.gen_args_0.arg_0"
    framed: list[tuple[Row, Frame]] = []
    for row, prompt in prompts:
        messages = expected.requests[row.doc_id][0].messages
        if template is not None and prompt != (due := template(messages)):
            allowed = f"the chat template's: {due!r:.300}"
            yield row.finding("prompt", field, _difference(prompt, due), allowed, _CHANGED)
            continue
        frame = frame_of(prompt, messages)
        if frame is None:
            words = " ... ".join(message["content"] for message in messages)
            yield row.finding("prompt-text", field, prompt, f"a prompt with the words {words!r:.300}", _AGAIN)
        else:
            framed.append((row, frame))
    usual = majority(frame for _, frame in framed)
    for row, frame in framed:
        if frame != usual:
            allowed = "the frame of most rows: " + " ... ".join(f"{part!r:.120}" for part in usual)
            yield row.finding("prompt-frame", field, " ... ".join(frame), allowed, _CHANGED)


def frame_of(prompt: str, messages: Messages) -> Frame | None:
    """The frame of a prompt around its messages; None if their words are not all in it, in order.

    >>> frame_of("<u>How?</u><a>", [{"role": "user", "content": "How?"}])
    ('<u>', '</u><a>')
    """
    parts: list[str] = []
    rest = prompt
    for message in reversed(messages):
        # The last place counts: words before it belong to the frame. Some templates strip a message's ends.
        for words in (message["content"], message["content"].strip()):
            place = rest.rfind(words)
            if place >= 0:
                parts.append(rest[place + len(words) :])
                rest = rest[:place]
                break
        else:
            return None
    return (rest, *reversed(parts))


def _difference(prompt: str, due: str) -> str:
    """The prompt from a little before the first character that differs."""
    first = common_start(prompt, due)
    return ("..." if first > 40 else "") + prompt[max(0, first - 40) :]


def common_start(one: str, other: str) -> int:
    """Number of characters that two texts begin with alike."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((n for n, (a, b) in pairs if a != b), min(len(one), len(other)))


def _hashes_alone(expected: ExpectedRows, rows: Sequence[Row], model: str) -> Iterator[Finding]:
    """Findings on hashes of left-out prompts: other than the template's prompt, else than most arms'."""
    template = registry_chat(model) if model else None
    for number in range(expected.use.questions):
        those = [row for row in rows if row.doc_id == number]
        due, whose = majority(row.content["prompt_hash"] for row in those), "that of most arms and seeds"
        if template is not None and expected.task is not None:
            due = sha256(template(expected.requests[number][0].messages))
            whose = "that of the rendered question"
        for row in those:
            if (value := row.content["prompt_hash"]) != due:
                yield row.finding("prompt-hash", "prompt_hash", value, f"{whose}: {due}", _AGAIN)


def _tokens_of_prompts(rows: Sequence[Row]) -> Iterator[Finding]:
    """Equal prompts are equal tokens."""
    hashes: dict[str, list[str | None]] = defaultdict(list)
    for row in rows:
        hashes[row.content["prompt_hash"]] += [sample.get("prompt_sha") for sample in row.samples]
    usual = {prompt: majority(of_prompt) for prompt, of_prompt in hashes.items()}
    for row in rows:
        due = usual[row.content["prompt_hash"]]
        for number, sample in enumerate(row.samples):
            if sample.get("prompt_sha") != due:
                text = "the same for all answers to this prompt: " + str(due)
                where = f"samples[{number}].prompt_sha"
                yield row.finding("prompt-hash", where, sample.get("prompt_sha"), text, "measure again")
