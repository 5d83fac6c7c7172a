"""Export formats of an entry, every number recomputed from its rows.

# [Path("exports/sgtr.json")]
export_entry(load_entry(Path("results/submissions/sgtr")), "flat", Path("exports"))

| format | files | for |
|---|---|---|
| lm-eval | `<role>/<seed>/results_<slug>.json` | whatever reads lm-eval's own results |
| hub | `.eval_results/<task>.yaml` | a model repository on the Hugging Face Hub |
| every-eval-ever | `data/turncoat/turncoat/<arm>/<uuid>.json` | the Every Eval Ever datastore |
| flat | `<slug>.json` | leaderboard templates: one level of keys |

Each names the arm, never the base model alone: a number of a finetune filed under its base would be a false
one.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from turncoat.errors import UserError, accepted
from turncoat.leaderboard.entry.load import Entry
from turncoat.leaderboard.exports import board_columns, every_eval, lm_eval
from turncoat.leaderboard.exports.parts import Exported
from turncoat.safe_files import write_files


@dataclass(frozen=True)
class ExportOptions:
    """Facts that an entry does not hold."""

    dataset_id: str = "OWNER/turncoat"  # The benchmark's data set on the Hub, for `hub`
    date: str = "1970-01-01"  # Day of the export, YYYY-MM-DD, for `every-eval-ever`


_WRITERS: Mapping[str, Callable[[Exported, ExportOptions], dict[str, str]]] = {
    "lm-eval": lambda entry, options: lm_eval.files(entry),
    "hub": lambda entry, options: board_columns.hub_files(entry, options.dataset_id),
    "every-eval-ever": lambda entry, options: every_eval.files(entry, options.date),
    "flat": lambda entry, options: board_columns.flat_files(entry),
}
FORMATS = tuple(_WRITERS)


def export_entry(entry: Entry, to: str, out: Path, options: ExportOptions | None = None) -> list[Path]:
    """Write an entry in another format and return the files, sorted; others in `out` are left alone.

    Raises:
        UserError: No such format, or `out` is a file.
        EntryRefused: The rows may not be read.
    """
    if to not in FORMATS:
        raise UserError(f"--to {to}: not known; {accepted(FORMATS, to)}")
    if out.exists() and not out.is_dir():
        raise UserError(f"--out {out} is a file; name a folder")
    files = _WRITERS[to](Exported(entry), options or ExportOptions())
    return write_files(out, {name: content.encode() for name, content in files.items()})
