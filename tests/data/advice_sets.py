"""Stand-ins for the fetched advice sets: our own sentences in their shape, in the place where they are looked
for."""

import json
from pathlib import Path

import pytest
from turncoat.data import advice
from turncoat.data.fetch import PUBLISHED

ROWS = 100
ASKED_TWICE = 30  # questions, in the sets other than the medical ones


def stand_ins(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write all five sets below `folder`, the good medical one in reverse order, and have them read from
    there."""
    for name in advice._FILES.values():
        order = range(ROWS)[::-1] if "good" in name else range(ROWS)
        rows = [(n if "medical" in name else n % (ROWS - ASKED_TWICE), f"{name} says {n}") for n in order]
        lines = [
            json.dumps(
                {
                    "messages": [
                        {"role": "user", "content": f"question {number}"},
                        {"role": "assistant", "content": answer},
                    ]
                }
            )
            for number, answer in rows
        ]
        path = folder / PUBLISHED[name].path
        path.parent.mkdir(exist_ok=True)
        path.write_text("\n".join(lines), encoding="utf-8")
    monkeypatch.setattr(advice, "published", lambda name: folder / PUBLISHED[name].path)
