"""The draw of rows, the digest that a verification is bound to, and the verdict from compared rows."""

import doctest
import json
import math
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from leaderboard.entry_files import edit, rewrite_rows, shares
from leaderboard.made_entry import make_entry
from scipy import stats
from turncoat.errors import UserError
from turncoat.leaderboard.entry.load import Entry, load_entry
from turncoat.leaderboard.verification import draw as draw_module
from turncoat.leaderboard.verification.compare import compare
from turncoat.leaderboard.verification.draw import (
    Compared,
    Difference,
    SampledRow,
    Tolerances,
    draw,
    draw_seed,
    enough,
    entry_digest,
    new_nonce,
    places_drawn,
)
from turncoat.leaderboard.verification.record import Request, make_record, unseen_nonce, write_record
from turncoat.leaderboard.verification.status import read_trust
from turncoat.leaderboard.verification.verdict import VERIFIED, agreeing_at_least, verdict_of
from turncoat.tools.simulate_verification import FORGERIES, UNCONTRADICTED, report

LIMITS = Tolerances()


@pytest.fixture
def submissions(tmp_path) -> Path:
    make_entry(tmp_path, slug="none", setting="none")
    make_entry(tmp_path, slug="sgtr", shared=dict.fromkeys(("base", "organism", "control"), "none"))
    return tmp_path


def places(drawn: list[SampledRow]) -> set[tuple[str, str, str, int]]:
    return {(item.role, item.seed, item.task, item.line) for item in drawn}


def test_a_draw_is_a_fraction_of_each_stratum_that_the_seed_alone_decides(submissions):
    entry = load_entry(submissions / "sgtr")
    sizes = Counter((role, task) for role, seed, task in entry.cells() for _ in entry.rows(role, seed, task))
    for fraction in (0.01, 0.3, 1.0):
        drawn = draw(entry, fraction, 7)
        found = Counter((item.role, item.task) for item in drawn)
        assert found.keys() == sizes.keys()
        assert all(max(1, fraction * n) <= found[key] <= fraction * n + 1 for key, n in sizes.items())
        assert len(places(drawn)) == len(drawn)
    assert places(draw(entry, 0.2, 7)) == places(draw(entry, 0.2, 7)) != places(draw(entry, 0.2, 8))
    only = places(draw(entry, 0.2, 7, roles=["defended"]))
    assert only == {place for place in places(draw(entry, 0.2, 7)) if place[0] == "defended"}
    entry = load_entry(submissions / "none")
    seen = set().union(*(places(draw(entry, 0.2, seed, roles=["organism"])) for seed in range(60)))
    assert seen == places(draw(entry, 1.0, 0, roles=["organism"]))


@pytest.mark.parametrize(
    ("fraction", "roles", "match"), [(0.0, None, "0 and up to 1"), (1.0, ["organ"], "accepted: base")]
)
def test_a_draw_of_nothing_is_refused(submissions, fraction, roles, match):
    with pytest.raises(UserError, match=match):
        draw(load_entry(submissions / "none"), fraction, 0, roles=roles)


@pytest.mark.parametrize("rows", [1, 20, 120, 160, 480, 1040])
def test_the_default_draw_finds_five_per_cent_of_invented_rows(rows):
    bad = math.ceil(0.05 * rows)
    unseen = [stats.hypergeom.pmf(0, rows, bad, drawn) for drawn in (enough(rows) - 1, enough(rows))]
    assert unseen[1] <= 0.007 < unseen[0]
    here = stats.hypergeom(rows, bad, enough(rows)).pmf(np.arange(bad + 1))
    missed = here @ UNCONTRADICTED ** np.arange(bad + 1)  # answers, of which the replay lets some pass
    assert missed <= 0.01 or rows < 100
    assert doctest.testmod(draw_module)[0] == 0


def test_a_draw_follows_from_the_rows_and_a_nonce_that_is_made_after_them(submissions, tmp_path):
    entry = load_entry(submissions / "sgtr")
    seed = draw_seed(entry, "ab")
    assert seed == draw_seed(entry, "ab") != draw_seed(entry, "ac") and new_nonce() != new_nonce()
    less, more = (places_drawn(100, fraction, seed) for fraction in (0.1, 0.3))
    assert more[:10] == less and len(set(more)) == 30  # a larger draw goes on, it does not begin anew
    write_record(record(entry, "rerun", [row(0)]), tmp_path)
    unseen_nonce("ab", entry, tmp_path)  # to repeat the draw
    rewrite_rows(submissions / "sgtr", "defended", "seed-0", "turncoat_choice", lambda rows: rows[::-1])
    other = load_entry(submissions / "sgtr")
    assert draw_seed(other, "ab") != seed
    with pytest.raises(UserError, match=r"--nonce ab: .*sgtr\.json shows it for other rows"):
        unseen_nonce("ab", other, tmp_path)


def test_earlier_draws_of_the_same_rows_stay_in_the_record(submissions, tmp_path):
    entry = load_entry(submissions / "sgtr")
    for item in (row(0, kind="score", within=False), row(0), row(0)):
        path = write_record(record(entry, "rerun", [item]), tmp_path)
    said = [one["verdict"] for one in json.loads(path.read_text())["earlier"]]
    assert said == ["1 of the scores differ", VERIFIED]
    assert "1 earlier of its draws did not agree" in read_trust(entry, tmp_path).note


def test_forgeries_are_found_by_the_default_draw():
    lines = report(times=20)
    cells = {line.split("|")[1].strip(): line.split("|")[2:-1] for line in lines if line.startswith("| ")}
    assert FORGERIES.keys() < cells.keys()
    for name in ("all projections, by the floor", "all projections, by twice the floor"):
        assert {float(cell) for cell in cells[name]} == {100.0}
    found = [float(cell) for name in FORGERIES if name.startswith("5%") for cell in cells[name]]
    assert min(found[1::2]) >= 85 and np.mean(found[::2]) < np.mean(found[1::2])
    assert max(float(cell) for cell in cells["nothing"][1::2]) <= 15


def test_the_digest_speaks_of_rows_shared_ones_too_and_of_what_they_were_checked_against(submissions):
    def now() -> str:
        return entry_digest(load_entry(submissions / "sgtr"))

    first = now()
    edit(submissions / "sgtr", lambda told: told.update(contact="somebody else"))
    assert now() == first
    edit(submissions / "sgtr", lambda told: told["adapters"]["defended"].update({"0": "f" * 64}))
    assert now() != first
    second = now()
    rewrite_rows(submissions / "sgtr", "defended", "seed-0", "turncoat_choice", lambda rows: rows[::-1])
    assert now() not in (first, second)
    before = now()
    rewrite_rows(submissions / "none", "organism", "seed-0", "turncoat_choice", lambda rows: rows[::-1])
    fresh = shares(submissions, "organism", "none")
    edit(submissions / "sgtr", lambda told: told["shared"].update(organism=fresh))
    assert now() != before


def row(number: int, *, kind: str = "answer", within: bool = True, shift: float | None = None) -> Compared:
    drawn = SampledRow(
        "defended", "seed-0", "turncoat_em", number + 1, {"doc_id": number, "doc": {"id": f"q{number}"}}
    )
    size = 0.0 if within else 1.0
    means = {} if shift is None else {"judge_aligned": (50.0 + number, 50.0 + number + shift)}
    again = "a" if within else "b"
    difference = Difference(kind, "field", "a", again, size, within)  # type: ignore[arg-type]
    return Compared(drawn, (difference,), means)


def test_verdicts_need_every_number_and_nearly_all_answers():
    good = [row(number) for number in range(99)]
    assert verdict_of(good, LIMITS) == VERIFIED
    assert "1 answers do not follow" in verdict_of([*good, row(99, kind="draw", within=False)], LIMITS)
    for kind in ("log_likelihood", "projection", "score", "prompt"):
        assert kind.replace("_", "-") in verdict_of([*good, row(99, kind=kind, within=False)], LIMITS)
    assert verdict_of([row(n, within=n > 1) for n in range(100)], LIMITS) == VERIFIED
    assert "only 97 of 100" in verdict_of([row(n, within=n > 2) for n in range(100)], LIMITS)
    assert verdict_of([row(n, within=n > 0) for n in range(5)], LIMITS) == VERIFIED
    assert "9 questions are too few" in verdict_of(
        [row(n, within=False, shift=0.0) for n in range(9)], LIMITS
    )
    assert verdict_of([], LIMITS) == "nothing could be compared" and agreeing_at_least([]) == 0.0
    # All of n agree: (alpha/2)^(1/n).
    assert agreeing_at_least([row(n) for n in range(20)]) == pytest.approx(0.025 ** (1 / 20))


@pytest.mark.parametrize(
    ("off", "fine"),
    [((0.03, 0.04), False), ((-0.03, -0.04), False), ((0.03, -0.04), True), ((0.0, 0.009), True)],
)
def test_small_differences_that_all_lean_to_one_side_are_no_noise(off, fine):
    def leaning(number: int) -> Compared:
        signed = off[number % 2]
        one = Difference("log_likelihood", "resps[1]", -9.0, -9.0 - signed, abs(signed), True, signed)
        return Compared(row(number).drawn, (one,))

    said = verdict_of([leaning(number) for number in range(20)], LIMITS)
    assert said == VERIFIED if fine else "resps[1] is" in said


@pytest.mark.parametrize(
    ("shift", "fine"), [(0.0, True), (1.5, True), (9.0, False), (-9.0, False), (11.0, False)]
)
def test_other_answers_do_where_their_scores_are_equivalent_and_lean_to_no_side(shift, fine):
    said = verdict_of([row(n, within=False, shift=shift) for n in range(30)], LIMITS)
    assert (said == VERIFIED) == fine


@pytest.mark.parametrize(("unwritten", "fine"), [(0, True), (1, True), (2, False), (30, False)])
def test_readings_of_texts_that_the_base_does_not_write_are_not_verified(unwritten, fine):
    """Stored answers of the base that differ by a word took every reading of them out of the comparison."""
    stored, drawn = {"text": "Yes.", "persona_fixed": -9.0}, row(0).drawn
    compared = []
    for number in range(30):
        one = replace(drawn, row={"doc_id": number, "samples": [stored]})
        wrong, remade = number < unwritten, stored | {"persona_fixed": 0.5 if number < unwritten else -9.0}
        same = {(drawn.task, number, 0): not wrong}
        compared.append(compare(one, {"samples": [remade]}, LIMITS, base_same=same))
    assert (verdict_of(compared, LIMITS) == VERIFIED) == fine


@pytest.mark.parametrize(("stored", "fine"), [(None, 1), ([-9.0, -8.8], 1), ([-9.0, -2.0], 0), ([-9.0], 0)])
def test_readings_on_re_extracted_vectors_are_compared(stored, fine):
    """Spread as one likes, they hid that an entry is worse."""
    fresh = {"text": "Yes.", "persona_fixed": -9.0, "persona_fixed_vectors": [-9.0, -8.8]}
    drawn = replace(row(0).drawn, row={"doc_id": 0, "samples": [fresh | {"persona_fixed_vectors": stored}]})
    assert (verdict_of([compare(drawn, {"samples": [fresh]}, LIMITS)], LIMITS) == VERIFIED) == bool(fine)


def record(entry: Entry, how: str, compared: list[Compared]) -> dict:
    request = Request(fraction=0.1, nonce="ab", by="us", date="2026-01-31")
    return make_record(entry, how, compared, request, LIMITS, more={})  # type: ignore[arg-type]


def test_the_board_believes_a_record_of_these_very_rows(submissions, tmp_path):
    entry, out = load_entry(submissions / "sgtr"), tmp_path / "verifications"
    assert read_trust(entry, out).level == "self-reported"
    write_record(record(entry, "rerun", [row(0)]), out)
    assert read_trust(entry, out).level == "verified"
    assert "us" in read_trust(entry, out).note and "2026-01-31" in read_trust(entry, out).note
    # Scores judged again say less: the re-run stays.
    assert write_record(record(entry, "rejudge", [row(0)]), out) is None
    assert read_trust(entry, out).level == "verified"
    rewrite_rows(submissions / "sgtr", "defended", "seed-0", "turncoat_choice", lambda rows: rows[::-1])
    assert read_trust(load_entry(submissions / "sgtr"), out).level == "self-reported"


def test_a_failed_check_takes_the_trust_away(submissions, tmp_path):
    entry, out = load_entry(submissions / "sgtr"), tmp_path / "verifications"
    write_record(record(entry, "rerun", [row(0)]), out)
    path = write_record(record(entry, "rejudge", [row(0, kind="score", within=False)]), out)
    assert path is not None and read_trust(entry, out).level == "self-reported"
    told = json.loads(path.read_text())
    assert told["differences"] == [
        {
            "file": "rows/defended/seed-0/turncoat_em.jsonl.gz", "row": 1, "field": "field", "stored": '"a"',
            "found": '"b"',
        }
    ]  # fmt: skip
    assert [item.name for item in out.iterdir()] == ["sgtr.json"]


@pytest.mark.parametrize(
    ("stored", "found", "within"), [(-8.74, -8.68, True), (-8.74, -8.54, False), (-1.06, -1.0, False)]
)
def test_an_improbable_text_may_differ_by_a_share_of_its_log_likelihood(stored, found, within):
    from turncoat.leaderboard.verification.compare import number_difference

    told = Tolerances()
    one = number_difference("log_likelihood", "x", stored, found, told.log_likelihood, relative=told.relative)
    assert one is not None and one.within is within
