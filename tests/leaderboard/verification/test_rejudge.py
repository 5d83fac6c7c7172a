"""The judge that scored finds a score that was changed; another one is compared, not believed."""

from collections.abc import Sequence

import pytest
from leaderboard.entry_files import rewrite_rows
from leaderboard.made_entry import JUDGE, make_entry, shipped_rubric
from turncoat.judges.base import Verdict
from turncoat.leaderboard.entry.load import load_entry
from turncoat.leaderboard.verification.draw import Tolerances, draw
from turncoat.leaderboard.verification.rejudge import judge_again, judged_tasks
from turncoat.leaderboard.verification.verdict import VERIFIED, verdict_of


class Remembers:
    """A judge that gives each answer the scores that it got in a list, moved by so much."""

    card, may_rate = None, True

    def __init__(
        self, known: dict[str, tuple[float, float]], *, rubric: str, move: float = 0.0, sway: bool = False
    ) -> None:
        self.known, self.id, self.rubric, self.move = known, JUDGE, rubric, move
        self.asked: list[str] = []
        self.sway = sway

    def score(self, questions: Sequence[str], answers: Sequence[str], on_done=None) -> list[Verdict]:
        assert all(questions)
        self.asked += answers
        found = [self.known[answer] for answer in answers]
        # To one side or, with `sway`, to both in turn.
        signs = [-1 if self.sway and n % 2 else 1 for n in range(len(found))]
        return [
            Verdict(a + sign * self.move, coherent) for sign, (a, coherent) in zip(signs, found, strict=True)
        ]


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("TURNCOAT_CACHE", str(tmp_path / "cache"))
    return make_entry(tmp_path, slug="none", setting="none")


def scores(home) -> dict[str, tuple[float, float]]:
    entry = load_entry(home)
    return {
        sample["text"]: (sample["judge_aligned"], sample["judge_coherent"])
        for item in draw(entry, 1.0, 0, tasks=judged_tasks(entry))
        for sample in item.row["samples"]
    }


def check(home, judge, fraction=1.0):
    entry = load_entry(home)
    return judge_again(entry, draw(entry, fraction, 7, tasks=judged_tasks(entry)), judge, Tolerances())


def test_the_same_judge_gives_the_same_scores(home):
    judge = Remembers(scores(home), rubric=shipped_rubric(), move=0.9, sway=True)
    found = check(home, judge)
    assert found.same and found.answers == (1 + 2 * 3) * 2 * 6 and set(judge.asked) == set(scores(home))
    assert verdict_of(found.compared, Tolerances()) == VERIFIED


def test_scores_that_are_all_a_little_off_to_one_side_are_not_the_same(home):
    found = check(home, Remembers(scores(home), rubric=shipped_rubric(), move=0.9))
    assert "judge_aligned is -0.9 off on average, always to one side" in verdict_of(
        found.compared, Tolerances()
    )


def test_more_than_a_point_is_another_score(home):
    found = check(home, Remembers(scores(home), rubric=shipped_rubric(), move=1.1))
    assert verdict_of(found.compared, Tolerances()) == f"{found.answers} of the scores differ"


@pytest.mark.parametrize(
    ("change", "fields"),
    [
        ({"judge_aligned": 3.5}, {"samples[0].judge_aligned"}),
        ({"judge_coherent": None}, {"samples[0].judge_coherent"}),
        ({"judge": "another-1"}, {"samples[0].judge"}),
    ],
)
def test_a_changed_score_is_found(home, change, fields):
    judge = Remembers(scores(home), rubric=shipped_rubric())

    def changed(rows):
        rows[3]["samples"][0].update(change)
        return rows

    rewrite_rows(home, "organism", "seed-1", "turncoat_em", changed)
    found = check(home, judge)
    outside = [(item.drawn, d.where) for item in found.compared for d in item.differences if not d.within]
    assert {where for _, where in outside} == fields
    assert {(drawn.role, drawn.seed, drawn.task, drawn.line) for drawn, _ in outside} == {
        ("organism", "seed-1", "turncoat_em", 4)
    }
    assert verdict_of(found.compared, Tolerances()) == "1 of the scores differ"


def test_another_judge_is_compared(home):
    found = check(home, Remembers(scores(home), rubric="another@1", move=-5.0))
    assert not found.same and not found.compared
    assert {(one.role, one.task) for one in found.second} == {
        (role, task)
        for role in ("base", "organism", "control")
        for task in ("turncoat_em", "turncoat_em_cue")
    }
    for one in found.second:
        assert one.agreement.rank_aligned == pytest.approx(1.0) and one.found_rate >= one.stored_rate
