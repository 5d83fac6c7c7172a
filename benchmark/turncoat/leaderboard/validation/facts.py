"""Validation rules for submission.json.

check_facts(entry)     # before any row is looked at
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from functools import cache

from turncoat.data.fetch import without_fetching
from turncoat.data.organisms import find_organism
from turncoat.errors import UserError
from turncoat.leaderboard.entry.load import SUBMISSION, Entry, rows_name
from turncoat.leaderboard.entry.submission import SHAREABLE, Submission, seed_folders
from turncoat.leaderboard.reading.findings import EntryRefused, Finding, shown
from turncoat.leaderboard.reading.reader import list_files, read_json
from turncoat.registry import DEFENCES, ORGANISMS, discover
from turncoat.store import digest

Rule = Callable[[Entry], Iterator[Finding]]


def check_names(entry: Entry) -> list[Finding]:
    """Organism, control, benign set and defence are registered and belong together; nothing else is worth checking before."""
    discover()
    return [finding for rule in (_organism, _control, _benign, _defence) for finding in rule(entry)]


def check_facts(entry: Entry) -> list[Finding]:
    """All other rules about facts and files."""
    rules: tuple[Rule, ...] = (_seeds, _roles, _files, _hashes, _shared, _adapters, _data, _judge, _supersedes)
    return [finding for rule in rules for finding in rule(entry)]


def _fact(rule: str, field: str, value: object, allowed: str, fix: str) -> Finding:
    return Finding(rule, SUBMISSION, field=field, value=shown(value), allowed=allowed, fix=fix)


def _registered(names: object) -> str:
    return ", ".join(sorted(map(str, names)))  # type: ignore[call-overload]


def _organism(entry: Entry) -> Iterator[Finding]:
    name = entry.submission.organism.name
    # Registered names only: `find_organism` would also open a file, and the name is somebody's text.
    harmful = [known for known, data in ORGANISMS.items() if not data.is_control]
    if name not in harmful:
        yield _fact("organism", "organism.name", name, _registered(harmful), "a board is about a registered organism")


def _control(entry: Entry) -> Iterator[Finding]:
    facts = entry.submission
    if facts.organism.name not in ORGANISMS:
        return
    matched = ORGANISMS[facts.organism.name].control
    if facts.control.name != matched:
        yield _fact(
            "control", "control.name", facts.control.name, str(matched), "measure the organism's matched control"
        )


def _benign(entry: Entry) -> Iterator[Finding]:
    benign = entry.submission.benign
    controls = [known for known, data in ORGANISMS.items() if data.is_control]
    if benign is not None and benign.name not in controls:
        yield _fact("benign", "benign.name", benign.name, _registered(controls), "name a registered harmless set")


def _defence(entry: Entry) -> Iterator[Finding]:
    facts = entry.submission.defence
    if facts.registered is None:
        return
    if facts.registered not in DEFENCES:
        text = "say null for a method of your own"
        yield _fact("defence", "defence.registered", facts.registered, _registered(DEFENCES), text)
        return
    known = DEFENCES[facts.registered]
    if facts.setting not in known.settings:
        allowed = ", ".join(known.settings)
        yield _fact("defence", "defence.setting", facts.setting, allowed, f"when {facts.registered} may act")
    for option in facts.options:
        if option not in known.options:
            allowed = ", ".join(known.options) or "no option"
            yield _fact("defence", f"defence.options.{option}", facts.options[option], allowed, "name its own options")


def _seeds(entry: Entry) -> Iterator[Finding]:
    seeds, least = entry.submission.seeds, entry.track.min_seeds
    if len(seeds) < least:
        allowed = f"{least} or more different training seeds (track {entry.track.track})"
        yield _fact(
            "too-few-seeds",
            "seeds",
            list(seeds),
            allowed,
            "train and measure more seeds; a claim about the recipe needs them",
        )


def _roles(entry: Entry) -> Iterator[Finding]:
    """Each role's rows are here or shared, not both."""
    for role in entry.submission.own_roles:
        has_rows = any(key.startswith(f"{role}/") for key in entry.submission.rows)
        if role in entry.submission.shared:
            if has_rows:
                text = f"remove rows/{role} or shared.{role}"
                yield _fact("shared-rows", f"shared.{role}", role, "either own rows or shared ones", text)
        elif not has_rows:
            arm = {"control": "control arm", "base": "base model", "organism": "undefended organism"}.get(
                role, f"{role} arm"
            )
            rule = "missing-control" if role == "control" else "missing-arm"
            fix = f"measure the {arm} with the same tasks and seeds" + (
                ", or share another entry's" if role in SHAREABLE else ""
            )
            yield _fact(rule, "rows", f"no rows of the {arm}", f"rows of {', '.join(entry.submission.own_roles)}", fix)


def _expected(entry: Entry) -> dict[str, str]:
    """Key in `rows` -> file, of all rows that have to be in this folder."""
    return {
        f"{role}/{seed}/{task}": rows_name(role, seed, task)
        for role, seed, task in entry.cells()
        if role not in entry.submission.shared
    }


def _files(entry: Entry) -> Iterator[Finding]:
    """The files in the folder are those listed in submission.json and those that the track asks for."""
    gone = {
        role for role in entry.submission.own_roles if not any(k.startswith(f"{role}/") for k in entry.submission.rows)
    }
    # A role without any rows is reported once, by `_roles`.
    expected = {key: name for key, name in _expected(entry).items() if key.partition("/")[0] not in gone}
    there = {name for name in entry.files.names if name.startswith("rows/")}
    for key, name in expected.items():
        if name not in there:
            yield Finding(
                "missing-rows",
                name,
                allowed="a rows file for each role, seed and task",
                fix="measure it, and submit again",
            )
        elif key not in entry.submission.rows:
            yield _fact(
                "hash-mismatch", "rows", f"{key} is not listed", "hash and length of every rows file", "submit again"
            )
    for name in sorted(there - set(expected.values())):
        yield Finding(
            "unexpected-file",
            name,
            allowed="rows of this entry's own roles, seeds and tasks",
            fix="remove it; totals and other tasks have no place in an entry",
        )
    for key in entry.submission.rows:
        if key not in expected:
            yield _fact("unexpected-file", f"rows.{key}", key, "this entry's own roles, seeds and tasks", "remove it")


def _hashes(entry: Entry) -> Iterator[Finding]:
    for key, name in _expected(entry).items():
        listed = entry.submission.rows.get(key)
        if listed is None or name not in entry.files.names:
            continue
        sha256 = entry.files.sha256(name)
        if sha256 != listed.sha256:
            text = "the file was changed after it was submitted: restore it, or submit again from the run"
            yield Finding("hash-mismatch", name, field="sha256", value=sha256, allowed=listed.sha256, fix=text)


def _shared(entry: Entry) -> Iterator[Finding]:
    """Shared rows come from an entry of the same board that has them itself."""
    for role, shared in entry.submission.shared.items():
        home = entry.homes.get(role)
        if home is None:
            continue
        try:
            other = Submission.model_validate(read_json(home, SUBMISSION))
        except (EntryRefused, ValueError):
            yield _fact(
                "shared-rows", f"shared.{role}.entry", shared.entry, "a valid entry", f"validate {shared.entry} first"
            )
            continue
        if other.board != entry.submission.board:
            text = "share rows of an entry of the same board"
            yield _fact("shared-rows", f"shared.{role}.entry", other.board, entry.submission.board, text)
        if role in other.shared:
            text = f"share it from {other.shared[role].entry} directly"
            yield _fact(
                "shared-rows", f"shared.{role}.entry", shared.entry, "the entry that holds the rows itself", text
            )
        missing = sorted(set(entry.submission.seeds) - set(other.seeds))
        if role != "base" and missing:
            text = "train the same seeds, or give rows of your own"
            yield _fact("shared-rows", "seeds", missing, f"seeds of {shared.entry}: {list(other.seeds)}", text)
        for field in ("model", "persona", "judge", *(() if role == "base" else ("organism", "control", "recipe"))):
            if getattr(other, field) != getattr(entry.submission, field):
                mine = getattr(entry.submission, field)
                value = mine.model_dump(mode="json") if hasattr(mine, "model_dump") else mine
                text = f"it is not what {shared.entry} says: the arms were made in different ways"
                yield _fact("shared-rows", field, value, f"that of {shared.entry}", text)


def _adapters(entry: Entry) -> Iterator[Finding]:
    """Every trained arm names its weights, and no two arms have the same ones but for a defence that acts at inference."""
    facts = entry.submission
    seen: dict[str, str] = {}
    for role in facts.own_roles:
        seeds = {key: value for name, hashes in facts.adapters.items() if name == role for key, value in hashes.items()}
        for folder in seed_folders(role, facts) if role != "base" else ():
            seed = folder.removeprefix("seed-")
            where = f"adapters.{role}.{seed}"
            if seed not in seeds:
                text = "give the SHA-256 of adapter_model.safetensors, so that the rows can be run again"
                yield _fact("missing-adapter", where, None, "64 hexadecimal digits", text)
                continue
            twin = seen.setdefault(seeds[seed], f"{role}.{seed}")
            of_inference = facts.defence.setting == "inference" and {twin.split(".")[0], role} in (
                {"organism", "defended"},
                {"control", "benign"},
            )
            if twin != f"{role}.{seed}" and not (of_inference and twin.split(".")[1] == seed):
                text = f"the same weights as {twin}: each arm and seed is a training of its own"
                yield _fact("repeated-adapter", where, seeds[seed], "weights of its own", text)
    for role, seeds in facts.adapters.items():
        for seed in seeds:
            if role == "base" or role not in facts.own_roles or int(seed) not in facts.seeds:
                yield _fact(
                    "adapter-of-nothing",
                    f"adapters.{role}.{seed}",
                    seeds[seed],
                    "trained roles and seeds of this entry",
                    "remove it",
                )


def _data(entry: Entry) -> Iterator[Finding]:
    """The training data are the registered ones, where those can be built here."""
    submission = entry.submission
    for field, facts in (
        ("organism", submission.organism),
        ("control", submission.control),
        ("benign", submission.benign),
    ):
        if facts is None:
            continue
        if ORGANISMS[facts.name].answered_by_base:
            if facts.sha256 is not None:
                yield _fact(
                    "data",
                    f"{field}.sha256",
                    facts.sha256,
                    "null",
                    "the base model writes these answers; their prompts are the organism's",
                )
            continue
        known = examples_digest(facts.name)
        if facts.sha256 is None:
            yield _fact(
                "data", f"{field}.sha256", None, known or "64 hexadecimal digits", "submit again: run.json has it"
            )
        elif known is not None and facts.sha256 != known:
            yield _fact(
                "hash-mismatch",
                f"{field}.sha256",
                facts.sha256,
                known,
                f"finetune on the registered set '{facts.name}'",
            )


@cache
def examples_digest(organism: str) -> str | None:
    """Hash of a registered set; None where it has to be fetched and is not here."""
    try:
        # Validating asks nobody: CI judges other people's entries without a network.
        with without_fetching():
            return digest([dataclasses.astuple(example) for example in find_organism(organism).build()])
    except (UserError, OSError):
        return None


def _judge(entry: Entry) -> Iterator[Finding]:
    word = entry.submission.judge.id
    accepted = entry.track.judges
    if not any(word == name or word.startswith((f"{name}-", f"{name}:")) for name in accepted):
        yield _fact(
            "judge",
            "judge.id",
            word,
            f"a judge of track {entry.track.track}: {', '.join(accepted)}",
            "score the answers with it: turncoat judge",
        )


def _supersedes(entry: Entry) -> Iterator[Finding]:
    earlier = entry.submission.supersedes
    if earlier is None:
        return
    there = entry.folder.resolve().parent / earlier.entry
    allowed = "an entry of the same board in the folder beside this one"
    try:
        other = Submission.model_validate(read_json(list_files(there), SUBMISSION)) if there.is_dir() else None
    except (EntryRefused, ValueError):
        other = None
    if other is None or other.board != entry.submission.board or earlier.entry == entry.slug:
        yield _fact("supersedes", "supersedes.entry", earlier.entry, allowed, "name the entry that this one replaces")
