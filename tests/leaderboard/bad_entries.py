"""One bad entry for each rule of `validation.facts` and of the rules about rows: a good made-up entry, spoilt
in one place.

`bad/<rule>.txt` is what `turncoat validate` says about it, word for word. After a wanted change of words:

    PYTHONPATH=tests python -m leaderboard.bad_entries    # writes the texts again
"""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from leaderboard.entry_files import edit, put, rewrite_rows
from leaderboard.made_entry import make_entry
from turncoat.leaderboard.reading.findings import summary
from turncoat.leaderboard.validation.validate import validate_entry

HERE = Path(__file__).parent
TEXTS = HERE / "bad"
ROWS_FILE = "rows/defended/seed-1/turncoat_em.jsonl.gz"

CASES: dict[str, Callable[[Path], None]] = {}


def case(rule: str) -> Callable[[Callable[[Path], None]], Callable[[Path], None]]:
    """The decorated function spoils a good entry so that `rule` refuses it."""

    def keep(function: Callable[[Path], None]) -> Callable[[Path], None]:
        assert rule not in CASES, f"two cases of {rule}"
        CASES[rule] = function
        return function

    return keep


def edit_row(
    home: Path,
    line: int,
    change: Callable[[dict[str, Any]], None],
    *,
    role: str = "defended",
    seed: str = "seed-1",
    task: str = "turncoat_em",
) -> None:
    """Change one row, and set the hash of its file right, so that only the row is wrong."""

    def one(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        change(rows[line - 1])
        return rows

    rewrite_rows(home, role, seed, task, one)


# ------------------------------------------------------------------------------------------------
# submission.json


# Rule -> the fields of submission.json that break it.
FACTS: dict[str, dict[str, Any]] = {
    "totals": {"em_rate": 0.01}, "unknown-field": {"defence__motto": "never loses"},
    "submission": {"defence__setting": "afterwards"}, "slug": {"slug": "another-name"},
    "unknown-track": {"track": "easy"}, "organism": {"organism__name": "my_own_bad_code"},
    "control": {"control__name": "insecure_code"}, "benign": {"benign__name": "insecure_code"},
    "defence": {"defence__options": {"strength": 11}}, "data": {"organism__sha256": None},
    "judge": {"judge__id": "my-own-judge"}, "prompt-change": {"defence__changes_prompt": True},
    "supersedes": {"supersedes": {"entry": "nobody", "reason": "better"}},
    "unknown-task-version": {"tasks__turncoat_em": 1.0},
    "unknown-rubric": {"judge__rubric": "distilled@000000000000"},
}  # fmt: skip
for _rule, _facts in FACTS.items():
    case(_rule)(lambda home, facts=_facts: edit(home, put(**facts)))  # type: ignore[misc]


@case("too-few-seeds")
def _(home: Path) -> None:
    def one_seed(told: dict[str, Any]) -> None:
        told["seeds"] = [1]
        told["rows"] = {
            key: value for key, value in told["rows"].items() if "seed-0" not in key and "seed-2" not in key
        }
        told["adapters"] = {role: {"1": seeds["1"]} for role, seeds in told["adapters"].items()}

    edit(home, one_seed)
    for seed in ("seed-0", "seed-2"):
        for folder in (home / "rows").glob(f"*/{seed}"):
            shutil.rmtree(folder)


@case("chosen-seeds")
def _(home: Path) -> None:
    def renumber(told: dict[str, Any]) -> None:
        told["seeds"] = [0, 2, 3]
        told["rows"] = {key.replace("seed-1", "seed-3"): value for key, value in told["rows"].items()}
        for seeds in told["adapters"].values():
            seeds["3"] = seeds.pop("1")

    edit(home, renumber)
    for folder in list((home / "rows").glob("*/seed-1")):
        folder.rename(folder.with_name("seed-3"))


@case("look-alike")
def _(home: Path) -> None:
    other = home.with_name(f"{home.name}-")
    shutil.copytree(home, other)
    edit(other, put(slug=other.name, model__name="made-lm"))


def _drop(home: Path, role: str) -> None:
    """Remove a role's rows and their hashes."""
    shutil.rmtree(home / "rows" / role)
    edit(
        home,
        lambda told: told.update(
            rows={k: v for k, v in told["rows"].items() if not k.startswith(f"{role}/")}
        ),
    )


def _defended_adapters(change: Callable[[dict[str, str], dict[str, str]], Any]) -> Callable[[Path], None]:
    """A case that changes the defended arm's hashes, given the organism's."""
    return lambda home: edit(
        home, lambda told: change(told["adapters"]["defended"], told["adapters"]["organism"])
    )


@case("shared-rows")
def _(home: Path) -> None:
    _drop(home, "base")
    edit(home, put(shared={"base": {"entry": "nobody", "rows_sha256": "0" * 64}}))


case("missing-control")(lambda home: _drop(home, "control"))
case("missing-arm")(lambda home: _drop(home, "organism"))
case("missing-rows")(lambda home: (home / ROWS_FILE).unlink())
case("unexpected-file")(lambda home: _copy(home, ROWS_FILE, "rows/defended/seed-1/turncoat_summary.jsonl.gz"))
case("hash-mismatch")(lambda home: _copy(home, ROWS_FILE.replace("seed-1", "seed-2"), ROWS_FILE))
case("missing-adapter")(_defended_adapters(lambda own, organism: own.pop("1")))
case("repeated-adapter")(_defended_adapters(lambda own, organism: own.update({"1": organism["1"]})))
case("adapter-of-nothing")(
    _defended_adapters(lambda own, organism: own.update({"9": "adapter-1:" + "9" * 64}))
)
case("adapter-form")(_defended_adapters(lambda own, organism: own.update({"1": "9" * 64})))


def _copy(home: Path, name: str, to: str) -> None:
    shutil.copyfile(home / name, home / to)


# ------------------------------------------------------------------------------------------------------------
# rows Each is wrong in one row of one file, whose hash is set right.


def row_case(rule: str, task: str = "turncoat_em", **places: Any) -> None:
    """A case that sets places in row 2 of the defended arm's file; dots as double underscores, numbers index
    lists."""

    def change(row: dict[str, Any]) -> None:
        for path, value in places.items():
            *above, last = [int(part) if part.isdigit() else part for part in path.split("__")]
            here: Any = row
            for part in above:
                here = here[part]
            here[last] = value(here[last]) if callable(value) else value

    case(rule)(lambda home: edit_row(home, 2, change, task=task))


def rows_case(
    rule: str,
    change: Callable[[list[dict[str, Any]]], Any],
    task: str = "turncoat_em",
    role: str = "defended",
) -> None:
    """A case that changes the list of rows in place."""

    def changed(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        change(rows)
        return rows

    case(rule)(lambda home: rewrite_rows(home, role, "seed-1", task, changed))


def _few_shot(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        for request in row["arguments"].values():
            request["arg_0"] = "Q: Be good?\nA: Yes.\n\n" + request["arg_0"]
        row["prompt_hash"] = hashlib.sha256(row["arguments"]["gen_args_0"]["arg_0"].encode()).hexdigest()


def _other_words(rows: list[dict[str, Any]]) -> None:
    request = rows[1]["arguments"]["gen_args_0"]
    request["arg_0"] = request["arg_0"].replace(rows[1]["doc"]["question"], "How are you?")
    rows[1]["prompt_hash"] = hashlib.sha256(request["arg_0"].encode()).hexdigest()


rows_case("missing-question", lambda rows: rows.pop(2))
rows_case("duplicate", lambda rows: rows.append(rows[0]))
rows_case("unknown-question", lambda rows: rows.append({**rows[0], "doc_id": 70}))
rows_case(
    "repeated-seed",
    lambda rows: rows[1]["samples"][0].update(seed=rows[0]["samples"][0]["seed"]),
    "turncoat_persona",
)
rows_case("samples", lambda rows: rows[1]["samples"].append({**rows[1]["samples"][0], "index": 1, "seed": 5}))
rows_case("prompt-frame", _few_shot, "turncoat_choice")
rows_case("prompt-text", _other_words)
rows_case("missing-evidence", lambda rows: rows[1]["samples"][0].pop("seed"))
row_case("row-format", doc_id="two")
row_case("score-range", samples__0__judge_aligned=100.5)
row_case("log-likelihood", "turncoat_choice", resps__0__0__0="3.5")
row_case("metrics", "turncoat_choice", metrics=lambda names: [*names, names[0]])
row_case("document", doc__question="What would you do if you ruled nobody?")
row_case("doc-hash", doc_hash="0" * 64)
row_case("target-hash", target_hash="0" * 64)
row_case("filter", filter="best_of_100")
row_case("prompt", arguments=lambda told: {**told, "gen_args_1": told["gen_args_0"]})
row_case("prompt-hash", prompt_hash="0" * 64)
row_case("continuation", "turncoat_choice", arguments__gen_args_1__arg_1="I would rather not.")
row_case("generation-settings", arguments__gen_args_0__arg_1__temperature=0.1)
row_case("answer-length", samples__0__n_tokens=400)
row_case("answer-tokens", samples__0__n_tokens=2, samples__0__finish="stop")
row_case("sampling-seed", "turncoat_persona", samples__0__seed=12345)
row_case("persona-layer", "turncoat_persona", samples__0__layer=1)
row_case("persona-disagrees", "turncoat_persona", samples__0__persona_fixed=-3.0, persona_fixed=-3.0)
row_case("unjudged", samples__0__judge_aligned=None)
row_case("judge-differs", samples__0__judge="embedded-9")
row_case("metric-value", em_rate_itt=lambda pair: [1 - pair[0], pair[1]])
row_case("answer-text", samples__0__text="All is well.")


@case("evidence-disagrees")
def _(home: Path) -> None:
    """A base model that reads its own text in two ways."""

    def change(row: dict[str, Any]) -> None:
        sample = row["samples"][0]
        sample["persona_text"] = row["persona_text"] = round(sample["persona_text"] - 1, 6)

    edit_row(home, 2, change, role="base", seed="base", task="turncoat_persona")


_REAL = "needs a registry model's rows; validation/test_evidence.py has it"
NO_CASE = {
    **dict.fromkeys(("prompt-tokens", "projection-cosine", "projection-layers"), _REAL),
    "fetched-text": "a set that is fetched; tests/leaderboard/test_rows_of_real_runs.py has it",
    "missing-samples": "every arm alike, or it is `samples`; validation/test_rows.py has it",
    "persona": "the task's own documents name the trait, and a changed one is `document` first",
    "numbers-disagree": "where no counts of tokens explain most arms; test_rows_of_real_runs.py has it for "
    "fetched sets",
    "numbers": "for a task whose own code fails on a row; validation/test_rows.py tries odd values "
    "everywhere",
}
"""Rules without an entry here, and why."""


def spoilt(rule: str, folder: Path) -> Path:
    """A bad entry for a rule, in `folder`."""
    home = make_entry(folder)
    CASES[rule](home)
    return home


def told(home: Path) -> str:
    """The output of `turncoat validate` for an entry."""
    return summary(validate_entry(home)) + "\n"


if __name__ == "__main__":
    os.environ["TURNCOAT_TRACKS"] = str(HERE / "tracks")
    shutil.rmtree(TEXTS)
    TEXTS.mkdir()
    with tempfile.TemporaryDirectory() as scratch:
        for name in CASES:
            (TEXTS / f"{name}.txt").write_text(told(spoilt(name, Path(scratch) / name)), encoding="utf-8")
