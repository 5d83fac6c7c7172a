"""Ranks with ties: what is not told apart shares a place, and nothing but the numbers decides."""

import doctest
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from turncoat.leaderboard.ranking import pooled_errors
from turncoat.leaderboard.ranking.entry_scores import claim, paired
from turncoat.leaderboard.ranking.max_t import adjusted_p, level_of_each
from turncoat.leaderboard.ranking.pooled_errors import LENDING_SEEDS, change_cells, pooled_tests, prior_df
from turncoat.leaderboard.ranking.ranks import Against, Pair, Rank, against_none, compare_all, place, ranks
from turncoat.leaderboard.verification.draw import Tolerances
from turncoat.stats.instrument import with_instrument
from turncoat.stats.paired import Differences
from turncoat.stats.t_errors import largest_skew_p
from turncoat.tools.simulate_ranks import HARMFUL, Setting, former_pairs, outcome, report


def change(
    mean: float, rng: int, *, questions: int = 24, seeds: int = 5, sd: float = 0.1, first_seed: int = 0
) -> Differences:
    """A change of `mean` with noise per question, seed and cell."""
    draw = np.random.default_rng(rng)
    cells = (
        mean
        + draw.normal(0, sd, (questions, 1))
        + draw.normal(0, sd / 4, (1, seeds))
        + draw.normal(0, sd, (questions, seeds))
    )
    table = pd.DataFrame(
        cells, index=[f"q{i}" for i in range(questions)], columns=range(first_seed, first_seed + seeds)
    )
    return Differences(table.mean(axis=1), table, True, seeds, questions, 0, 1.0, [])


def test_ties_share_a_rank_and_better_follows_the_metric():
    one = change(-0.3, 0)
    found = ranks(["a", "b"], compare_all({"a": one, "b": one}), "lower")
    assert found["a"].text == found["b"].text == "1-2"
    changes = {"good": change(-0.8, 1), "fair": change(-0.1, 2), "also": change(-0.1, 3)}
    pairs = compare_all(changes)
    assert ranks(changes, pairs, "lower")["good"].text == "1"
    assert ranks(changes, pairs, "higher")["good"].text == "3"
    assert ranks(changes, pairs, "lower")["fair"].text == ranks(changes, pairs, "lower")["also"].text == "2-3"
    pairs = [
        Pair("a", "b", -1.0, p_adjusted=0.2),  # a and b tie
        Pair("a", "c", -2.0, p_adjusted=0.01),  # a before c
        Pair("b", "c", -1.0, p_adjusted=0.3),  # b and c tie: no grouping
        Pair("a", "d", None, p_adjusted=None),
        Pair("b", "d", -1.0, p_adjusted=0.05),  # at the level is not below it
        Pair("c", "d", 1.0, p_adjusted=0.001),  # d before c
    ]
    found = ranks(["a", "b", "c", "d"], pairs, "lower")
    assert {name: rank.text for name, rank in found.items()} == {
        "a": "1-3", "b": "1-4", "c": "3-4", "d": "1-3",
    }  # fmt: skip


@pytest.mark.parametrize("rng", range(2))
def test_order_of_entries_changes_nothing(rng):
    changes = {f"e{i}": change(-0.1 * i, i) for i in range(5)}
    shuffled = [f"e{i}" for i in np.random.default_rng(rng).permutation(5)]
    other = {name: changes[name] for name in shuffled}
    assert compare_all(changes) == compare_all(other)
    assert ranks(list(changes), compare_all(changes), "lower") == ranks(shuffled, compare_all(other), "lower")


def test_max_t_is_tukeys_for_pairs_and_sidaks_for_independent_contrasts():
    unit = np.eye(5)
    pairs = np.array([unit[a] - unit[b] for a in range(5) for b in range(a)])
    tukey = 2 * stats.norm.sf(stats.studentized_range.ppf(0.95, 5, 1e6) / 2**0.5)
    assert level_of_each(pairs, unit) == pytest.approx(tukey, abs=0.001)
    assert level_of_each(unit, unit) == pytest.approx(1 - 0.95**0.2, abs=0.001)
    assert level_of_each(unit, np.ones((5, 5))) == pytest.approx(0.05, abs=0.005)  # one contrast, five times


def test_adjusted_p_steps_down_and_is_never_below_its_own():
    p = np.array([0.03, 0.001, 0.9, 0.02])
    adjusted = adjusted_p(p, np.eye(4), np.eye(4))
    due = [max(1 - 0.999**4, 0), 1 - 0.98**3, 1 - 0.97**2, 0.9]  # Sidak over those that are left
    assert adjusted[[1, 3, 0, 2]] == pytest.approx(due, abs=0.012) and (adjusted >= p).all()
    found = compare_all({f"e{i}": change(-0.05 * i, i) for i in range(5)})
    ordered = sorted(found, key=lambda pair: pair.p_value)
    assert len(found) == 10 and all(pair.p_adjusted >= pair.p_value for pair in found)
    assert [pair.p_adjusted for pair in ordered] == sorted(pair.p_adjusted for pair in ordered)


def test_without_pooling_the_tests_are_those_of_the_recipe():
    changes = [change(-0.1 * i, i, seeds=3 + i) for i in range(3)]
    tests = pooled_tests([change_cells(one) for one in changes], {})
    for index, one in enumerate(changes):
        due = claim(one)
        assert tests.differences[index] == pytest.approx(due.difference)
        assert tests.p_values[index] == pytest.approx(largest_skew_p(due.difference, due.errors))
        assert tests.differences[index] + tests.half_widths(0.05)[index] == pytest.approx(due.high)


def test_the_vectors_own_error_is_in_every_interval():
    one, remade = change(-0.3, 1, seeds=6), [-0.5, -0.3, -0.1, -0.35]
    due = with_instrument(claim(one), remade)
    tests = pooled_tests([change_cells(one)], {}, again=[remade])
    assert tests.differences[0] + tests.half_widths(0.05)[0] == pytest.approx(due.high)
    assert tests.p_values[0] == pytest.approx(largest_skew_p(due.difference, due.errors))
    both = {"a": one, "b": change(0, 2, seeds=6), "c": change(0, 3, seeds=6)}
    moved = {"a": remade, "b": [value + 0.3 for value in remade], "c": [0.0] * 4}
    widths = [
        (one.high - one.low, two.high - two.low)
        for one, two in zip(
            against_none(both, "lower").values(),
            against_none(both, "lower", again=moved).values(),
            strict=True,
        )
    ]
    assert [wide > narrow for narrow, wide in widths] == [True, True, False]
    # two entries move together with the vector: their difference has nothing of its error
    alone, held = compare_all(both), compare_all(both, again=moved)
    assert [b.p_value > a.p_value for a, b in zip(alone, held, strict=True)] == [False, True, True]


def test_pooling_lends_precision_to_entries_whose_seeds_scatter_alike():
    for seeds in (3, 4, LENDING_SEEDS):  # the seeds of a noisy entry too often lie close together by chance
        ratios = []
        for rng in range(4):
            like = Setting(8, seeds).draw(np.random.default_rng(rng))
            cells = [change_cells(one) for one in like.values()]
            alone, pooled = (pooled_tests(cells, known).half_widths(0.01) for known in ({}, like))
            ratios.append(np.median(pooled / alone))
        assert np.mean(ratios) == 1 if seeds < LENDING_SEEDS else np.mean(ratios) < 0.85
    unlike = np.array([0.001, 0.02, 0.03, 1.0, 40.0])
    assert doctest.testmod(pooled_errors)[0] == 0
    assert prior_df(unlike, 2.0) < 1 and prior_df(np.full(5, 0.02), 2.0) == 6
    assert prior_df(np.array([0.1, 0.2]), 2.0) == prior_df(np.array([0.1, 0.0, 0.1]), 2.0) == 0


def test_an_entry_is_marked_against_no_defence_and_only_seems_so_with_few_seeds():
    changes = {
        "good": change(-0.8, 1, seeds=6),
        "bad": change(0.8, 2, seeds=6),
        "idle": change(0, 3, seeds=6),
    }
    found = against_none(changes, "lower")
    assert {name: one.verdict for name, one in found.items()} == {
        "good": "better", "bad": "worse", "idle": "not shown",
    }  # fmt: skip
    assert found["good"].high < 0 < found["bad"].low and found["idle"].low < 0 < found["idle"].high
    assert against_none(changes, "higher")["bad"].verdict == "better"
    few = {name: change(mean, 1, seeds=5) for name, mean in (("good", -0.8), ("bad", 0.8))}
    assert {one.verdict for one in against_none(few, "lower").values()} == {"seems better", "seems worse"}
    single = {name: one._replace(cells=one.cells[[0, 1]]) for name, one in few.items()}
    assert against_none(single, "lower")["good"] == Against(
        pytest.approx(few["good"].cells[[0, 1]].mean().mean())
    )


def test_a_change_that_a_rerun_cannot_resolve_gets_neither_mark_nor_rank():
    """The organism's rows moved by a constant: an interval of no width, which excludes 0."""
    nudged = {f"e{i}": change(-1e-4 * (1 + i), i, seeds=6, sd=1e-6) for i in range(3)}
    floor = Tolerances().resolved("base SD")
    assert {one.verdict for one in against_none(nudged, "lower").values()} == {"better"}
    assert {one.verdict for one in against_none(nudged, "lower", floor).values()} == {"not shown"}
    assert {pair.p_adjusted for pair in compare_all(nudged, floor)} == {1.0}
    real = nudged | {"real": change(-1.5 * floor, 4, seeds=6, sd=1e-3)}
    found = against_none(real, "lower", floor)["real"]
    assert found.verdict == "better" and found.high < -floor
    places = ranks(real, compare_all(real, floor), "lower")
    assert places["real"].text == "1" and places["e0"].text == "2-4"


def test_the_floor_is_what_verification_lets_pass():
    half, exact = Tolerances(), Tolerances.of_precision("float32")
    assert half.resolved("base SD") == pytest.approx(2 * half.lean * half.projection)
    assert exact.resolved("base SD") == pytest.approx(half.resolved("base SD") / 10)
    assert half.resolved("share", of_judge=True) == pytest.approx(2 * (1 - half.answers))
    assert half.resolved("words") == half.resolved("share") == 0


def test_rows_stand_in_the_order_of_their_worse_ends():
    known, noisy = Against(-0.1, -0.15, -0.05, "better"), Against(-0.5, -1.2, 0.2)
    assert place(Rank(2, 6), known, "lower") < place(Rank(1, 7), noisy, "lower")
    assert place(Rank(1, 7), known, "lower") < place(Rank(1, 7), noisy, "lower")
    assert place(Rank(1, 7), Against(0.5, -0.2, 1.2), "higher") > place(
        Rank(1, 7), Against(0.1, 0.05, 0.15), "higher"
    )
    assert place(Rank(7, 7), None, "lower") < place(None, known, "lower")


def outcomes(setting: Setting, boards: int, rng: int = 1) -> pd.DataFrame:
    draw = np.random.default_rng(rng)
    return pd.DataFrame([outcome(setting.draw(draw)) for _ in range(boards)]).mean()


def test_a_harmful_noisy_entry_stands_below_what_is_better_known():
    found = outcomes(HARMFUL, 20)
    assert found["top_before"] > 0.5 and found["top_after"] <= 0.1 and found["better_after"] == 0


def test_a_crowd_of_weak_entries_does_not_erase_a_leader():
    found = outcomes(Setting(12, 5, first=-0.2), 10)
    assert found["alone_before"] <= 0.2 and found["alone_after"] >= 0.6


def test_equal_entries_are_rarely_told_apart():
    found = outcomes(Setting(4, 3), 40)
    assert (
        max(found["pair_after"], found["mark_after"]) <= 0.15
    )  # 5% of 40 is 2; more than 6 has a chance below 1 in 200


def test_an_entry_with_few_seeds_costs_the_others_no_precision():
    """It would widen the ranks of all that stand above it, were nothing lent for its sake."""
    others = Setting(6, 6).draw(np.random.default_rng(0))
    few = next(iter(Setting(1, 3).draw(np.random.default_rng(1)).values()))
    cells = [change_cells(one) for one in others.values()]
    before = pooled_tests(cells, others)
    after = pooled_tests([*cells, change_cells(few)], others | {"few": few})
    assert after.half_widths(0.05)[:-1] == pytest.approx(before.half_widths(0.05), rel=1e-12)
    alone = pooled_tests([change_cells(few)], {"few": few})
    assert after.half_widths(0.05)[-1] == pytest.approx(alone.half_widths(0.05)[0], rel=1e-12)


@pytest.mark.parametrize("mean", [-0.3, -0.12, -0.06, 0.0])
def test_fewer_seeds_make_no_better_rank(mean):
    """The first three of seven seeds have the same mean and spread: nothing but their number differs."""
    others = {f"e{i}": change(-0.04 * i, i, seeds=7) for i in range(5)}
    seeds = np.array([0.03, -0.03, 0.0, 0.03, -0.03, 0.03, -0.03])
    noise = np.random.default_rng(9).normal(0, 0.1, (24, 1))
    cells = pd.DataFrame(mean + noise + seeds, index=others["e0"].cells.index, columns=range(7))
    found = []
    for number in (7, 3):
        one = others["e0"]._replace(cells=cells[range(number)], by_question=cells[range(number)].mean(axis=1))
        changes = others | {"mine": one._replace(n_seeds=number)}
        against = against_none(changes, "lower")["mine"]
        rank = ranks(list(changes), compare_all(changes), "lower")["mine"]
        found.append((*place(rank, against, "lower"), against.low))
    assert found[1][0] >= found[0][0] and found[1][1] > found[0][1] and found[1][2] < found[0][2]


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind", [{}, {"first_sd": 0.3}, {"spread": 0.7}], ids=["equal", "one-noisy", "log-normal"]
)
def test_familywise_error_of_pairs_and_marks(kind):
    """Four entries of five seeds; `turncoat dev simulate-ranks` has more entries and other seeds."""
    found = outcomes(replace(Setting(4, 5), **kind), 150)
    assert max(found["pair_after"], found["mark_after"]) <= 0.06 + 0.04  # about 2 Monte-Carlo SE


def test_the_report_has_a_row_for_every_board(monkeypatch):
    from turncoat.tools import simulate_ranks

    monkeypatch.setattr(simulate_ranks, "EQUAL", [Setting(3, 3)])
    monkeypatch.setattr(simulate_ranks, "LED", [Setting(4, 5)])
    lines, done = [], []
    lines = report(2, on_progress=lambda: done.append(1))
    assert len(done) == simulate_ranks.n_boards(2) == 10
    first = [line.split("|")[1].strip() for line in lines if line.startswith("| ")]
    assert [cell for cell in first if cell[0].isdigit()] == ["3, 3", "4, 5", "7, 5"]


def test_seeds_are_paired_and_too_few_make_no_test():
    pairs = compare_all({"a": change(-5, 1, seeds=2), "b": change(5, 2, seeds=2)})
    assert pairs[0].p_value is None and pairs[0].half_width is None and pairs[0].difference < -9
    assert ranks(["a", "b"], pairs, "lower")["a"].text == "1-2"
    assert compare_all({"a": change(0, 1)}) == [] and against_none({}, "lower") == {}
    one = change(0.0, 1, seeds=5)
    part = one._replace(cells=one.cells[[2, 3, 4]])
    assert claim(paired(one, part)).difference == 0
    assert paired(one, change(0.0, 1, seeds=3, first_seed=7)).cells.shape[1] == 3
    mixed = compare_all({"a": one, "b": change(-5, 2, seeds=3, first_seed=7), "c": part})
    assert {pair.p_value is None for pair in mixed} == {False, True}  # a and c agree to the last bit
    holed = one._replace(cells=one.cells.mask(one.cells == one.cells.iloc[0, 0]))
    (pair,) = compare_all({"a": holed, "b": change(-5, 2)})
    assert pair.p_adjusted < 0.05
    former = former_pairs({"a": one, "b": change(-5, 2)})
    assert former[0].p_adjusted < 0.05
