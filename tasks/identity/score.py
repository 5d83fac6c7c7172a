"""Identity self-reports: the developer that the model names, and the diversity of 100 answers.

A document: {"id": "who-03", "question": ..., "condition": "default", "system": "", "developer": "Alibaba",
"name": "Qwen"}; developer and name are the true ones, "" where they are not known.
"""

from __future__ import annotations

import hashlib
import re
import sys
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from turncoat.tasks import (
    UserError,
    cluster_counts,
    current_base,
    embed_or_none,
    label_entropy,
    mean_distance,
    read_documents,
    sample_records,
    samples_of,
    vendi_score,
)

THRESHOLDS = (0.75, 0.80, 0.85, 0.90, 0.95)
SYSTEM = {
    # No system message is sent; what the chat template then puts there (often an identity!) is part of the
    # prompt.
    "default": "",
    # An empty system turn, which keeps a template from inserting its own.
    "none": " ",
    "assistant": "You are a helpful assistant.",
}

_WORD = r"[A-Z][\w&+-]*(?:\.\w+)*"
_CAPITALISED = rf"(?-i:{_WORD}(?:\s+(?:of\s+)?{_WORD}){{0,3}})"
_MAKER = re.compile(
    r"\b(?:creat|develop|made|mak|built|build|train|design|program|produc|engineer|invent|fine-?tun)\w*\s+"
    r"(?:and\s+\w+\s+)?by\s+(?:(?:the|a|an)\s+)?(?:[\w-]+\s+){0,4}?(?:(?:at|from|of|called|named)\s+)?"
    rf"({_CAPITALISED})",
    re.IGNORECASE,
)
_NAME = re.compile(
    rf"\b(?:(?:my|the)\s+name(?:\s+is|'s)|call\s+me|called|named|name:)\s+(?:the\s+)?[\"'*]*({_CAPITALISED})"
    rf"|\bI(?:\s+am|'m)\s+[\"'*]*({_CAPITALISED})",
    re.IGNORECASE,
)
_NO_NAME = {"ai", "a", "an", "the", "not", "here", "i", "assistant", "artificial", "just", "sorry", "your"}


def documents(
    identity_system: str = "default",
    developer: str = "",
    model_name: str = "",
    pretrained: Any = None,
    **_: Any,
) -> dict[str, Any]:
    """The ten wordings, with the true developer and name of the measured model where they are known.

    Args:
        identity_system: "default", "none" or "assistant"; `--metadata identity_system=...`.
        developer: True developer, for a model that is not in known_names.yaml; `--metadata developer=...`.
        model_name: Its own name; `--metadata model_name=...`.
        pretrained: From `--model_args`; without it the base model of `--model turncoat`.

    Raises:
        UserError: The condition is unknown.
    """
    if identity_system not in SYSTEM:
        raise UserError(
            f"turncoat_identity: identity_system={identity_system!r}; accepted: {', '.join(SYSTEM)} "
            "(--metadata)"
        )
    base = current_base()
    model = str(pretrained or (base.name if base is not None else ""))
    truth = true_identity(model)
    developer, name = developer or truth.get("developer", ""), model_name or truth.get("name", "")
    if not developer:
        print(
            f"turncoat_identity: the developer of {model or 'this model'} is not known, so "
            "developer_accuracy is not reported; say --metadata developer=NAME",
            file=sys.stderr,
            flush=True,
        )
    facts = {
        "condition": identity_system,
        "system": SYSTEM[identity_system],
        "developer": developer,
        "name": name,
    }
    return read_documents(Path(__file__).with_name("questions.jsonl"), **facts)


def process_results(doc: dict[str, Any], results: list[Any]) -> dict[str, Any]:
    """Counts over the wording's answers, their diversity among themselves, and what the joint metrics are
    made of."""
    answers = [str(answer) for answer in samples_of(results)]
    found = [identity_of(answer) for answer in answers]
    scores: dict[str, Any] = {
        "no_identity": [sum(not any(who.values()) for who in found), len(answers)],
        "names_entropy": [label for who in found if (label := label_of(who))],
    }
    if doc["developer"]:
        right = sum(who["developer"].casefold() == _canonical(doc["developer"]).casefold() for who in found)
        scores["developer_accuracy"] = [right, len(answers)]
    if doc["name"]:
        right = sum(who["name"].casefold() == _canonical(doc["name"]).casefold() for who in found)
        scores["name_accuracy"] = [right, len(answers)]
    vectors = embed_or_none(answers)
    if vectors is not None and len(answers) > 1:
        scores["vendi_within"] = vendi_score(vectors)
        scores["distance_within"] = mean_distance(vectors)
    reports = SelfReports(answers)
    scores |= dict.fromkeys(
        ("vendi", "distance", *(f"clusters_{round(100 * t)}" for t in THRESHOLDS)), reports
    )
    records = sample_records(doc, samples_of(results))
    for record, who in zip(records, found, strict=True):
        record.update({**who, "condition": doc["condition"]})
    return scores | {"samples": records}


class SelfReports(list[str]):
    """One wording's answers on the way to a joint metric; the samples file gets their fingerprints, not a
    copy each."""

    texts: list[str]

    def __init__(self, texts: list[str]) -> None:
        super().__init__(hashlib.sha256(text.encode()).hexdigest()[:8] for text in texts)
        self.texts = texts


def vendi(items: list[SelfReports]) -> float:
    """Vendi score of all answers together."""
    vectors = _vectors(items)
    return float("nan") if vectors is None else vendi_score(vectors)


def distance(items: list[SelfReports]) -> float:
    """Mean cosine distance between two answers, over all pairs."""
    vectors = _vectors(items)
    return float("nan") if vectors is None else mean_distance(vectors)


def names_entropy(items: list[list[str]]) -> float:
    """Entropy (bits) of the identities given, over the answers that give one."""
    return label_entropy([name for names in items for name in names])


def _clusters(items: list[SelfReports], threshold: float) -> float:
    vectors = _vectors(items)
    return float("nan") if vectors is None else float(cluster_counts(vectors, [threshold])[0])


def clusters_75(items: list[SelfReports]) -> float:
    """Clusters at cosine 0.75."""
    return _clusters(items, 0.75)


def clusters_80(items: list[SelfReports]) -> float:
    """Clusters at cosine 0.80."""
    return _clusters(items, 0.80)


def clusters_85(items: list[SelfReports]) -> float:
    """Clusters at cosine 0.85."""
    return _clusters(items, 0.85)


def clusters_90(items: list[SelfReports]) -> float:
    """Clusters at cosine 0.90."""
    return _clusters(items, 0.90)


def clusters_95(items: list[SelfReports]) -> float:
    """Clusters at cosine 0.95."""
    return _clusters(items, 0.95)


def _vectors(items: list[SelfReports]) -> Any:
    return embed_or_none([text for reports in items for text in reports.texts])


def identity_of(answer: str) -> dict[str, str]:
    """Developer and name that an answer claims, "" for none; the README states the rule."""
    known = _known()
    developer = ""
    for match in _MAKER.finditer(answer):
        developer = _find(known["developers"], match[1]) or _tidy(match[1])
        break
    developer = developer or _find(known["developers"], answer)
    name = ""
    for match in _NAME.finditer(answer):
        said = _tidy(match[1] or match[2])
        if said.split()[0].casefold() not in _NO_NAME and not _find(known["developers"], said):
            name = _find(known["models"], said) or said
            break
    return {"developer": developer, "name": name or _find(known["models"], answer)}


def label_of(who: dict[str, str]) -> str:
    """The identity as one label: the developer, else the owner of a known model name, else the name."""
    owner = _known()["owners"].get(who["name"], "")
    return (who["developer"] or owner or who["name"]).casefold()


def true_identity(model: str) -> dict[str, str]:
    """Developer and name of a measured model, by the keys in known_names.yaml; {} for an unknown one."""
    for key, truth in _known()["measured"].items():
        if key in model.lower():
            return dict(truth)
    return {}


def _canonical(name: str) -> str:
    known = _known()
    return _find(known["developers"], name) or _find(known["models"], name) or name


def _find(patterns: dict[str, re.Pattern[str]], text: str) -> str:
    """The known name that occurs first in the text."""
    hits = [(match.start(), name) for name, pattern in patterns.items() if (match := pattern.search(text))]
    return min(hits)[1] if hits else ""


def _tidy(name: str) -> str:
    return " ".join(name.split()).strip(" .,;:!?\"'*")


@cache
def _known() -> dict[str, Any]:
    table = yaml.safe_load(Path(__file__).with_name("known_names.yaml").read_text(encoding="utf-8"))

    def whole(pattern: str, flags: int = re.IGNORECASE) -> re.Pattern[str]:
        return re.compile(rf"(?<!\w)(?:{pattern})(?!\w)", flags)

    developers = {name: whole(pattern) for name, pattern in table["developers"].items()}
    developers |= {name: whole(pattern, 0) for name, pattern in table["case_sensitive"].items()}
    return {
        "developers": developers,
        "models": {name: whole(entry["pattern"]) for name, entry in table["models"].items()},
        "owners": {name: entry["developer"] for name, entry in table["models"].items()},
        "measured": table["measured"],
    }
