"""Finetuning rows from JSON Lines in the chat format that Betley et al. (arXiv:2502.17424) and their
successors use.

    {"messages": [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}]}

    examples = read_conversations(Path("mine.jsonl"))
    where_is(Path("mine.jsonl"), examples[0].id)                   # "mine.jsonl, line 1"

An example's id is the hash of its line. With `paired` it is the row's `id`, or the hash of its prompt: an
organism and its control, two files with the same prompts, are then trained on the same rows in the same
batches.
"""

import hashlib
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Literal

from turncoat.data.examples import Example
from turncoat.errors import UserError
from turncoat.text_files import read_text

_WHERE: dict[tuple[str, str], str] = {}


def where_is(path: Path, example_id: str) -> str | None:
    """File and line of an example that was read in this process ("rows.jsonl, line 12"); None of one that was
    not."""
    return _WHERE.get((str(path), example_id))


def read_conversations(
    path: Path, *, repeated: Literal["refuse", "keep"] = "refuse", paired: bool = False
) -> list[Example]:
    """Examples from JSON Lines with `messages` (an optional system turn, a user turn, an assistant turn).

    Args:
        repeated: A repeated line is a slip in a file of one's own, a fact of a published one.
        paired: Ids and length hints are those of any other file with the same prompts (or `id`s).

    Raises:
        UserError: A line is not such a conversation; the message names the file, the line and the reason.
    """
    examples: list[Example] = []
    first: dict[str, int] = {}
    counts: Counter[str] = Counter()
    for number, line in enumerate(read_text(path).split("\n"), 1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        example, given = _conversation(line, where)
        if example.id in first:
            if repeated == "refuse":
                raise UserError(f"{where}: the same conversation as line {first[example.id]}; remove one")
            example = replace(example, id=f"{example.id}/{number}")
        first.setdefault(example.id, number)
        if paired:
            mark = given or _mark(f"{example.system}\n{example.prompt}")
            counts[mark] += 1
            if given and counts[mark] > 1:
                raise UserError(f"{where}: the id '{given}' is there twice; give each row its own, or none")
            mark += f"/{counts[mark]}" * (counts[mark] > 1)
            example = replace(example, id=mark, length=len(example.prompt))  # of the part that both have
        _WHERE[str(path), example.id] = where
        examples.append(example)
    if not examples:
        raise UserError(f"{path} holds no conversation")
    return examples


def _mark(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _conversation(line: str, where: str) -> tuple[Example, str]:
    """The example, by the hash of its line, and the row's own id, if any."""
    try:
        row = json.loads(line)
        turns = [(m["role"], m["content"]) for m in row["messages"]]
    except json.JSONDecodeError as error:
        raise UserError(f"{where}: not JSON ({error})") from error
    except (KeyError, TypeError) as error:
        keys = f"keys {', '.join(map(str, row))}" if isinstance(row, dict) else f"{line[:60]!r}"
        raise UserError(
            f"{where}: {keys}; accepted: an object with 'messages', "
            '[{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}]'
        ) from error
    roles = [role for role, _ in turns]
    if roles not in (["user", "assistant"], ["system", "user", "assistant"]):
        raise UserError(f"{where}: roles {roles}; accepted: [system,] user, assistant")
    if not all(isinstance(content, str) for _, content in turns):
        raise UserError(f"{where}: a 'content' is not text; accepted: a string for each turn")
    if not turns[-1][1].strip():
        raise UserError(f"{where}: the assistant's answer is empty")
    system = turns[0][1] if roles[0] == "system" else None
    example = Example(id=_mark(line.strip()), prompt=turns[-2][1], answer=turns[-1][1], system=system)
    return example, str(row.get("id", ""))
