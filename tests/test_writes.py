"""Nothing in the package writes a file past `turncoat.safe_files`, but for what is named here with the
reason."""

import ast
from collections.abc import Iterator

from turncoat.paths import PACKAGE

_PATH_WRITERS = {
    "copy2", "copyfile", "copyfileobj", "copytree", "extractall", "hardlink_to", "link", "memmap", "mktemp",
    "move", "NamedTemporaryFile", "save_file", "save_pretrained", "savefig", "savetxt", "savez", "symlink",
    "symlink_to", "to_excel", "to_feather", "to_hdf", "to_parquet", "to_pickle", "tofile", "touch",
    "write_bytes", "write_text",
}  # fmt: skip
_DUMPERS = {"json.dump", "pickle.dump", "torch.save", "np.save", "numpy.save", "shutil.copy", "os.replace"}
_TEXT_OR_PATH = {"to_csv", "to_json", "to_html", "to_latex", "to_markdown"}  # text where no path is given

# Stages are written in a folder that `Store.stage` has just made, below one of a random name that nobody else
# may enter; `new_folder` and `tempfile.TemporaryDirectory` make such folders too.
_STAGE = "in the new folder of a stage"
_ALLOWED = {  # file -> (names of the calls, reason)
    "bench/adapters.py": ("save_pretrained", "in a TemporaryDirectory"),
    "bench/counters.py": ("write_text", "resets the system's count of the peak memory"),
    "data/insecure_code/bandit_scan.py": ("write_text", "in a TemporaryDirectory"),
    "data/registry_models.py": ("copyfileobj open save_pretrained", _STAGE),
    "engine/merged_weights.py": ("save_pretrained", "into a new_folder or a TemporaryDirectory"),
    "engine/vllm/child.py": ("open", "os.devnull, and it imports nothing of Turncoat"),
    "evaluation/lm.py": ("write_text", _STAGE),
    "evaluation/own_texts.py": ("write_text", _STAGE),
    "persona/vectors.py": ("save_file write_text", _STAGE),
    "report/figures/style.py": ("savefig", "into memory"),
    "safe_files.py": ("open rename replace", "the helper itself"),
    "study/carried.py": ("copytree", "into the new_folder of the run's rows"),
    "training/export/hub.py": ("copytree", "in a TemporaryDirectory"),
    "tools/gpu_check.py": ("save_pretrained", "in a TemporaryDirectory"),
    "store/lease.py": ("open", "the lease that only one process can make"),
    "store/manifest.py": ("open", "appends to the list of what this host has checked"),
    "store/records.py": ("open rename", "appends to a file of this process alone"),
    "store/stages.py": ("rename", "puts a finished stage into place"),
    "study/arms/defence_context.py": ("write_text", _STAGE),
    "study/evaluate.py": ("rename", _STAGE),
    "study/gather.py": ("copyfile", "into a new_folder"),
    "study/pack.py": ("copytree", "into a new_folder"),
    "testing.py": ("save_pretrained", "the tiny model of tests, in a folder that the test names"),
    "training/adapter_edit.py": ("copyfile save_file write_text", _STAGE),
    "training/export/steering_adapter.py": ("save_file save_pretrained", "into a new_folder"),
    "training/export/write.py": ("copytree save_pretrained", "into a new_folder"),
    "training/lora.py": ("save_pretrained write_text", _STAGE),
    "training/stack.py": ("save_file write_text", _STAGE),
    "training/trainer.py": ("save_file", "checkpoints, in the store"),
}


def bare_writes(source: str) -> Iterator[tuple[int, str]]:
    """(line, call) of each call that writes a file, renames one or makes a link."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        name = called.rpartition(".")[2]
        modes = [*node.args[:2], *(k.value for k in node.keywords if k.arg == "mode")]
        opens = name == "open" and any(
            isinstance(mode, ast.Constant) and isinstance(mode.value, str) and set(mode.value) & set("wax+")
            and set(mode.value) <= set("wax+rbt") for mode in modes
        )  # fmt: skip
        opens |= called == "os.open" and bool({"O_WRONLY", "O_RDWR", "O_CREAT", "_WRITE"} & _names(node))
        renames = name in ("rename", "replace") and len(node.args) == 1 and not node.keywords
        renames |= called in ("os.rename", "os.renames")
        to_path = name in _TEXT_OR_PATH and (
            bool(node.args) or any(k.arg == "path_or_buf" for k in node.keywords)
        )
        if opens or renames or to_path or called in _DUMPERS or name in _PATH_WRITERS:
            yield node.lineno, called


def _names(node: ast.AST) -> set[str]:
    return {n.attr if isinstance(n, ast.Attribute) else n.id for n in ast.walk(node)
            if isinstance(n, ast.Attribute | ast.Name)}  # fmt: skip


_WRITES = [
    'open(path, "w")', 'path.open("wb")', 'path.open(mode="a")', 'gzip.open(path, "wt")', "a.replace(b)",
    "path.write_text(x)", "path.write_bytes(x)", "frame.to_csv(out, index=False)", "figure.savefig(out)",
    "json.dump(x, handle)", "shutil.copyfile(a, b)", "os.open(path, os.O_WRONLY | os.O_CREAT)",
    "a.rename(b)", "os.rename(a, b)", "save_file(tensors, path)", "torch.save(x, path)",
]  # fmt: skip
_OTHERS = [
    "open(path)", 'path.open("rb")', 'path.open(encoding="utf-8")', 'text.replace("a", "b")', "rows.copy()",
    "frame.rename(columns=names)", "frame.to_csv(index=False)", "json.dumps(x)", "write_file(path, data)",
]  # fmt: skip


def test_writes_are_told_from_other_calls() -> None:
    assert [source for source in [*_WRITES, *_OTHERS] if list(bare_writes(source))] == _WRITES


def test_the_package_writes_files_through_one_helper() -> None:
    found = {
        path.relative_to(PACKAGE).as_posix(): writes
        for path in sorted(PACKAGE.rglob("*.py"))
        if (writes := list(bare_writes(path.read_text("utf-8"))))
    }
    allowed = {(name, call) for name, (calls, _) in _ALLOWED.items() for call in calls.split()}
    new = [f"{name}:{line}: {call}" for name, writes in found.items() for line, call in writes
           if (name, call.rpartition(".")[2]) not in allowed]  # fmt: skip
    used = {(name, call.rpartition(".")[2]) for name, writes in found.items() for _, call in writes}

    assert not new, f"{new}: use turncoat.safe_files (write_file, write_files, new_folder)"
    assert not allowed - used, "no longer needed"
