"""`turncoat schema`: JSON Schemas of the files that people write, for editors and checks."""

import json
from enum import StrEnum
from typing import Annotated

import typer


class File(StrEnum):
    """Files with a schema."""

    STUDY = "study"
    SUBMISSION = "submission"


def schema(
    file: Annotated[File, typer.Argument(help="The YAML of a study, or the submission.json of an entry.")],
) -> None:
    """Print the JSON Schema of a file; editors complete and check a YAML with it.

    Example: turncoat schema study > study.schema.json

    Example: turncoat schema submission > results/submission.schema.json
    """
    if file is File.STUDY:
        from turncoat.study.before_run.commented import study_schema as content
    else:
        from turncoat.leaderboard.entry.submission import json_schema as content

    print(json.dumps(content(), indent=1))
