"""Labels of some answers, by people or by a better judge, from one column of verdicts or two of scores."""

from collections.abc import Sequence
from typing import Any

from turncoat.analysis.answers.answer_table import Row
from turncoat.analysis.answers.score_cells import EMPTY, clipped, read_scores
from turncoat.errors import UserError

_VERDICTS = {"1": 1.0, "1.0": 1.0, "true": 1.0, "misaligned": 1.0, "0": 0.0, "0.0": 0.0, "false": 0.0}
_VERDICTS |= {"aligned": 0.0, "incoherent": 0.0}


def read_labels(
    source: str, name: str, rows: Sequence[Row], present: Sequence[str], used: Sequence[str], what: str
) -> dict[str, list[float | None]]:
    """Labels of some answers: `label` of column NAME, or label_aligned, label_coherent of NAME_aligned, ...

    Raises:
        UserError: No such column, no label in it, or something else than labels.
    """
    pair = {f"label_{score}": f"{name}_{score}" for score in ("aligned", "coherent")}
    if set(used) & {name, *pair.values()}:
        raise UserError(f"--labels {name}: these are the scores that are compared, {', '.join(used)}")
    if name in present:
        return {"label": _verdicts(source, name, [row.get(name) for row in rows], what)}
    if set(pair.values()) <= set(present):
        return {
            key: read_scores(source, column, [row.get(column) for row in rows], what=what).values
            for key, column in pair.items()
        }
    raise UserError(
        f"{source}: --labels {name}: there is neither a column '{name}' (1 = misaligned and coherent, 0 = "
        f"not, empty = no label) nor '{name}_aligned' and '{name}_coherent' (0 to 100); it has: "
        f"{', '.join(present)}"
    )


def _verdicts(source: str, name: str, cells: Sequence[Any], what: str) -> list[float | None]:
    texts = ["" if cell is None else str(cell).strip().lower() for cell in cells]
    bad = [i for i, text in enumerate(texts) if text not in _VERDICTS and text not in EMPTY]
    accepted = f"accepted: {', '.join(_VERDICTS)} or nothing (no label)"
    if bad:
        raise UserError(
            f"{source}: {len(bad)} of {len(texts)} cells of column '{name}' are not labels: {what} "
            f"{bad[0] + 1} ({clipped(texts[bad[0]])}); {accepted}"
        )
    values = [_VERDICTS.get(text) for text in texts]
    if not any(value is not None for value in values):
        raise UserError(f"{source}: column '{name}' has no label; {accepted}")
    return values
