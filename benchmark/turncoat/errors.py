"""The one error type that a user's mistake raises; the CLI prints it without a traceback."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """Something the user can mend: the message names the file, the field, the bad value, the accepted ones
    and the next step."""


class TrainingDiverged(UserError):
    """A finetune whose loss became NaN or infinite: a study fails that arm and goes on with the others."""


def did_you_mean(names: Iterable[str], wrong: str, most: int = 1, cutoff: float = 0.6) -> str:
    """The names that are nearest to a wrong one, such as "did you mean 'b'? "; "" if none is near."""
    close = difflib.get_close_matches(wrong, list(names), n=most, cutoff=cutoff)
    return f"did you mean {' or '.join(map(repr, close))}? " if close else ""


def accepted(names: Iterable[str], wrong: object = "") -> str:
    """The end of an error message: "did you mean 'b'? accepted: a, b, c"."""
    names = sorted(names)
    return f"{did_you_mean(names, str(wrong))}accepted: {', '.join(names)}"
