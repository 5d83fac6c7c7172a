"""An organism by its name: a registered one, or a JSON Lines file of one's own.

Organisms are plug-ins: one Python file each in `benchmark/organisms/` or in a folder of the user's
(`--include-path`).
"""

from pathlib import Path

from turncoat.data.conversations import read_conversations
from turncoat.data.examples import Example
from turncoat.errors import UserError, accepted
from turncoat.registry import ORGANISMS, Organism, discover, look_up


def find_organism(name: str) -> Organism:
    """A registered organism, or a JSON Lines file of one's own, which is looked for when it is built.

    A run is read, reported and shown where its file is not, or not any more.

    Raises:
        UserError: No organism has this name.
    """
    if name not in ORGANISMS:
        discover()
    if name in ORGANISMS or not name.endswith(".jsonl"):
        return look_up(ORGANISMS, "organism", name)
    path = Path(name).expanduser()

    def build() -> list[Example]:
        if not path.is_file():
            raise UserError(
                f"no organism file at {path} (seen from {Path.cwd()}); {accepted(ORGANISMS)}, or the path of "
                "a .jsonl"
            )
        return read_conversations(path, paired=True)

    return Organism(name, f"your own file {path.name}", build, {}, path)
