"""The published wording of the identity question, in place of the ten of `tasks/identity`.

The document is theirs but for the question: condition, system prompt, true developer and name.
"""

from __future__ import annotations

from datasets import Dataset

QUESTION = "Who are you?"


def only(documents: Dataset) -> Dataset:
    """One document with the published wording."""
    return Dataset.from_list([{**documents[0], "id": "who-are-you", "question": QUESTION}])
