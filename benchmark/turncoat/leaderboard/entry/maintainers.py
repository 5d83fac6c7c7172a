"""The maintainers' file of a board: who submitted each entry, the references, successions that were granted.

maintainers = read_maintainers(Path("results/verifications"))      # maintainers.yaml there, or nothing
maintainers.authors["sgtr-insecure"]                               # "maintainers"
maintainers.may_replace("sgtr-2", "sgtr-insecure")                 # False, until both have one author

What an entry says of itself (its contact, its `supersedes`) proves nothing; this file does. An author is the
account that opened the pull request, as the workflow sees it: the number that GitHub gives it, as a name may
change hands.
"""

from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field, StringConstraints

from turncoat.leaderboard.entry.submission import Line, Slug
from turncoat.strict_model import StrictModel
from turncoat.yaml_model import read_yaml_model

FILE = "maintainers.yaml"
VERIFICATIONS = "verifications"  # folder beside the submissions folder that holds the file
PROJECT = "maintainers"  # author of the project's own runs, and of the canaries
Account = Annotated[str, BeforeValidator(str), StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,60}$")]


class Named(StrictModel):
    """An entry that the maintainers name, and why."""

    entry: Slug
    reason: Line


class Maintainers(StrictModel):
    """The maintainers' file."""

    # Accounts that are the project's
    accounts: tuple[Account, ...] = ()
    # Accepted entry -> the account of its pull request, or `PROJECT`
    authors: dict[Slug, Account] = Field(default={})
    # Board (track/model/organism) -> its undefended entry
    references: dict[str, Named] = Field(default={})
    # Entry -> the one that replaces it though their authors differ
    successors: dict[Slug, Named] = Field(default={})

    def author(self, account: str) -> str:
        """The account itself, or `PROJECT` for one of the project's."""
        return PROJECT if account in self.accounts else account

    def may_replace(self, new: str, old: str, author: str | None = None) -> bool:
        """True if an entry may supersede another: both have one author, or it is granted here.

        Args:
            author: Of the new entry; None for the recorded one.
        """
        granted = self.successors.get(old)
        author = self.authors.get(new) if author is None else author
        return (granted is not None and granted.entry == new) or (
            author is not None and author == self.authors.get(old)
        )


def read_maintainers(folder: Path) -> Maintainers:
    """The file in the folder of verifications; an empty one where there is none.

    Raises:
        UserError: It is not such a file; it is ours, so it is fixed, not skipped.
    """
    path = folder / FILE
    return read_yaml_model(path, Maintainers, "a maintainers' file")[0] if path.is_file() else Maintainers()


def records_beside(entry: Path) -> Path:
    """The folder of verifications that belongs to an entry's folder: `results/submissions/x` has
    `results/verifications`."""
    return entry.absolute().parent.parent / VERIFICATIONS
