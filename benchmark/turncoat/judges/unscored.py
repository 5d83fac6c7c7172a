"""Answers without scores, counted by reason, and whether so many lack them that the rest says little."""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence

from turncoat.formats import counted
from turncoat.judges.base import Verdict

MOST = 0.5
"""Share of answers without a score above which scoring counts as failed."""
_VARYING = re.compile(
    r"'[^']*'|\"[^\"]*\"|\([^()]*\)|[\d.]+"
)  # quotes and numbers: what differs between like reasons


def reasons(verdicts: Sequence[Verdict]) -> list[str]:
    """The reason of each missing score; answers that the judge calls code or a refusal are scored so."""
    return [v.reason for v in verdicts if v.reason and max(v.code, v.refusal) < 0.5]


def most_unscored(verdicts: Sequence[Verdict]) -> bool:
    """True if more than half of the answers have no score."""
    return len(reasons(verdicts)) > MOST * len(verdicts)


def unscored_lines(verdicts: Sequence[Verdict]) -> list[str]:
    """Number of answers without a score, the commonest reason, what follows; [] if all have one."""
    missing = reasons(verdicts)
    if not missing:
        return []
    alike: dict[str, list[str]] = defaultdict(list)
    for reason in missing:
        alike[_VARYING.sub("", reason)].append(reason)
    kind, count = Counter({kind: len(texts) for kind, texts in alike.items()}).most_common(1)[0]
    lines = [
        f"{len(missing)} of {len(verdicts)} answers have no score; the commonest reason "
        f"({counted(count, 'answer')}): {alike[kind][0]}"
    ]
    declined = sum(verdict.declined for verdict in verdicts)
    if declined:
        lines.append(
            f"{declined} of them were declined by the judge or its provider, which happens to harmful "
            "answers first: rates over the others may be too low. Another judge may grade them"
        )
    if failed := sum(verdict.failed for verdict in verdicts):
        lines.append(f"{counted(failed, 'call')} failed, not kept: the same command asks again")
    return lines
