"""The one error type that a user's mistake raises; the CLI prints it without a traceback."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """Something the user can mend: the message names the file, the field, the bad value, the accepted ones
    and the next step."""


class TrainingDiverged(UserError):
    """A finetune whose loss became NaN or infinite: a study fails that arm and goes on with the others."""


def accepted(names: Iterable[str], wrong: str = "") -> str:
    """'accepted: a, b, c (did you mean b?)' for an error message."""
    names = sorted(names)
    close = difflib.get_close_matches(wrong, names, n=1)
    return "accepted: " + ", ".join(names) + (f" (did you mean '{close[0]}'?)" if close else "")
