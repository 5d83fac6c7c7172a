"""`turncoat ARGUMENTS` in this process."""

import os
import sys

import pytest
from turncoat import cli


class Outcome:
    """Exit code and texts of one command; white space is made single, since long lines are wrapped."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.lines = code, out.splitlines()
        self.out, self.err = (" ".join(text.split()) for text in (out, err))


@pytest.fixture
def turncoat(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Runs `turncoat ARGUMENTS` in this process."""
    # Set by commands in this process; monkeypatch puts the old values back.
    for name in ("TQDM_DISABLE", "TRANSFORMERS_VERBOSITY"):
        monkeypatch.setenv(name, os.environ.get(name, "1" if name == "TQDM_DISABLE" else "error"))

    def run(*arguments: str) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["turncoat", *arguments])
        capsys.readouterr()
        code: object = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = stop.code
        captured = capsys.readouterr()
        return Outcome(0 if code is None else int(str(code)), captured.out, captured.err)

    return run
