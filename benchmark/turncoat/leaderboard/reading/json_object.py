"""One JSON object from bytes that nobody trusts: either a plain dict of finite numbers and Unicode text, or findings.

row, findings = parse_object(b'{"aligned": NaN}', "rows/base/base/turncoat_em.jsonl.gz", LIMITS, row=3)
findings[0].rule, findings[0].field                # "not-finite", "aligned"
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from turncoat.leaderboard.reading.findings import Finding, shown
from turncoat.leaderboard.reading.limits import Limits, found

_BRACKETS = re.compile(r"[\[{]+|[\]}]+")
_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,79}")
_NEAR = 20  # characters on both sides of a mistake that are shown
_FIELD_CHARS = 400
_ESCAPED_NUL = "\\u0000"
_ESCAPED_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class _Refused:
    """Stands in a parsed tree where a value broke a rule, so that the walk over the tree can say where that is."""

    rule: str
    value: Any
    key: str | None = None


def parse_object(
    data: bytes, file: str, limits: Limits, row: int | None = None
) -> tuple[dict[str, Any], list[Finding]]:
    """Parse one object; the time is proportional to the length of `data`, and nothing is raised.

    Args:
        data: UTF-8 bytes of one object; its length has been checked.
        file: Path inside the entry, for the findings.
        limits: Depth, sizes of numbers and strings, most findings.
        row: Line number, for the findings.

    Returns:
        The object and no finding, or an empty dict and at least one finding.
    """

    def bad(rule: str, field: str = "", value: Any = None) -> tuple[dict[str, Any], list[Finding]]:
        return {}, [found(rule, file, limits, row=row, field=field, value=value)]

    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        return bad("not-utf8", value=f"byte {error.start}: {data[error.start : error.start + 4].hex(' ')}")
    if text.startswith("\ufeff"):
        return bad("byte-order-mark")
    if "\x00" in text:
        return bad("nul-character", value=_near(text, text.index("\x00")))
    if _depth(text) > limits.depth:
        return bad("nested-too-deep", value=_depth(text))
    hooks = _Hooks(limits)
    try:
        tree = hooks.decoder.decode(text)
    except json.JSONDecodeError as error:
        return bad("not-json", value=f"{error.msg} at character {error.pos + 1}: {_near(text, error.pos)}")
    if not isinstance(tree, dict | _Refused):
        return bad("not-an-object", value=type(tree).__name__)
    # A walk in Python costs more than the parsing; few rows give a reason for it.
    escaped = _ESCAPED_NUL in text or _ESCAPED_SURROGATE.search(text) is not None
    suspect = hooks.refused or escaped or len(text) > limits.string_chars
    if isinstance(tree, dict) and not suspect:
        return tree, []
    findings = []
    for rule, field, value in _violations(tree, "", limits):
        findings.append(found(rule, file, limits, row=row, field=field, value=value))
        if len(findings) >= limits.findings:
            break
    return (tree, []) if isinstance(tree, dict) and not findings else ({}, findings)


class _Hooks:
    """What json calls for numbers and objects: bad ones become a `_Refused` and are noted."""

    def __init__(self, limits: Limits) -> None:
        self.refused = False
        self._limits = limits
        self.decoder = json.JSONDecoder(
            parse_int=self._integer,
            parse_float=self._float,
            parse_constant=self._constant,
            object_pairs_hook=self._object,
        )

    def _refuse(self, rule: str, value: Any, key: str | None = None) -> _Refused:
        self.refused = True
        return _Refused(rule, value, key)

    def _integer(self, text: str) -> int | _Refused:
        # Checked before int(), which refuses more than 4300 digits and is slow up to there.
        return int(text) if len(text) <= self._limits.integer_digits else self._refuse("number-too-large", text)

    def _float(self, text: str) -> float | _Refused:
        if len(text) <= self._limits.number_chars and abs(value := float(text)) <= self._limits.number_size:
            return value
        return self._refuse("number-too-large", text)

    def _constant(self, text: str) -> _Refused:
        return self._refuse("not-finite", text)

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any] | _Refused:
        made = dict(pairs)
        if len(made) == len(pairs):
            return made
        seen: set[str] = set()
        for key, value in pairs:
            if key in seen:
                shown_value = value if isinstance(value, int | float | str) else None
                return self._refuse("duplicate-key", shown_value, key)
            seen.add(key)
        raise AssertionError("fewer keys than pairs, and none of them twice")


def _depth(text: str) -> int:
    """Most brackets that are open at once outside strings, without recursion.

    Only right up to the first mistake in the JSON, which is as far as a parser goes.
    """
    if text.count("[") + text.count("{") == 0:
        return 0
    outside = "".join(text.replace("\\\\", "").replace('\\"', "").split('"')[::2])
    deepest = depth = 0
    for match in _BRACKETS.finditer(outside):
        run = match[0]
        depth += len(run) if run[0] in "[{" else -len(run)
        deepest = max(deepest, depth)
    return deepest


def _violations(node: Any, field: str, limits: Limits) -> Iterator[tuple[str, str, Any]]:
    """(rule, field, value) of everything in a parsed tree that breaks a rule; no deeper than `limits.depth`."""
    if isinstance(node, dict):
        for key, value in node.items():
            inner = _joined(field, key)
            yield from _text_violations(key, inner, limits)
            yield from _violations(value, inner, limits)
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _violations(value, f"{field}[{index}]", limits)
    elif isinstance(node, str):
        yield from _text_violations(node, field, limits)
    elif isinstance(node, _Refused):
        yield node.rule, field if node.key is None else _joined(field, node.key), node.value
    elif isinstance(node, float) and not math.isfinite(node):
        yield "not-finite", field, node


def _text_violations(text: str, field: str, limits: Limits) -> Iterator[tuple[str, str, Any]]:
    if len(text) > limits.string_chars:
        yield "string-too-long", field, text
    if "\x00" in text:
        yield "nul-character", field, _near(text, text.index("\x00"))
    if (match := _SURROGATE.search(text)) is not None:
        yield "lone-surrogate", field, _near(text, match.start())


def _joined(field: str, key: str) -> str:
    """A dotted field that may be printed whatever the key is, and stays short however deep it lies."""
    name = key if _PLAIN_KEY.fullmatch(key) else shown(key)
    return f"{field}.{name}"[-_FIELD_CHARS:].removeprefix(".") if field else name


def _near(text: str, at: int) -> str:
    return text[max(0, at - _NEAR) : at + _NEAR]
