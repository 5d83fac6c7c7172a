"""Validation rules for submission.json."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Any

from turncoat.data.fetch import without_fetching
from turncoat.data.organisms import find_organism
from turncoat.errors import UserError
from turncoat.leaderboard.entry.load import SUBMISSION, Entry, rows_name
from turncoat.leaderboard.entry.submission import SHAREABLE, Submission, seed_folders
from turncoat.leaderboard.reading.findings import EntryRefused, Finding, fact_finding
from turncoat.leaderboard.reading.reader import read_json
from turncoat.registry import DEFENCES, ORGANISMS, discover
from turncoat.store import digest

Violation = Finding | tuple[str, str, Any, str, str]
"""A finding, or `fact_finding`'s rule, field, value, allowed, fix."""


def check_names(entry: Entry) -> list[Finding]:
    """Organism, control, benign set and defence are registered and belong together; nothing else is worth
    checking before."""
    discover()
    return _findings(entry, _data_sets, _defence)


def check_facts(entry: Entry) -> list[Finding]:
    """All other rules about facts and files."""
    rules = (_seeds, _roles, _files, _hashes, _shared, _adapters, _data, _judge)
    return _findings(entry, *rules)


def _findings(entry: Entry, *rules: Callable[[Entry], Iterator[Violation]]) -> list[Finding]:
    violations = (violation for rule in rules for violation in rule(entry))
    return [one if isinstance(one, Finding) else fact_finding(*one) for one in violations]


def _registered(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))


def _data_sets(entry: Entry) -> Iterator[Violation]:
    name, control, benign = entry.submission.organism.name, entry.submission.control, entry.submission.benign
    # Registered names only: `find_organism` would also open a file, and the name is somebody's text.
    controls = [known for known, data in ORGANISMS.items() if data.is_control]
    harmful = ORGANISMS.keys() - controls
    if name not in harmful:
        fix = "a board is about a registered organism"
        yield "organism", "organism.name", name, _registered(harmful), fix
    if name in ORGANISMS and control.name != (due := ORGANISMS[name].control):
        yield "control", "control.name", control.name, str(due), "measure the organism's matched control"
    if benign is not None and benign.name not in controls:
        yield "benign", "benign.name", benign.name, _registered(controls), "name a registered harmless set"


def _defence(entry: Entry) -> Iterator[Violation]:
    facts = entry.submission.defence
    if facts.registered is None:
        return
    if facts.registered not in DEFENCES:
        allowed, fix = _registered(DEFENCES), "say null for a method of your own"
        yield "defence", "defence.registered", facts.registered, allowed, fix
        return
    known = DEFENCES[facts.registered]
    if facts.setting not in known.settings:
        fix = f"when {facts.registered} may act"
        yield "defence", "defence.setting", facts.setting, ", ".join(known.settings), fix
    allowed = ", ".join(known.options) or "no option"
    for option, value in facts.options.items():
        if option not in known.options:
            yield "defence", f"defence.options.{option}", value, allowed, "name its own options"


def _seeds(entry: Entry) -> Iterator[Violation]:
    seeds, track = entry.submission.seeds, entry.track
    if len(seeds) < track.min_seeds:
        allowed = f"{track.min_seeds} or more different training seeds (track {track.track})"
        fix = "train and measure more seeds; a claim about the recipe needs them"
        yield "too-few-seeds", "seeds", list(seeds), allowed, fix
    elif sorted(seeds) != list(range(len(seeds))):
        fix = "train these: whoever chooses seeds after a look at their numbers chooses the result"
        yield "chosen-seeds", "seeds", list(seeds), f"0 to {len(seeds) - 1}", fix


def _roles(entry: Entry) -> Iterator[Violation]:
    """Each role's rows are here or shared, not both."""
    submission = entry.submission
    names = {"control": "control arm", "base": "base model", "organism": "undefended organism"}
    for role in submission.own_roles:
        has_rows = any(key.startswith(f"{role}/") for key in submission.rows)
        if role in submission.shared and has_rows:
            fix = f"remove rows/{role} or shared.{role}"
            yield "shared-rows", f"shared.{role}", role, "either own rows or shared ones", fix
        elif role not in submission.shared and not has_rows:
            arm = names.get(role, f"{role} arm")
            rule = "missing-control" if role == "control" else "missing-arm"
            fix = f"measure the {arm} with the same tasks and seeds"
            fix += ", or share another entry's" if role in SHAREABLE else ""
            yield rule, "rows", f"no rows of the {arm}", f"rows of {', '.join(submission.own_roles)}", fix


def _expected(entry: Entry) -> dict[str, str]:
    """Key in `rows` -> file, of all rows that have to be in this folder."""
    cells = [cell for cell in entry.cells() if cell[0] not in entry.submission.shared]
    return {"/".join(cell): rows_name(*cell) for cell in cells}


def _files(entry: Entry) -> Iterator[Violation]:
    """The files in the folder are those listed in submission.json and those that the track asks for."""
    listed = entry.submission.rows
    # A role without any rows is reported once, by `_roles`.
    with_rows = {key.partition("/")[0] for key in listed}
    expected = {key: name for key, name in _expected(entry).items() if key.partition("/")[0] in with_rows}
    there = {name for name in entry.files.names if name.startswith("rows/")}
    for key, name in expected.items():
        if name not in there:
            allowed = "a rows file for each role, seed and task"
            yield Finding("missing-rows", name, allowed=allowed, fix="measure it, and submit again")
        elif key not in listed:
            allowed = "hash and length of every rows file"
            yield "hash-mismatch", "rows", f"{key} is not listed", allowed, "submit again"
    allowed, fix = "this entry's own roles, seeds and tasks", "remove it"
    for name in sorted(there - set(expected.values())):
        more = "; totals and other tasks have no place in an entry"
        yield Finding("unexpected-file", name, allowed=f"rows of {allowed}", fix=fix + more)
    for key in listed:
        if key not in expected:
            yield "unexpected-file", f"rows.{key}", key, allowed, fix


def _hashes(entry: Entry) -> Iterator[Violation]:
    for key, name in _expected(entry).items():
        listed = entry.submission.rows.get(key)
        if listed is not None and name in entry.files and entry.files.sha256(name) != listed.sha256:
            fix = "the file was changed after it was submitted: restore it, or submit again from the run"
            yield Finding("hash-mismatch", name, None, "sha256", entry.files.sha256(name), listed.sha256, fix)


def _shared(entry: Entry) -> Iterator[Violation]:
    """Shared rows come from an entry of the same board that has them itself."""
    submission, rule = entry.submission, "shared-rows"
    for role, shared in submission.shared.items():
        home, field = entry.homes.get(role), f"shared.{role}.entry"
        if home is None:
            continue
        try:
            other = Submission.model_validate(read_json(home, SUBMISSION))
        except (EntryRefused, ValueError):
            yield rule, field, shared.entry, "a valid entry", f"validate {shared.entry} first"
            continue
        if other.board != submission.board:
            yield rule, field, other.board, submission.board, "share rows of an entry of the same board"
        if role in other.shared:
            fix = f"share it from {other.shared[role].entry} directly"
            yield rule, field, shared.entry, "the entry that holds the rows itself", fix
        theirs = other.adapters.get(role, {})
        for seed, sha256 in submission.adapters.get(role, {}).items():
            if (due := theirs.get(seed, sha256)) != sha256:
                fix = f"the rows are of the adapter that {shared.entry} names"
                yield rule, f"adapters.{role}.{seed}", sha256, due, fix
        missing = sorted(set(submission.seeds) - set(other.seeds))
        if role != "base" and missing:
            allowed = f"seeds of {shared.entry}: {list(other.seeds)}"
            yield rule, "seeds", missing, allowed, "train the same seeds, or give rows of your own"
        of_finetune = () if role == "base" else ("organism", "control", "recipe")
        for name in ("model", "persona", "judge", *of_finetune):
            mine = getattr(submission, name)
            if getattr(other, name) != mine:
                value = mine.model_dump(mode="json") if hasattr(mine, "model_dump") else mine
                fix = f"it is not what {shared.entry} says: the arms were made in different ways"
                yield rule, name, value, f"that of {shared.entry}", fix


def _adapters(entry: Entry) -> Iterator[Violation]:
    """Trained arms name their weights; only a defence at inference has the weights of another arm."""
    facts = entry.submission
    hashes: dict[str, dict[str, str]] = {str(role): seeds for role, seeds in facts.adapters.items()}
    seen: dict[str, str] = {}
    for role in facts.own_roles:
        for folder in seed_folders(role, facts) if role != "base" else ():
            seed = folder.removeprefix("seed-")
            where, sha256 = f"adapters.{role}.{seed}", hashes.get(role, {}).get(seed)
            if sha256 is None:
                fix = "give the adapter's digest, so that the rows can be run again"
                yield "missing-adapter", where, None, "adapter-1: and 64 hexadecimal digits", fix
                continue
            twin, _, twin_seed = seen.setdefault(sha256, f"{role}.{seed}").partition(".")
            alike = {twin, role} in ({"organism", "defended"}, {"control", "benign"}) and twin_seed == seed
            of_inference = facts.defence.setting == "inference" and alike
            if (twin, twin_seed) != (role, seed) and not of_inference:
                fix = f"the same weights as {twin}.{twin_seed}: each arm and seed is a training of its own"
                yield "repeated-adapter", where, sha256, "weights of its own", fix
    for role, seeds in hashes.items():
        for seed, sha256 in seeds.items():
            if role == "base" or role not in facts.own_roles or int(seed) not in facts.seeds:
                allowed = "trained roles and seeds of this entry"
                yield "adapter-of-nothing", f"adapters.{role}.{seed}", sha256, allowed, "remove it"


def check_adapter_form(entry: Entry) -> Iterator[Finding]:
    """Digests of weights files alone, which say nothing of the configuration: earlier entries may have them,
    and what is shared with one."""
    facts = entry.submission
    shared = {sha for role in facts.shared for sha in facts.adapters.get(role, {}).values()}
    for role, seeds in facts.adapters.items():
        for seed, sha256 in seeds.items():
            if ":" not in sha256 and sha256 not in shared:
                allowed = "adapter-1: and 64 hexadecimal digits, over weights and configuration"
                fix = "`turncoat run` on the study again writes it (what is done is kept), or give the folder"
                yield fact_finding("adapter-form", f"adapters.{role}.{seed}", sha256, allowed, fix)


def _data(entry: Entry) -> Iterator[Violation]:
    """The training data are the registered ones, where those can be built here."""
    for name in ("organism", "control", "benign"):
        facts = getattr(entry.submission, name)
        if facts is None:
            continue
        field, sha256 = f"{name}.sha256", facts.sha256
        if ORGANISMS[facts.name].answered_by_base:
            if sha256 is not None:
                fix = "the base model writes these answers; their prompts are the organism's"
                yield "data", field, sha256, "null", fix
            continue
        known = examples_digest(facts.name)
        if sha256 is None:
            yield "data", field, None, known or "64 hexadecimal digits", "submit again: run.json has it"
        elif known is not None and sha256 != known:
            yield "hash-mismatch", field, sha256, known, f"finetune on the registered set '{facts.name}'"


@cache
def examples_digest(organism: str) -> str | None:
    """Hash of a registered set; None where it has to be fetched and is not here."""
    try:
        # Validating asks nobody: CI judges other people's entries without a network.
        with without_fetching():
            return digest([dataclasses.astuple(example) for example in find_organism(organism).build()])
    except (UserError, OSError):
        return None


def _judge(entry: Entry) -> Iterator[Violation]:
    judge, accepted = entry.submission.judge.id, entry.track.judges
    if not any(judge == name or judge.startswith((f"{name}-", f"{name}:")) for name in accepted):
        allowed = f"a judge of track {entry.track.track}: {', '.join(accepted)}"
        yield "judge", "judge.id", judge, allowed, "score the answers with it: turncoat judge"
