"""The one error type that a user's mistake raises; the CLI prints it without a traceback."""

from __future__ import annotations


class UserError(ValueError):
    """Something the user can mend: the message names the file, the field, the bad value, the accepted ones
    and the next step."""


class TrainingDiverged(UserError):
    """A finetune whose loss became NaN or infinite: a study fails that arm and goes on with the others."""
