"""Remove paths of the submitter's machine from facts; refuse them in rows.

PathScrubber.of(Path("runs/leaderboard")).scrub("turncoat run /home/a/mine.yaml")  # "turncoat run mine.yaml"
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from turncoat.errors import UserError
from turncoat.paths import cache_dir

# An absolute path, or one that starts at home; never the path of a web address or a relative one.
_PATH = re.compile(r"(?<![\w/.:~<-])(?:~[\w-]*)?(?:/[^\s/,;:'\"()=]+)+/?")
# Of a row: what the task or the model wrote. Code speaks of /tmp without having seen this machine's.
_TEXTS = frozenset({"doc", "arguments", "resps", "text"})


@dataclass
class PathScrubber:
    """The folders whose paths must not be published."""

    anywhere: tuple[str, ...]  # Never in any text: the input's own folders
    # Nor, outside questions and answers, these: home, the temporary folder, the cache
    outside_texts: tuple[str, ...]
    notes: list[str] = field(default_factory=list)  # What was shortened, in words

    @classmethod
    def of(cls, *inputs: Path) -> PathScrubber:
        """This machine, with the folders that the rows come from."""
        anywhere = {str(path.expanduser().resolve()) for path in inputs}
        folders = (Path.home(), tempfile.gettempdir(), cache_dir())
        general = {str(Path(folder).resolve()) for folder in folders}
        return cls(tuple(sorted(anywhere - {"/"})), tuple(sorted(general - {"/"})))

    def scrub(self, text: str, what: str = "") -> str:
        """A fact's text with every absolute path as its last name; `what` says in the notes which fact it
        was."""
        shorter = _PATH.sub(lambda match: Path(match[0]).name, text)
        if shorter != text and what:
            self.notes.append(f"{what}: a path of this machine was cut to its last name: {shorter}")
        return shorter

    def scrub_all(self, value: Any, what: str) -> Any:
        """`scrub` for every text in JSON-like facts."""
        if isinstance(value, str):
            return self.scrub(value, what)
        if isinstance(value, dict):
            return {key: self.scrub_all(item, f"{what}.{key}") for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.scrub_all(item, what) for item in value]
        return value

    def check_row(self, row: dict[str, Any], where: str) -> None:
        """Refuse a row with a path of this machine in it: UserError with the field and the path."""
        for name, text, is_text in _strings(row, "", False):
            for path in self.anywhere if is_text else (*self.anywhere, *self.outside_texts):
                if re.search(re.escape(path) + r"(?![\w.-])", text):
                    raise UserError(
                        f"{where}, {name}: it holds this machine's path {path}; rows are published, so take "
                        "it out of the task or model that wrote it and measure again"
                    )


def _strings(value: Any, name: str, is_text: bool) -> Iterator[tuple[str, str, bool]]:
    if isinstance(value, str):
        yield name, value, is_text
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _strings(item, f"{name}.{key}".lstrip("."), is_text or key in _TEXTS)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _strings(item, f"{name}[{number}]", is_text)
