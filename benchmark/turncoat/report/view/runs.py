"""Run folders that `turncoat view` finds: finished ones, and ones under way."""

from pathlib import Path

from turncoat.errors import UserError
from turncoat.study.progress_file import NAME

_DEEP = 3  # folders below the one that was given


def runs_in(folder: Path) -> dict[str, Path]:
    """Runs by their path below `folder`; the folder itself where it is one, and a table of answers.

    Raises:
        UserError: There is none.
    """
    if _is_run(folder) or folder.is_file():
        return {folder.resolve().name: folder}
    patterns = ("/".join(["*"] * deep) for deep in range(1, _DEEP + 1))
    found = {
        path.relative_to(folder).as_posix(): path
        for pattern in patterns
        for path in sorted(folder.glob(pattern))
        if path.is_dir() and not path.name.startswith(".") and _is_run(path)
    }
    if not found:
        raise UserError(
            f"{folder} holds no run: a folder with study.yaml and run.json, or {NAME} while it runs; make "
            "one with `turncoat run STUDY`"
        )
    return dict(sorted(found.items()))


def _is_run(folder: Path) -> bool:
    there = {name for name in ("run.json", NAME) if (folder / name).is_file()}
    return bool(there) and (folder / "study.yaml").is_file()
