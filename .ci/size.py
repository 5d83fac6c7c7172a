"""Size and style counts of the repository, with their goals (`make size`; `--check` fails where a firm goal
is missed).

Counted are the files that git tracks or would track. Firm goals have a number; the rest is printed to be
watched.
"""

from __future__ import annotations

import argparse
import ast
import re
import subprocess
import sys
import tokenize
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "benchmark/turncoat/"
PLUG_INS = ("tasks/", "baselines/")
FACES = ("turncoat.defences", "turncoat.tasks")  # the only modules that plug-ins import
LIMITS = (57_979, 44_300)  # lines of Python in the package and in the tests; lower them as they fall
PATCHES_IN = "benchmark/turncoat/evaluation/lm_eval_compat.py"  # the only place where libraries are patched
WIDTH = 110
WORDS = ("told", "found", "own", "kept", "asked", "said")
QUESTION = re.compile(r"(What|Which|Whether|How|Why|Are|Is|Does|Where|When)\b")
NOT_A = re.compile(r"(?<![Tt]here )\b(?:is|are) no (?!longer\b)")  # "X is not a Y" says it
ADDRESS = re.compile(r"https?://\S+")
LINK = re.compile(r"\]\([^)]*\)|^\[[^]]+\]: ")
DOTTED = re.compile(r"\bturncoat\.[a-z_]+(?:\.\w+)*")


@dataclass(frozen=True)
class Count:
    """One printed line: a count, its goal (None: none with a number), and where the worst of it is.

    A goal that is not reached yet has a `limit` above it: the count may fall and not rise.
    """

    what: str
    value: int
    goal: int | None = None
    where: tuple[str, ...] = ()
    limit: int | None = None

    @property
    def missed(self) -> bool:
        """True where the goal has a number and the count is above it."""
        return self.goal is not None and self.value > self.goal

    @property
    def refused(self) -> bool:
        """True where the count is above its limit, or above its goal without a limit."""
        return self.missed and (self.limit is None or self.value > self.limit)

    def __str__(self) -> str:
        goal = "" if self.goal is None else f"goal {self.goal:,}"
        limit = "" if self.limit is None else f", limit {self.limit:,}"
        mark = "ABOVE ITS LIMIT" if self.refused else f"not reached{limit}" if self.missed else ""
        first = f"{self.value:>8,}  {self.what:<58} {goal:<12} {mark}".rstrip()
        return "\n".join([first, *(f"{'':>12}{line}" for line in self.where)])


def tracked() -> list[str]:
    """Paths of the repository's text files, deleted ones left out."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.py", "*.md", "*.yaml"]
    names = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\n")
    return sorted({name for name in names if name and (ROOT / name).is_file()})


def lines_of(name: str) -> list[str]:
    """Lines of a file without their ends."""
    return (ROOT / name).read_text("utf-8").splitlines()


def most(counts: Counter[str], limit: int = 5) -> tuple[str, ...]:
    """The largest counts with their files, as text."""
    rest = len(counts) - limit
    listed = [
        f"{count:>5} {name}"
        for name, count in sorted(counts.items(), key=lambda one: (-one[1], one[0]))[:limit]
    ]
    return (*listed, f"      and {rest} more") if rest > 0 else tuple(listed)


def over(counts: Counter[str], what: str, goal: int | None, limit: int = 5) -> Count:
    """A count summed over files, with the files that have most."""
    return Count(what, counts.total(), goal, most(+counts, limit))


def folder_sizes(package: list[str]) -> Counter[str]:
    """Modules (`__init__.py` left out) per folder of the package."""
    return Counter(str(Path(name).parent) for name in package if Path(name).name != "__init__.py")


def wide_lines(names: list[str]) -> Counter[str]:
    """Lines over the width per file; in Markdown tables and lines with a link are left out, generated reports
    too."""
    counts: Counter[str] = Counter()
    for name in names:
        if name.endswith(".md") and name.startswith("results/") and Path(name).name != "README.md":
            continue
        markdown = name.endswith(".md")
        for line in lines_of(name):
            spared = ADDRESS.search(line) or (
                markdown and (LINK.search(line) or line.lstrip().startswith("|"))
            )
            counts[name] += len(line) > WIDTH and not spared
    return counts


def docstrings(tree: ast.AST) -> Iterator[str]:
    """First lines of all docstrings of a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text:
                yield text.split("\n")[0]


def dialect_names(name: str) -> Counter[str]:
    """Number of identifiers that are a dialect word, by word."""
    with (ROOT / name).open("rb") as file:
        names = [
            token.string.strip("_").lower()
            for token in tokenize.tokenize(file.readline)
            if token.type == tokenize.NAME
        ]
    return Counter(word for word in names if word in WORDS)


def patch_calls(tree: ast.AST) -> int:
    """Calls of `unittest.mock.patch` and its relatives, but for those that name a part of Turncoat."""
    calls = [
        ast.unparse(node.func)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and not (node.args and ast.unparse(node.args[0]).strip("'\"").startswith("turncoat."))
    ]
    return sum(bool(re.fullmatch(r"(?:\w+\.)*patch(?:\.(?:object|dict|multiple))?", call)) for call in calls)


def imported(tree: ast.AST) -> Iterator[str]:
    """Dotted names that a module imports, also inside functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module == "turncoat":
            yield from (f"turncoat.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


def deep_imports(name: str, tree: ast.AST | None) -> int:
    """References of a plug-in (Python or YAML) to something of Turncoat's that is not in a face."""
    named = (
        imported(tree) if tree else (match[0] for line in lines_of(name) for match in DOTTED.finditer(line))
    )
    return sum(
        one.split(".")[0] == "turncoat"
        and not any(one == face or one.startswith(f"{face}.") for face in FACES)
        for one in named
    )


def counts() -> Iterator[Count]:
    """All counts, in the order in which they are printed."""
    names = tracked()
    python = [name for name in names if name.endswith(".py")]
    length = {name: len(lines_of(name)) for name in python}
    tree = {name: ast.parse((ROOT / name).read_text("utf-8")) for name in python}
    package = [name for name in python if name.startswith(PACKAGE)]
    tests = [name for name in python if name.startswith("tests/")]
    plug_ins = [name for name in names if name.startswith(PLUG_INS) and not name.endswith(".md")]

    yield Count(
        f"lines of Python in {PACKAGE}", sum(length[name] for name in package), 34_000, limit=LIMITS[0]
    )
    yield Count("lines of Python in tests/", sum(length[name] for name in tests), 29_000, limit=LIMITS[1])
    yield Count("lines of README.md", len(lines_of("README.md")), 130)
    folders = folder_sizes(package)
    yield Count(
        "modules in the fullest folder",
        max(folders.values()),
        16,
        most(Counter({k: v for k, v in folders.items() if v > 16})),
    )
    for limit in (300, 400):
        long = Counter({name: length[name] for name in package + tests if length[name] > limit})
        yield Count(f"files over {limit} lines", len(long), None, most(long) if limit == 400 else ())
    code = [name for name in python if not name.startswith("results/")]
    yield over(wide_lines(code), f"lines of Python over {WIDTH} characters", 0)
    yield over(
        wide_lines([name for name in names if name.endswith(".md")]),
        f"lines of Markdown prose over {WIDTH} characters",
        0,
    )
    asks = Counter(
        {name: sum(bool(QUESTION.match(line)) for line in docstrings(tree[name])) for name in code}
    )
    yield over(asks, "docstrings that open as a question", 0)
    used = sum((dialect_names(name) for name in package), Counter[str]())
    yield Count(
        "dialect words as identifiers",
        used.total(),
        None,
        (", ".join(f"{word} {used[word]}" for word in WORDS),),
    )
    texts = {
        name: [
            node.value
            for node in ast.walk(tree[name])
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        ]
        for name in package
    }
    yield over(
        Counter({name: sum(len(NOT_A.findall(text)) for text in texts[name]) for name in package}),
        '"X is no Y" in strings',
        0,
    )
    yield over(
        Counter({name: patch_calls(tree[name]) for name in package if name != PATCHES_IN}),
        "patches of libraries outside lm_eval_compat.py",
        0,
    )
    yield over(
        Counter({name: deep_imports(name, tree.get(name)) for name in plug_ins}),
        "plug-ins' references past the faces",
        0,
    )


def main() -> int:
    """Print the counts; 1 with `--check` where a count is above its limit, or its goal without one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="exit with 1 where a count is above its limit")
    check = parser.parse_args().check
    printed = list(counts())
    print(*printed, sep="\n")
    missed = [count.what for count in printed if count.missed]
    if missed:
        print(f"\n{len(missed)} goals not reached: {'; '.join(missed)}")
    return int(check and any(count.refused for count in printed))


if __name__ == "__main__":
    sys.exit(main())
