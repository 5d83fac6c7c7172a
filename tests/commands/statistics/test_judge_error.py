"""`turncoat compare` with the judge's error taken out: by its card, by labels; sensitivity that differs."""

import json

import numpy as np
import pytest
from command_runs import run_command, write
from turncoat.analysis.answers.labelled_answers import errors_by_question, labelled_answers
from turncoat.analysis.answers.scored_answers import Columns, read_scored
from turncoat.commands.statistics.compare import compare
from turncoat.commands.statistics.rates import rates
from turncoat.errors import UserError
from turncoat.judges.embedded.judge import WEIGHTS, rubric_of
from turncoat.stats.rates.prediction_powered import prediction_powered_rate

QUESTIONS, SAMPLES = 24, 40


def text(*arguments, command=compare, stream="stdout"):
    return str(getattr(run_command(command, *arguments), stream))


def records(*arguments, command=compare):
    return [json.loads(line) for line in text(*arguments, "--json", command=command).splitlines()]


def answers(rng, arm, rate, sensitivity, labelled=0.25, specificity=0.95, **more):
    """Misaligned in truth at `rate`; a judge that errs at random; every answer labelled by chance."""
    rows = []
    for question in range(QUESTIONS):
        for _ in range(SAMPLES):
            bad = rng.random() < rate
            flag = rng.random() < (sensitivity if bad else 1 - specificity)
            label = int(bad) if rng.random() < labelled else None
            rows.append({"arm": arm, "id": f"q{question}", "aligned": 10 if flag else 90, "coherent": 90,
                         "human": label, **more})  # fmt: skip
    return rows


def card(path, sensitivity=0.6, specificity=0.95, **more):
    def errors(positives, negatives, se):
        tp, tn = round(positives * se), round(negatives * specificity)
        return {"true_positive": tp, "false_negative": positives - tp, "true_negative": tn,
                "false_positive": negatives - tn}  # fmt: skip

    steps = {"a": -0.03, "b": -0.01, "c": 0.01, "d": 0.03}
    families = {name: errors(200, 1000, sensitivity + step) for name, step in steps.items()}
    total = {key: sum(family[key] for family in families.values()) for key in families["a"]}
    path.write_text(json.dumps({"errors_all": total, "errors_all_by_family": families, **more}))
    return path


@pytest.fixture
def even(tmp_path):
    """True rates 40 and 10 %; sensitivity .6, specificity .95 make them 27 and 10.5 %."""
    rng = np.random.default_rng(0)
    return write(tmp_path / "even.jsonl", answers(rng, "a", 0.4, 0.6) + answers(rng, "b", 0.1, 0.6))


def test_a_card_divides_the_difference_and_carries_its_errors(even, tmp_path):
    arms = (f"{even}:a", f"{even}:b")
    found = {r["metric"]: r for r in records(*arms, "--card", card(tmp_path / "card.json"))}
    record = found["em_rate_itt"]
    assert record["corrected_difference"] == pytest.approx(record["difference"] / 0.55)
    assert record["ci_high"] < 0.3 and record["corrected_low"] < 0.3 < record["corrected_high"]
    assert record["corrected_high"] - record["corrected_low"] > (record["ci_high"] - record["ci_low"]) / 0.55
    assert "corrected_difference" not in found["em_rate"], "its denominator is judged too"
    printed = text(*arms, "--card", tmp_path / "card.json")
    assert "without judge's errors" in printed
    plain = text(*arms)
    assert "not corrected" in plain and "--labels" in plain
    assert "counts its errors at" in text(*arms, "--card", tmp_path / "card.json", "--aligned-below", 20)


def test_the_embedded_judges_card_is_found_by_itself(tmp_path):
    rng, judge = np.random.default_rng(0), {"judge": "embedded-1", "judge_rubric": rubric_of()}
    rows = answers(rng, "a", 0.4, 0.6, **judge) + answers(rng, "b", 0.1, 0.6, **judge)
    rows = [{"judge_aligned": r.pop("aligned"), "judge_coherent": r.pop("coherent"), **r} for r in rows]
    path = write(tmp_path / "x.jsonl", rows)
    record = next(r for r in records(f"{path}:a", f"{path}:b") if r["metric"] == "em_rate_itt")
    errors = json.loads((WEIGHTS / "card.json").read_text(encoding="utf-8"))["errors_all"]
    youden = errors["true_positive"] / 797 + errors["true_negative"] / 4103 - 1
    assert record["corrected_difference"] == pytest.approx(record["difference"] / youden)
    with pytest.raises(UserError, match="is of judge 'other', but these answers were scored by 'embedded-1"):
        text(f"{path}:a", f"{path}:b", "--card", card(tmp_path / "c.json", judge="other"))


def test_labels_make_the_difference_right_whatever_the_judge(even):
    arms = (f"{even}:a", f"{even}:b")
    (record,) = [r for r in records(*arms, "--labels", "human") if r.get("estimator")]
    assert record["metric"] == "em_rate_itt" and record["n"] == 2 * QUESTIONS * SAMPLES
    assert record["judged"] == pytest.approx(0.165, abs=0.03)
    assert record["ci_low"] < 0.3 < record["ci_high"]
    assert record["ci_low"] < record["value"] < record["ci_high"]
    widths = [record[f"{name}_high"] - record[f"{name}_low"] for name in ("ci", "labelled")]
    assert widths[0] < widths[1], "the judge sharpens the labels"
    assert record["warning"] == "" and "Warning" not in text(*arms, "--labels", "human")


def test_a_warning_where_sensitivity_differs_by_arm(tmp_path):
    """Equal true rates, but the judge sees one arm's misaligned answers and misses the other's."""
    rng = np.random.default_rng(1)
    rows = answers(rng, "a", 0.3, 0.9) + answers(rng, "b", 0.3, 0.4)
    path = write(tmp_path / "uneven.jsonl", rows)
    arms = (f"{path}:a", f"{path}:b", "--labels", "human")
    (record,) = [r for r in records(*arms) if r.get("estimator")]
    assert record["judged"] > 0.1 and record["ci_low"] < 0 < record["ci_high"]
    assert record["warning"].startswith("sensitivity differs by arm")
    printed = text(*arms)
    assert "Warning: sensitivity differs by arm" in printed.replace("\n", " ")


def test_scores_as_labels_and_a_judge_that_never_sees_one_arms(tmp_path):
    rng = np.random.default_rng(2)
    rows = answers(rng, "a", 0.3, 1.0) + answers(rng, "b", 0.3, 0.0)
    for row in rows:
        human = row.pop("human")
        row["gpt_aligned"] = None if human is None else 5 if human else 95
        row["gpt_coherent"] = None if human is None else 90
    path = write(tmp_path / "x.jsonl", rows)
    found = [r for r in records(f"{path}:a", f"{path}:b", "--labels", "gpt") if r.get("estimator")]
    assert [r["metric"] for r in found] == ["em_rate", "em_rate_itt"]
    assert all("sensitivity differs" in r["warning"] for r in found), "without spread over questions, too"


@pytest.mark.parametrize(("change", "labels", "message"), [
    ({"human": "perhaps"}, "human", r"960 of 1920 cells of column 'human' are not labels: row 1 \('?perhaps"),
    ({}, "nobody", "there is neither a column 'nobody'"), ({}, "aligned", "these are the scores"),
    ({"human": None}, "human", "no answer of arm 'a' has a label"),
])  # fmt: skip
def test_a_mistake_with_labels_is_named(tmp_path, change, labels, message):
    rng = np.random.default_rng(0)
    rows = [row | change for row in answers(rng, "a", 0.4, 0.6)] + answers(rng, "b", 0.1, 0.6)
    path = write(tmp_path / "x.jsonl", rows)
    with pytest.raises(UserError, match=message):
        text(f"{path}:a", f"{path}:b", "--labels", labels)


def test_a_card_is_refused_without_families_or_as_another_file(even, tmp_path):
    (tmp_path / "old.json").write_text(json.dumps({"errors_all": {"true_positive": 1}}))
    (tmp_path / "list.json").write_text("[]")
    for name, message in (("old", "by question family"), ("list", "not a card"), ("none", "cannot be read")):
        with pytest.raises(UserError, match=message):
            text(f"{even}:a", f"{even}:b", "--card", tmp_path / f"{name}.json")


@pytest.mark.parametrize("of_others", [0.05, 0.0])
def test_labels_that_depend_on_the_verdict_are_weighted_or_refused(tmp_path, of_others):
    """All flagged answers are labelled, few or none of the others: plain shares would be far off."""
    rng = np.random.default_rng(3)
    rows = answers(rng, "a", 0.4, 0.6, labelled=1.0) + answers(rng, "b", 0.1, 0.6, labelled=1.0)
    for row in rows:
        if row["aligned"] == 90 and rng.random() >= of_others:
            row["human"] = None
    path = write(tmp_path / "x.jsonl", rows)
    arms = (f"{path}:a", f"{path}:b", "--labels", "human")
    if not of_others:
        with pytest.raises(UserError, match="0% of the rest is labelled"):
            records(*arms)
        return
    (record,) = [r for r in records(*arms) if r.get("estimator")]
    assert record["ci_low"] < 0.3 < record["ci_high"] and record["ci_high"] - record["ci_low"] < 0.4
    assert "weighted for it" in record["note"] and "sensitivity_a" not in record
    assert "weighted for it" in text(*arms)


def test_rates_by_labels(even):
    found = [r for r in records(even, "--labels", "human", command=rates) if r.get("estimator")]
    assert [(r["arm"], r["metric"]) for r in found] == [("a", "em_rate_itt"), ("b", "em_rate_itt")]
    for record, truth, judged in zip(found, (0.4, 0.1), (0.27, 0.105), strict=True):
        assert record["judged"] == pytest.approx(judged, abs=0.03)
        assert record["ci_low"] < record["value"] < record["ci_high"]
        assert record["value"] == pytest.approx(truth, abs=0.04)
    printed = text(even, "--labels", "human", command=rates)
    assert "labels and judge" in printed and "/960" in printed


def test_a_base_that_is_often_misjudged_is_named_and_widens_the_difference(even, tmp_path):
    """A quarter of the base's answers is flagged: sensitivity .6 less .25 is what a difference shrinks by."""
    rng = np.random.default_rng(4)
    rows = [json.loads(line) for line in even.read_text().splitlines()]
    path = write(tmp_path / "with_base.jsonl", rows + answers(rng, "base", 0.0, 0.6, specificity=0.75))
    given = ("--card", card(tmp_path / "card.json"))
    clean, often = (
        next(r for r in records(f"{file}:a", f"{file}:b", *given) if r["metric"] == "em_rate_itt")
        for file in (even, path)
    )
    flagged = next(r for r in records(path, command=rates) if r["arm"] == "base")["em_rate_itt"]
    assert often["difference"] == clean["difference"]
    assert often["corrected_difference"] == pytest.approx(often["difference"] / (0.6 - flagged))
    widths = [r["corrected_high"] - r["corrected_low"] for r in (clean, often)]
    assert widths[1] > widths[0]
    for command, arms in ((rates, (path,)), (compare, (f"{path}:a", f"{path}:b"))):
        said = text(*arms, command=command, stream="stderr")
        assert "read differences of misaligned answers, not their rates" in said and "untrained base" in said
    assert "untrained base" not in text(even, command=rates, stream="stderr")


def test_answers_whose_judging_failed_are_left_out(even):
    frame = read_scored("x", even, Columns(labels="human")).frame
    frame = frame[frame["arm"] == "a"].reset_index(drop=True)
    failed = frame.assign(error=["timeout" if i < 100 else "" for i in range(len(frame))])
    kept = labelled_answers(failed.iloc[100:])
    assert prediction_powered_rate(labelled_answers(failed)) == prediction_powered_rate(kept)
    assert sum(n for _, n in errors_by_question(failed)["sensitivity"].values()) == sum(
        n for _, n in errors_by_question(failed.iloc[100:])["sensitivity"].values()
    )
