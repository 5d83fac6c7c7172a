"""Checks of question files: complete, unique, balanced, plain, licensed, and of nobody else's wording.

Read are all `*.jsonl` of a folder, one question per line, and the question lists of its YAML files.
"""

import json
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from turncoat.errors import UserError
from turncoat.paths import tasks_dir
from turncoat.tools.near_duplicates import LIMITS, Embed, cosines, words

TEXT_FIELDS = ("question", "prompt", "text")
ANSWER_FIELDS = ("aligned", "misaligned")
FILLED = {*TEXT_FIELDS, *ANSWER_FIELDS, "domain", "answer"}  # never empty where they are given
LONGEST_LINE = 2000  # characters
README_HEAD = 12  # lines in which the licence must stand
LICENCE = re.compile(r"\blicence:? MIT\b", re.IGNORECASE)
PARAPHRASES = "Paraphrases on purpose:"
# Read whole and never with `--limit`, so its order is free.
ANY_ORDER = {"layer_selection.jsonl"}


@dataclass(frozen=True)
class Problem:
    """One thing to mend."""

    path: Path  # The file, relative to the checked folder
    line: int  # Its line, from 1; 0 for the file as a whole
    rule: str  # The rule's name
    message: str  # What is wrong

    def __str__(self) -> str:
        place = f"{self.path}:{self.line}" if self.line else str(self.path)
        return f"{place}: {self.rule}: {self.message}"


@dataclass(frozen=True)
class _Text:
    path: Path
    line: int
    text: str
    answer: str | None = None


@dataclass
class Report:
    """Result of a check: files read, problems."""

    files: dict[Path, int] = field(default_factory=dict)  # Number of questions per file
    # Everything to mend, in the order of files and lines
    problems: list[Problem] = field(default_factory=list)
    compared: str = ""  # How near-duplicates were looked for: "sentence embeddings" or "character 4-grams"
    published: int | None = None  # Number of published questions compared with; None where none are at hand

    def lines(self) -> list[str]:
        """The report as text: a line per file, then a line per problem."""
        bad = Counter(problem.path for problem in self.problems)
        width = max((len(str(path)) for path in self.files), default=0)
        against = "not compared with published questions (TURNCOAT_DATA holds none)"
        if self.published is not None:
            against = f"compared with {self.published} published questions"
        return [
            *(f"{path!s:<{width}}  {count:4d} questions  {f'{bad[path]} problems' if bad[path] else 'ok'}"
              for path, count in self.files.items()),
            f"near-duplicates by {self.compared}, cosine above {LIMITS[self.compared]}; {against}",
            *map(str, self.problems),
        ]  # fmt: skip


def check_folder(folder: Path | None = None, embed: Embed | None = None) -> Report:
    """Check every question file under `folder`, by default the tasks that ship.

    `embed` (texts -> unit vectors or None) defaults to the registry's sentence embedder or character 4-grams.

    Raises:
        UserError: The folder does not exist or holds no question file.
    """
    root = tasks_dir() if folder is None else folder
    if not root.is_dir():
        raise UserError(f"{root} is not a folder; give one with question files (*.jsonl): {tasks_dir()}")
    report = Report()
    texts: list[_Text] = []
    for path in sorted(root.rglob("*")):
        if path.suffix == ".jsonl":
            found = list(_check_lines(root, path, report.problems))
        elif path.suffix in (".yaml", ".yml"):
            found = list(_lists_of(root, path, report.problems))
        else:
            continue
        if found or path.suffix == ".jsonl":
            report.files[path.relative_to(root)] = len(found)
            _check_characters(root, path, report.problems)
            texts += found
    if not report.files:
        raise UserError(f"{root} holds no question file (*.jsonl, or a YAML with a list of questions)")
    _check_licences(root, report)
    _check_repeats(root, texts, report, embed)
    report.problems.sort(key=lambda problem: (problem.path, problem.line, problem.rule))
    return report


def _check_lines(root: Path, path: Path, problems: list[Problem]) -> Iterator[_Text]:
    """The questions of a JSONL file; whatever a single file can get wrong goes to `problems`."""
    name = path.relative_to(root)
    first: set[str] | None = None
    seen: dict[str, int] = {}
    domains: list[tuple[int, str]] = []
    number = 0

    def tell(rule: str, message: str) -> None:
        problems.append(Problem(name, number, rule, message))

    # Not splitlines(): it also splits at characters that JSON allows inside a string.
    lines = path.read_text(encoding="utf-8", errors="replace").removesuffix("\n").split("\n")
    for number, line in enumerate(lines, 1):
        if len(line) > LONGEST_LINE:
            tell("long line", f"{len(line)} characters; at most {LONGEST_LINE}")
        try:
            item = json.loads(line)
        except json.JSONDecodeError as error:
            tell("not JSON", str(error))
            continue
        if not isinstance(item, dict):
            tell("not JSON", "every line is one object")
            continue
        text = next((item[key] for key in TEXT_FIELDS if item.get(key)), None)
        if not isinstance(item.get("id"), str) or not item["id"] or not isinstance(text, str):
            tell("missing field", f"an 'id' and one of {', '.join(TEXT_FIELDS)}, both non-empty texts")
            continue
        first = set(item) if first is None else first
        if set(item) != first:
            tell("missing field", f"fields differ from the file's first line: {sorted(set(item) ^ first)}")
        for key, value in item.items():
            if isinstance(value, str) and (value != value.strip() or (key in FILLED and not value)):
                tell("white space", f"'{key}' is empty, or begins or ends with white space")
        if item["id"] in seen:
            tell("repeated id", f"{item['id']!r} is also in line {seen[item['id']]}")
        seen[item["id"]] = number
        for key in ANSWER_FIELDS:
            if key in item and f"{key}:{item[key]}" in seen:
                tell("repeated answer", f"'{key}' is also in line {seen[f'{key}:{item[key]}']}")
            seen[f"{key}:{item.get(key)}"] = number
        if "domain" in item:
            domains.append((number, str(item["domain"])))
        answer = item.get("answer")
        yield _Text(name, number, text, None if answer is None else str(answer))
    if not seen:
        problems.append(Problem(name, 0, "no questions", "the file has none"))
    _check_balance(name, domains, problems)


def _check_balance(name: Path, domains: list[tuple[int, str]], problems: list[Problem]) -> None:
    """Every beginning of a file holds the domains equally often, within one: `--limit` stays balanced."""
    every = {domain for _, domain in domains}
    counts = Counter(dict.fromkeys(every, 0))
    for number, domain in domains:
        counts[domain] += 1
        if name.name not in ANY_ORDER and counts[domain] > min(counts.values()) + 1:
            rarest = min(counts, key=lambda key: counts[key])
            message = f"{counts[domain]} of '{domain}' up to here, {counts[rarest]} of '{rarest}'; take turns"
            problems.append(Problem(name, number, "unbalanced", message))
            return
    if len(set(counts.values())) > 1:
        told = ", ".join(f"{domain} {count}" for domain, count in sorted(counts.items()))
        problems.append(Problem(name, 0, "unbalanced", f"questions per domain: {told}"))


def _lists_of(root: Path, path: Path, problems: list[Problem]) -> Iterator[_Text]:
    """The questions in a YAML's top-level lists, with their lines; tags such as `!function` are not
    resolved."""
    name = path.relative_to(root)
    try:
        tree = yaml.compose(path.read_text(encoding="utf-8", errors="replace"), Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        problems.append(Problem(name, 0, "not YAML", " ".join(str(error).split())))
        return
    seen: set[str] = set()
    for key, value in tree.value if isinstance(tree, yaml.MappingNode) else []:
        if key.value in seen:
            message = f"'{key.value}' stands twice; YAML readers drop the first"
            problems.append(Problem(name, key.start_mark.line + 1, "repeated key", message))
        seen.add(key.value)
        if isinstance(value, yaml.SequenceNode) and re.fullmatch(r"(\w+_)?questions", str(key.value)):
            for entry in value.value:
                if isinstance(entry, yaml.ScalarNode):
                    yield _Text(name, entry.start_mark.line + 1, str(entry.value))


def _check_characters(root: Path, path: Path, problems: list[Problem]) -> None:
    """Curly quotes and dashes are a cue that a model can use, control characters break prompts: plain ASCII
    only."""
    raw, name = path.read_bytes(), path.relative_to(root)
    for number, line in enumerate(raw.split(b"\n"), 1):
        # In JSON the escape is ASCII, the character that it stands for is not.
        escaped = re.search(rb"\\u(?!000a|0009)[0-9a-fA-F]{4}", line) if path.suffix == ".jsonl" else None
        odd = re.search(rb"[^\t\x20-\x7e]", line) or escaped
        if odd:
            shown = ascii(odd.group().decode("latin-1"))
            message = f"character {odd.start() + 1} is {shown}; printable ASCII only"
            problems.append(Problem(name, number, "not ASCII", message))
    if raw and not raw.endswith(b"\n"):
        problems.append(Problem(name, raw.count(b"\n") + 1, "last line", "no newline at the end"))


def _readme(root: Path, path: Path) -> Path | None:
    """The README nearest above a file, not above the checked folder."""
    for folder in (path.parent, *path.parent.parents):
        if (folder / "README.md").is_file():
            return folder / "README.md"
        if folder == root:
            return None
    return None


def _check_licences(root: Path, report: Report) -> None:
    for name in report.files:
        readme = _readme(root, root / name)
        if readme is None:
            report.problems.append(
                Problem(name, 0, "no licence", "no README.md beside it says 'Licence: MIT'")
            )
        elif not LICENCE.search("\n".join(_text_of(readme).splitlines()[:README_HEAD])):
            told = f"the first {README_HEAD} lines of {readme.relative_to(root)} do not say 'Licence: MIT'"
            report.problems.append(Problem(name, 0, "no licence", told))


def _check_repeats(root: Path, texts: Sequence[_Text], report: Report, embed: Embed | None) -> None:
    """The same or nearly the same question twice, within a file, across files, or in a published set."""
    published = _published_questions()
    report.published = len(published) or None
    every = [*texts, *published]
    alike, report.compared = cosines([text.text for text in every], embed)
    wanted = {
        path for path in report.files if f"{PARAPHRASES} {path.name}" in _text_of(_readme(root, root / path))
    }
    for row, text in enumerate(texts):
        for place in row + 1 + np.flatnonzero(alike[row, row + 1 :] > LIMITS[report.compared]):
            other = every[place]
            same = words(text.text) == words(other.text)
            if not same and (_different_sums(text, other) or text.path == other.path in wanted):
                continue
            rule = "repeated question" if same else "near-duplicate"
            told = (
                f"cosine {alike[row, place]:.2f} with {other.path}:{other.line}: {text.text[:70]!r}, "
                f"{other.text[:70]!r}"
            )
            report.problems.append(Problem(text.path, text.line, rule, told))


def _text_of(readme: Path | None) -> str:
    return "" if readme is None else readme.read_text(encoding="utf-8")


def _different_sums(first: _Text, second: _Text) -> bool:
    """Two exercises with one right answer each differ if their numbers do: 3 + 4 and 5 + 8 read alike."""
    exercises = first.answer is not None and second.answer is not None
    return exercises and re.findall(r"\d+", first.text) != re.findall(r"\d+", second.text)


def _published_questions() -> list[_Text]:
    """Betley et al.'s questions, where `TURNCOAT_DATA` holds their files."""
    data = os.environ.get("TURNCOAT_DATA")
    found: list[_Text] = []
    for path in sorted(Path(data).expanduser().glob("betley/*.yaml")) if data else []:
        entries: list[dict[str, Any]] = yaml.safe_load(path.read_text(encoding="utf-8"))
        known = {text.text for text in found}
        wordings = {str(wording): None for entry in entries for wording in entry.get("paraphrases", ())}
        found += [_Text(Path("published") / path.name, 0, text) for text in wordings if text not in known]
    return found
