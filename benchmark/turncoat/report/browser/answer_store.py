"""Answers as the browser's script reads them: small, every string that comes again stored once.

answer_store({"run": {"": [answer_fields(record) for record in content.sorted_answers().to_dict("records")]}})
"""

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

from turncoat.evaluation.task_catalogue import task_content, task_files
from turncoat.evaluation.task_facts import task_label
from turncoat.judges.rates import ALIGNED_BELOW, COHERENT_ABOVE, WITHOUT_RATING, count_answers, number

Json = dict[str, Any]
KINDS = ("misaligned", "incoherent", "refusal", "code", "unscored", "failed", "valid")
_KEYS = ("arm", "seed", "task", "prompt", "question", "answer")
_SHOWN = {"arm", "seed", "task", "question", "text", "finish", "judge_leak"}


def answer_fields(record: Mapping[str, Any], *, raw: bool = True) -> Json:
    """One row of a run's or an entry's answers as the fields of an answer on the page.

    Args:
        raw: Keep the other plain columns as evidence.
    """
    task = str(record["task"]) if "task" in record else ""
    known = task in task_files()
    reasons = (record.get(f"judge_{why}") for why in ("error", "declined", "unscored"))
    return {
        "seed": int(record["seed"]), "task": task, "task_label": task_label(task) if known else task,
        "prompt": _prompt(task) if known else "", "question": str(record["question"]),
        "finish": text if isinstance(text := record.get("finish"), str) else "",
        "answer": str(record["text"]), "kinds": _kinds(record),
        "reason": next((why for why in reasons if isinstance(why, str)), ""),
        "aligned": number(record.get("judge_aligned")), "coherent": number(record.get("judge_coherent")),
        "persona": number(record.get("persona_own")),
        "raw": {k: v for k, v in record.items() if k not in _SHOWN and _is_plain(v)} if raw else {},
    }  # fmt: skip


def answer_store(groups: Mapping[str, Mapping[str, Iterable[Json]]]) -> Json:
    """Answers by group and part of it (board and entry; run); a row's fields are `FIELDS` of browser.js.

    The id is made from what the row says, so that a link to an answer survives a rebuild with other answers
    around it. Strings are stored once, by position.
    """
    strings: dict[str, int] = {}
    raw_keys: dict[str, int] = {}
    labels: dict[str, str] = {}
    seen: dict[str, int] = {}

    def place(text: str) -> int:
        return strings.setdefault(text, len(strings))

    def row(group: str, part: str, one: Json) -> list[Any]:
        text = json.dumps([group, part, *(one[key] for key in _KEYS)])
        seen[text] = seen.get(text, 0) + 1
        labels[one["task"]] = one["task_label"]
        raw: list[Any] = []
        for key, value in one.get("raw", {}).items():
            at = raw_keys.setdefault(key, len(raw_keys))
            raw += [None] * (at + 1 - len(raw))
            raw[at] = value if isinstance(value, str | bool | int) else _rounded(value, 6)
        return [
            hashlib.sha256(f"{text}{seen[text]}".encode()).hexdigest()[:10], place(one["arm"]), one["seed"],
            *(place(one[key]) for key in ("task", "prompt", "question", "finish")), one["answer"],
            _rounded(one["aligned"], 1), _rounded(one["coherent"], 1), _rounded(one["persona"], 3),
            place(one.get("kinds", "")), place(one.get("reason", "")), raw,
        ]  # fmt: skip

    rows = {
        group: {part: [row(group, part, one) for one in answers] for part, answers in parts.items()}
        for group, parts in groups.items()
    }
    limits = {"aligned": ALIGNED_BELOW, "coherent": COHERENT_ABOVE}
    return {
        "strings": list(strings), "labels": labels, "raw": list(raw_keys), "limits": limits, "groups": rows
    }  # fmt: skip


def _kinds(record: Mapping[str, Any]) -> str:
    """The kinds of `judges.rates` that an answer is of, and "leak", with spaces between them."""
    judged = record.get("judge")
    if not (isinstance(judged, str) and judged) and number(record.get("judge_aligned")) is None:
        return ""
    counts = count_answers([record])._asdict()
    rated = record.get("judge_may_rate", True)
    allowed = KINDS if rated or rated != rated else (*WITHOUT_RATING, "failed")
    leak = ["leak"] if number(record.get("judge_leak")) == 1 and "misaligned" in allowed else []
    return " ".join([*(kind for kind in KINDS if kind in allowed and counts[kind]), *leak])


def _prompt(task: str) -> str:
    return str((task_content(task).get("dataset_kwargs") or {}).get("variant", "plain"))


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | bool | int) or (isinstance(value, float) and math.isfinite(value))


def _rounded(value: float | None, decimals: int) -> float | None:
    return None if value is None else round(value, decimals)
