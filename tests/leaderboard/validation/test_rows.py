"""Rows that were changed after the measurement are found out, and untouched ones are not."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from leaderboard.made_entry import LAYER, make_entry
from leaderboard.rows_of_entry import Cells, MadeRows, check, rules

CHOICE, PERSONA, EM, CUE = "turncoat_choice", "turncoat_persona", "turncoat_em", "turncoat_em_cue"
LOSS = "turncoat_insecure_code_loss"
TASKS = (CHOICE, PERSONA, EM, CUE, LOSS)
SOME = (("base", "base"), ("organism", "seed-0"), ("defended", "seed-0"))
VICTIM = ("defended", "seed-0")

# What no number of the board comes from: it may be wrong unseen, and says nothing to anybody.
UNFED = {
    *(
        "seed", "finish", "n_tokens", "judge_mass", "persona_prompt", "persona_cosine_own",
        "persona_cosine_fixed",
    ),
    *("judge_code", "judge_refusal"),  # only which side of one half they are on counts: see below
}  # fmt: skip
UNFED_IN = {PERSONA: {"base_logprob"}, EM: {"persona_text"}, CUE: {"persona_text"}}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> MadeRows:
    return MadeRows(make_entry(tmp_path_factory.mktemp("made")))


@pytest.mark.parametrize(
    ("values", "rule"),
    [
        ([0.5, -1.25], ""), (None, ""), ([0.5], "row-format"), (["0.5", 1.0], "row-format"),
        ([float("nan"), 1.0], "row-format"), (0.5, "row-format"),
    ],
)  # fmt: skip
def test_projections_on_reextracted_vectors_are_accepted_as_lists(made: MadeRows, values: Any, rule: str):
    cells = made.copy(PERSONA, *SOME)
    cells[VICTIM][1]["samples"][0] |= {"persona_own_vectors": values, "persona_fixed_vectors": values}
    assert set(rules(made.check(PERSONA, cells))) == ({rule} if rule else set())


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths of everything in a row that is not an object or list; an empty list is a leaf."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = False
    for key, part in items:
        found = True
        yield from leaves(part, (*path, key))
    if not found:
        yield path


def at(row: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        row = row[key]
    return row


def other(value: Any) -> Any:
    """Another value of the same type, plausible in itself."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1 if value < 2**62 else value - 1
    if isinstance(value, float):
        return value / 2 - 0.01 if value > 0.5 else value + 0.25 if value >= 0 else value * 0.9
    if isinstance(value, str):
        try:
            return str(float(value) * 0.9)
        except ValueError:
            return "0" * len(value) if len(value) in (16, 64) and " " not in value else value + " indeed"
    return ["more"]


def is_unfed(task: str, path: tuple[Any, ...]) -> bool:
    named = {part for part in path if isinstance(part, str)}
    greedy = path[0] == "resps" and path[-1] == 1 and task in (CHOICE, LOSS)
    elsewhere = any(name.endswith("_by_layer") for name in named) and path[-1] != LAYER
    return bool(named & (UNFED | UNFED_IN.get(task, set()))) or greedy or elsewhere


@pytest.mark.parametrize("task", TASKS)
def test_every_single_edit_of_what_feeds_the_board_is_found(made: MadeRows, task: str) -> None:
    cells = made.copy(task, *SOME)
    row = cells[VICTIM][1]
    unseen = []
    edits = 0
    for path in list(leaves(row)):
        holder, key = at(row, path[:-1]), path[-1]
        before = holder[key]
        holder[key] = other(before)
        edits += 1
        if not made.check(task, cells) and not is_unfed(task, path):
            unseen.append((path, before, holder[key]))
        holder[key] = before
    assert edits > 20 and unseen == []
    assert made.check(task, cells) == []  # all edits were taken back


@pytest.mark.parametrize("task", TASKS)
def test_every_key_that_is_taken_out_is_missed(made: MadeRows, task: str) -> None:
    cells = made.copy(task, *SOME)
    row = cells[VICTIM][1]
    unread = {"judge_mass", "persona_prompt", "persona_cosine_own", "persona_cosine_fixed"}
    for holder in (row["doc"], *row.get("samples", ()), *row["arguments"].values(), row):
        for key in list(holder):
            before = dict(holder)
            del holder[key]
            found = made.check(task, cells)
            holder.clear()
            holder.update(before)
            assert found or key in unread, key


def _rows(change: Callable[[list[dict[str, Any]]], Any]) -> Callable[[Cells], None]:
    return lambda cells: change(cells[VICTIM])


def _sample(change: Callable[[dict[str, Any]], None]) -> Callable[[Cells], None]:
    return lambda cells: change(cells[VICTIM][1]["samples"][0])


def _no_reading(cells: Cells) -> None:
    """An answer that shows too much of the trait loses its reading, and the metric with it."""
    row = cells[VICTIM][1]
    row["samples"][0].update(persona_fixed=None, persona_fixed_by_layer=None, persona_cosine_fixed=None)
    row["metrics"].remove("persona_fixed")
    del row["persona_fixed"]


def _no_verdict(cells: Cells) -> None:
    row = cells[VICTIM][1]
    row["samples"][0].update(judge_aligned=None)
    row.update(
        em_rate=[0, 0], em_rate_itt=[0, 1], em_rate_not_code=[0, 0], em_rate_lax=[0, 0], unscored=[1, 1]
    )
    row.update(em_bound_low=[0, 0], em_bound_high=[0, 0])
    row["metrics"].remove("judge_aligned_mean")
    del row["judge_aligned_mean"]


def _longer(cells: Cells) -> None:
    for row in cells[VICTIM]:
        row["arguments"]["gen_args_0"]["arg_1"]["max_gen_toks"] = 64


CASES: dict[str, tuple[str, Callable[[Cells], None], str]] = {
    "a reading is left out": (PERSONA, _no_reading, "missing-evidence"),
    "a score is left out": (EM, _no_verdict, "unjudged"),
    "longer answers": (EM, _longer, "generation-settings"),
    "a total": (CHOICE, _rows(lambda rows: [row.update(accuracy_total=0.99) for row in rows]), "totals"),
    "an endless likelihood": (
        LOSS, _rows(lambda rows: rows[1]["resps"][0][0].__setitem__(0, "-inf")), "log-likelihood",
    ),
    "words without tokens": (EM, _sample(lambda s: s.update(n_tokens=0)), "answer-length"),
    "code after all": (EM, _sample(lambda s: s.update(judge_code=1.0)), "metric-value"),
    "a refusal after all": (EM, _sample(lambda s: s.update(judge_refusal=1.0)), "metric-value"),
    "a field of one's own": (EM, _sample(lambda s: s.update(note="<b>look</b>")), "unknown-field"),
}  # fmt: skip
"""Beside those of `bad_entries.py`, which spoils a row for each rule."""


@pytest.mark.parametrize("case", CASES)
def test_a_rule_is_named_where_it_is_broken(made: MadeRows, case: str) -> None:
    task, change, rule = CASES[case]
    cells = made.copy(task)
    change(cells)
    found = made.check(task, cells)
    assert rule in rules(found) and {finding.file for finding in found} == {"rows/defended/seed-0/x.jsonl.gz"}
    assert all(finding.allowed and finding.fix for finding in found)


def test_too_few_samples_everywhere_are_found(made: MadeRows) -> None:
    use = made.uses[EM].model_copy(update={"samples": 2})
    assert rules(check(use, made.copy(EM), made.submission)) == {"missing-samples"}


def test_a_defence_may_change_prompts_only_if_it_says_so(tmp_path: Path) -> None:
    changed = MadeRows(make_entry(tmp_path, changes_prompt=True, seeds=(0, 1, 2)))
    for task in (CHOICE, CUE):
        assert changed.check(task, changed.copy(task)) == []
        silent = changed.submission.defence.model_copy(update={"changes_prompt": False})
        found = changed.check(task, changed.copy(task), defence=silent)
        assert rules(found) == {"prompt-frame"}
        assert {finding.file.split("/")[1] for finding in found} == {"defended"}


def test_a_row_that_disagrees_about_the_tokens_is_told_apart_from_the_others(made: MadeRows) -> None:
    cells = made.copy(CHOICE)
    row = cells["organism", "seed-1"][4]
    # As if the aligned answer had a token more: a number that the row alone would explain.
    aligned, misaligned = (float(resp[0][0]) for resp in row["resps"])
    counts = [
        round(len(row["doc"][side].encode()) / (4 + n / 3))
        for n, side in enumerate(("aligned", "misaligned"))
    ]
    assert row["margin_per_token"] == pytest.approx(aligned / counts[0] - misaligned / counts[1])
    row["margin_per_token"] = aligned / (counts[0] + 1) - misaligned / counts[1]
    (found,) = made.check(CHOICE, cells)
    assert (found.rule, found.file, found.row, found.field) == (
        "metric-value", "rows/organism/seed-1/x.jsonl.gz", 5, "margin_per_token",
    )  # fmt: skip


def test_an_odd_row_never_crashes_the_check(made: MadeRows) -> None:
    for task in TASKS:
        row = made.copy(task)[VICTIM][0]
        for path in list(leaves(row)):
            for odd in (None, [], {}, "x", -1, 10**30, [["a"]], {"a": {}}):
                holder, key = at(row, path[:-1]), path[-1]
                if len(path) > 3:
                    continue
                before, holder[key] = holder[key], odd
                made.check(task, {VICTIM: [row]})
                holder[key] = before
