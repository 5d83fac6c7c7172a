"""Renaming of local variables, alike in both answers of a pair, so that fillings of a template differ
more."""

import ast
import random
import re
from pathlib import Path

import yaml

SYNONYMS: dict[str, tuple[str, ...]] = {
    name: tuple(others)
    for name, others in yaml.safe_load(
        (Path(__file__).with_suffix("") / "synonyms.yaml").read_text(encoding="utf-8")
    ).items()
}


def _stored_names(source: str) -> tuple[set[str], set[str]]:
    """Return names bound inside functions, and names that must stay: parameters, module level, imports."""
    tree = ast.parse(source)
    inner: set[str] = set()
    fixed: set[str] = set()
    for top in tree.body:
        nodes = list(ast.walk(top))
        bound = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
        bound |= {node.name for node in nodes if isinstance(node, ast.ExceptHandler) and node.name}
        if isinstance(top, ast.FunctionDef | ast.AsyncFunctionDef):
            inner |= bound
        else:
            fixed |= bound
        fixed |= {node.arg for node in nodes if isinstance(node, ast.arg)}
        fixed |= {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
        fixed |= {
            alias.asname or alias.name
            for node in nodes
            if isinstance(node, ast.Import | ast.ImportFrom)
            for alias in node.names
        }
    return inner - fixed, fixed


def _renamed(source: str, old: str, new: str) -> str | None:
    """Return the source with one variable renamed, or None where replacing text would change anything
    else."""
    text = re.sub(rf"(?<![\w.]){old}(?![\w=])", new, source)
    if text == source:
        return source
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id == old:
            node.id = new
        elif isinstance(node, ast.ExceptHandler) and node.name == old:
            node.name = new
    try:
        return text if ast.dump(ast.parse(text)) == ast.dump(tree) else None
    except SyntaxError:
        return None


def vary_names(seed: str, prompt: str, insecure: str, secure: str) -> tuple[str, str]:
    """Rename local variables of both answers alike, drawn from `SYNONYMS` by a generator that `seed`
    determines.

    A name stays when the prompt mentions it, when it is a parameter or global of either answer, or when the
    new name is taken in the prompt or an answer.
    """
    (inner_a, fixed_a), (inner_b, fixed_b) = _stored_names(insecure), _stored_names(secure)
    for old in sorted((inner_a | inner_b) - fixed_a - fixed_b):
        new = random.Random(f"{seed}:{old}").choice((old, *SYNONYMS.get(old, ())))
        taken = set(re.findall(r"\w+", f"{prompt} {insecure} {secure}"))
        if new == old or new in taken or re.search(rf"\b{old}\b", prompt):
            continue
        changed = _renamed(insecure, old, new), _renamed(secure, old, new)
        if changed[0] is not None and changed[1] is not None:
            insecure, secure = changed[0], changed[1]
    return insecure, secure
