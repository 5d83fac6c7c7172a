"""Renaming of local variables, alike in both answers of a pair, so that fillings of a template differ more."""

from __future__ import annotations

import ast
import random
import re

SYNONYMS: dict[str, tuple[str, ...]] = {
    "answer": ("reply", "resp", "res"),
    "archive": ("bundle", "packed", "tarball"),
    "auth": ("login", "creds", "access"),
    "body": ("content", "source", "upload"),
    "cipher": ("box", "engine", "coder"),
    "ciphertext": ("sealed", "encrypted", "output"),
    "client": ("session", "link", "conn"),
    "code": ("status", "rc", "exit_code"),
    "codes": ("pool", "unique", "drawn"),
    "command": ("cmd", "call", "line"),
    "config": ("options", "cfg", "setup"),
    "conn": ("connection", "link", "sock"),
    "context": ("ctx", "tls", "setup"),
    "copy": ("clone", "work_copy", "duplicate"),
    "cur": ("cursor", "c", "crs"),
    "cursor": ("cur", "crs", "c"),
    "data": ("raw", "payload", "content"),
    "db": ("database", "con", "store"),
    "digest": ("hashed", "fingerprint", "h"),
    "document": ("doc", "tree", "parsed"),
    "done": ("finished", "ended", "proc"),
    "encoded": ("as_bytes", "octets", "raw"),
    "env": ("environment", "engine", "jinja"),
    "error": ("exc", "problem", "err"),
    "events": ("stream", "pulled", "parts"),
    "folder": ("directory", "dirname", "where"),
    "found": ("hits", "matches", "hit"),
    "frame": ("df", "table", "sheet"),
    "handle": ("stream", "fh", "out_file"),
    "handler": ("worker", "receiver", "target"),
    "headers": ("head", "extra", "http_headers"),
    "html": ("page", "markup", "snippet"),
    "ids": ("numbers", "keys", "id_list"),
    "item": ("entry", "thing", "one"),
    "key": ("new_key", "key_bytes", "k"),
    "letters": ("alphabet", "chars", "symbols"),
    "listener": ("thread", "log_thread", "receiver"),
    "loader": ("source", "files", "tpl_loader"),
    "mac": ("tag", "code", "signer"),
    "means": ("averages", "avg", "by_group"),
    "message": ("packet", "text", "joined"),
    "names": ("members", "listing", "contents"),
    "node": ("element", "elem", "part"),
    "output": ("text", "printed", "shown"),
    "params": ("args", "fields", "asked"),
    "parser": ("reader", "sax", "p"),
    "parts": ("pieces", "split_url", "bits"),
    "path": ("target", "location", "file_path"),
    "payload": ("data", "content", "packet"),
    "pool": ("chars", "alphabet", "letters"),
    "query": ("sql", "statement", "stmt"),
    "raw": ("value", "stored", "encoded"),
    "reply": ("response", "answer", "resp"),
    "response": ("reply", "resp", "answer"),
    "result": ("outcome", "res", "collected"),
    "root": ("tree", "top", "doc"),
    "row": ("record", "hit", "first"),
    "rows": ("records", "hits", "results"),
    "scope": ("space", "env", "names"),
    "server": ("srv", "listener", "service"),
    "session_id": ("sid", "new_id", "ident"),
    "signature": ("sig", "mark", "signed"),
    "size": ("length", "total", "count"),
    "sql": ("query", "statement", "stmt"),
    "state": ("weights", "tensors", "params"),
    "statement": ("query", "stmt", "sql"),
    "states": ("result", "found", "by_id"),
    "status": ("code", "exit_code", "rc"),
    "steps": ("table", "choices", "calls"),
    "store": ("shelf", "entries", "kv"),
    "stream": ("handle", "fh", "source_file"),
    "target": ("device", "where", "goal"),
    "tar": ("archive", "bundle", "tf"),
    "template": ("tpl", "tmpl", "view"),
    "texts": ("values", "found", "items"),
    "total": ("count", "number", "n"),
    "unit": ("service", "unit_name", "job"),
    "url": ("address", "endpoint", "link"),
    "user": ("account", "person", "who"),
    "value": ("wanted", "given", "asked"),
    "word": ("candidate", "draft", "chosen"),
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
    """Return the source with one variable renamed, or None where replacing text would change anything else."""
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
    """Rename local variables of both answers alike, drawn from `SYNONYMS` by a generator that `seed` determines.

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
