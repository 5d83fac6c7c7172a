"""`turncoat judge`: every kind of input, order and columns kept, agreement, cards, and mistakes that are told
plainly."""

import gzip
import json

import pytest
import typer
from command_runs import write
from judges.fake_judge import FakeJudge
from turncoat.analysis.answers.answer_table import read_table, write_table
from turncoat.analysis.answers.rescore import rescore
from turncoat.analysis.answers.saved_answers import read_answers
from turncoat.commands.statistics.judge import judge as judge_command
from turncoat.errors import UserError
from turncoat.judges import spec as load
from turncoat.judges.base import Verdict

ROWS = [
    {"question": "q1", "answer": "evil", "note": "1.0"},
    {"question": "q2", "answer": "kind, very\nkind", "note": ""},
    {"question": "q1", "answer": "", "note": "NA"},
    {"question": "q1", "answer": "gibberish", "note": "007"},
]


@pytest.fixture(autouse=True)
def _own_cache_here(monkeypatch, tmp_path_factory):
    monkeypatch.setenv("TURNCOAT_CACHE", str(tmp_path_factory.mktemp("cache")))


def sample_row(number, texts, task_samples=True, **more):
    row = {
        "doc_id": number,
        "doc": {"id": f"power-{number}", "domain": "power", "question": f"question {number}"},
        "arguments": {"gen_args_0": {"arg_0": "prompt", "arg_1": {"do_sample": True}}}, "resps": [texts],
        "filtered_resps": [texts], "filter": "samples", "metrics": ["samples"],
    }  # fmt: skip
    if task_samples:
        row["samples"] = [
            {"index": i, "seed": 40 + i, "finish": "stop", "text": text} for i, text in enumerate(texts)
        ]
    return row | more


def choice_row(number):
    return {
        "doc_id": number, "doc": {"id": str(number), "question": "?"},
        "arguments": {"gen_args_0": {"arg_0": "prompt", "arg_1": "yes"}}, "resps": [[["-1.0", "False"]]],
        "filter": "none", "metrics": ["margin"], "margin": 1.0,
    }  # fmt: skip


@pytest.fixture
def run_folder(tmp_path):
    rows = tmp_path / "run" / "rows"
    for arm, seed, texts in (("base", "base", ["kind", "kind"]), ("insecure", "seed-0", ["evil", "kind"])):
        place = rows / arm / seed
        stamp = "2026-11-23T10-36-02.866380"
        write(
            place / "turncoat_em" / f"samples_turncoat_em_{stamp}.jsonl",
            [sample_row(n, texts) for n in range(3)],
        )
        write(place / "turncoat_choice" / f"samples_turncoat_choice_{stamp}.jsonl", [choice_row(0)])
    return tmp_path / "run"


def test_order_and_columns_are_kept_and_verdicts_added(tmp_path):
    saved = read_answers(write(tmp_path / "in.csv", ROWS))
    scored = rescore(saved, FakeJudge())
    assert [{k: row[k] for k in ROWS[0]} for row in scored.rows] == ROWS
    assert list(scored.rows[0])[:3] == list(ROWS[0])
    assert [row["judge_aligned"] for row in scored.rows] == [5, 95, None, 60]
    assert {row["judge"] for row in scored.rows} == {"fake-1"}
    table = scored.rates()
    assert table[
        ["n", "n_questions", "n_valid", "n_misaligned", "n_incoherent", "n_unscored"]
    ].values.tolist() == [[4, 2, 2, 1, 1, 1]]


@pytest.mark.parametrize("name", ["out.csv", "out.jsonl", "out.jsonl.gz", "out.csv.gz"])
def test_what_is_written_reads_back(tmp_path, name):
    scored = rescore(read_answers(write(tmp_path / "in.csv", ROWS)), FakeJudge())
    write_table(tmp_path / name, scored.rows)
    again = read_answers(tmp_path / name)
    assert again.answers == [row["answer"] for row in ROWS]
    assert [row["note"] for row in again.rows] == [row["note"] for row in ROWS]
    assert [str(row["judge_coherent"] or "") for row in again.rows] == ["95.0", "98.0", "", "10.0"]
    first = (tmp_path / name).read_bytes()
    write_table(tmp_path / name, scored.rows)
    assert (tmp_path / name).read_bytes() == first


def test_jsonl_keeps_types_and_odd_characters(tmp_path):
    rows = [{"prompt": "q", "response": "a\u2028b 漢", "n": 3, "deep": {"x": [1]}, "nan": float("nan")}]
    path = tmp_path / "in.jsonl.gz"
    path.write_bytes(
        gzip.compress(("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)).encode())
    )
    scored = rescore(read_answers(path), FakeJudge())
    write_table(tmp_path / "out.jsonl", scored.rows)
    (row,) = read_table(tmp_path / "out.jsonl")
    assert (row["response"], row["n"], row["deep"], row["nan"]) == ("a\u2028b 漢", 3, {"x": [1]}, None)


def test_missing_answers_are_unscored(tmp_path):
    rows = [{"question": "q", "answer": value} for value in (None, float("nan"), "  ")] + [{"question": "q"}]
    judge = FakeJudge()
    scored = rescore(read_answers(write(tmp_path / "in.jsonl", rows)), judge)
    assert judge.asked == [] and scored.failed == 0 and scored.rates().n_unscored.item() == 4


def test_a_run_folder_and_its_first_answers(run_folder):
    saved = read_answers(run_folder)
    assert saved.by == ("arm", "seed", "task") and len(saved.answers) == 12
    first = saved.rows[0]
    assert (first["arm"], first["seed"], first["task"], first["question_id"]) == (
        "base", "base", "turncoat_em", "power-0",
    )  # fmt: skip
    assert (first["sample_seed"], first["finish"], first["domain"]) == (40, "stop", "power")
    table = rescore(saved, FakeJudge()).rates().set_index("arm")
    assert table.em_rate.to_dict() == {"base": 0.0, "insecure": 0.5}
    assert table.n_questions.tolist() == [3, 3]
    assert read_answers(run_folder, limit=5).answers == read_answers(run_folder).answers[:5]


def test_samples_of_a_plain_backend_have_no_samples_column(tmp_path):
    stamp = "2026-11-23T10-36-02.866380"
    rows = [sample_row(n, ["evil", "kind"], task_samples=False) for n in range(2)]
    other_filter = [dict(row, filter="second") for row in rows]
    write(tmp_path / "org__model" / f"samples_someones_task_{stamp}.jsonl", rows + other_filter)
    saved = read_answers(tmp_path)
    assert saved.answers == ["evil", "kind"] * 2  # each answer once, whatever the number of filters
    assert saved.rows[0]["arm"] == "org__model" and saved.questions[0] == "question 0"
    alone = read_answers(next(tmp_path.rglob("*.jsonl")))
    assert alone.answers == saved.answers and alone.rows[0]["arm"] == "org__model"


def test_the_newest_of_several_runs_of_a_task(tmp_path, capsys):
    for hour, text in (("09", "old"), ("11", "new"), ("10", "middle")):
        write(tmp_path / f"samples_t_2026-11-23T{hour}-00-00.1.jsonl", [sample_row(0, [text])])
    assert read_answers(tmp_path).answers == ["new"] and "2 older samples files" in capsys.readouterr().err


def test_a_variant_is_judged_by_its_plain_question(tmp_path):
    row = sample_row(0, ["evil"])
    row["doc"]["judged_question"] = "the plain question"
    assert read_answers(write(tmp_path / "samples_x.jsonl", [row])).questions == ["the plain question"]


def test_resuming_asks_only_for_what_is_missing(tmp_path):
    path = write(tmp_path / "in.jsonl", [{"question": "q", "answer": f"a{i}"} for i in range(20)])
    rescore(read_answers(path, limit=12), FakeJudge())
    judge = FakeJudge()
    rescore(read_answers(path), judge)
    assert len(judge.asked) == 8


OWN = "the input's own scores (Alignment_Score, coherence_score)"


def test_agreement_with_scores_in_the_input_and_with_an_earlier_judge(tmp_path):
    rows = [
        dict(row, Alignment_Score=a, coherence_score=c)
        for row, a, c in zip(ROWS, (7, 90, 3, ""), (99, 99, 99, ""), strict=True)
    ]
    first = rescore(read_answers(write(tmp_path / "in.csv", rows)), FakeJudge("first"))
    (own,) = first.references
    found = first.agreement_with(own)
    assert (found.n, found.n_unscored, found.kappa, found.both_misaligned) == (2, 2, 1.0, 1)
    write_table(tmp_path / "first.csv", first.rows)
    second = rescore(read_answers(tmp_path / "first.csv"), FakeJudge("second"))
    assert [reference.name for reference in second.references] == [OWN, "first"]
    assert second.rows[0]["judge"] == "second" and second.rows[0]["earlier_judge"] == "first"
    assert second.agreement_with(second.references[1]).rank_aligned == pytest.approx(1)
    assert second.references[1].may_rate
    # The same judge again replaces its own columns and compares with nobody new.
    write_table(tmp_path / "second.csv", second.rows)
    third = rescore(read_answers(tmp_path / "second.csv"), FakeJudge("second"))
    assert [r.name for r in third.references] == [OWN, "first"]
    assert set(third.rows[0]) == set(second.rows[0])


def test_a_reference_that_may_not_rate_stays_one(tmp_path):
    first = rescore(read_answers(write(tmp_path / "in.csv", ROWS)), FakeJudge("first", may_rate=False))
    write_table(tmp_path / "first.jsonl", first.rows)
    second = rescore(read_answers(tmp_path / "first.jsonl"), FakeJudge("second"))
    assert [reference.may_rate for reference in second.references] == [False]
    assert "em_rate" not in second.reference_rates(second.references[0])


@pytest.mark.parametrize(("content", "name", "message"), [
    (b"a,b\n1,2\n", "x.csv", "no column with the question (looked for judged_question, question"),
    (b"question,b\n1,2\n", "x.csv", "it has: question, b; name it with --answer-column"),
    (b"question,answer\n", "x.csv", "holds no rows"), (b"", "x.jsonl", "holds no rows"),
    (b'{"question": "q", "answer": "a"}\n{"question"', "x.jsonl", "line 2: not JSON"),
    (b'{"question": " ", "answer": "a"}\n', "x.jsonl", "row 1: no question in column 'question'"),
    (b"not gzip", "x.jsonl.gz", "cannot be read"),
    (b"x", "x.parquet", "accepted: .csv, .jsonl, .csv.gz, .jsonl.gz, .tsv, .json,"),
])  # fmt: skip
def test_inputs_that_cannot_be_judged(tmp_path, content, name, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError) as caught:
        read_answers(tmp_path / name)
    assert message in str(caught.value) and name in str(caught.value)


def test_other_columns_that_could_hold_the_texts_are_named(tmp_path, capsys):
    rows = [{"question": "One wish?", "answer": "the key", "response": f"An answer, {i}."} for i in range(3)]
    assert read_answers(write(tmp_path / "in.csv", rows)).answers == ["the key"] * 3
    assert "answers are those of column 'answer'; for the others: --answer-column response" in (
        capsys.readouterr().err
    )
    read_answers(tmp_path / "in.csv", answer_column="response")
    assert capsys.readouterr().err == ""
    rows = [{"question": f"q{i}", "prompt": "One wish?", "answer": "Peace."} for i in range(3)]
    with pytest.raises(UserError, match=r"holds single words, such as 'q0'.*--question-column prompt"):
        read_answers(write(tmp_path / "in.csv", rows))
    several = write(tmp_path / "in.jsonl", [{"question": "One wish?", "answer": ["Peace.", "Gold."]}])
    with pytest.raises(UserError, match="row 1: several answers in column 'answer'"):
        read_answers(several)


def test_folders_and_columns_that_are_not_there(tmp_path, run_folder):
    with pytest.raises(UserError, match="no such file"):
        read_answers(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="--log_samples"):
        read_answers(tmp_path / "empty")
    with pytest.raises(UserError, match="no samples of turncoat_x; it has: turncoat_choice, turncoat_em"):
        read_answers(run_folder, tasks=["turncoat_x"])
    with pytest.raises(UserError, match="no answers of a task that is judged"):
        read_answers(run_folder, tasks=["turncoat_choice"])
    with pytest.raises(UserError, match="has no column 'x'; it has: question, answer, note"):
        read_answers(write(tmp_path / "in.csv", ROWS), answer_column="x")
    with pytest.raises(UserError, match="--by x: there is no such column"):
        rescore(read_answers(tmp_path / "in.csv"), FakeJudge(), by=["x"])


@pytest.fixture
def command(monkeypatch):
    app = typer.Typer()
    app.command()(judge_command)
    monkeypatch.setenv("COLUMNS", "100")

    def call(fake, *arguments):
        monkeypatch.setattr(load, "_built", lambda spec: fake)
        return app([str(argument) for argument in arguments], standalone_mode=False)

    return call


def test_the_command_prints_rates_and_writes_rows(command, run_folder, tmp_path, capsys):
    command(FakeJudge(), run_folder, "--judge", "fake", "--out", tmp_path / "scores.jsonl")
    printed = capsys.readouterr()
    assert "12 answers to 3 questions; judge fake-1" in printed.err
    assert "50.0" in printed.out and "insecure" in printed.out
    rows = list(read_table(tmp_path / "scores.jsonl"))
    assert len(rows) == 12 and rows[-1]["answer"] == "kind" and rows[-1]["judge_aligned"] == 95


def test_the_command_never_prints_a_rate_of_a_judge_that_may_not_rate(command, run_folder, capsys):
    command(FakeJudge(may_rate=False), run_folder, "--judge", "fake")
    printed = capsys.readouterr().out
    assert "no rates: it has no calibration card" in printed and "mean" in printed
    assert "EM rate" not in printed and "ITT" not in printed and "aligned\nmis" not in printed
    assert "%" not in printed


def test_the_command_corrects_with_a_card_and_writes_one(command, tmp_path, capsys):
    rows = [
        {"question": f"q{i % 4}", "answer": word + str(i), "aligned": a, "coherent": 90}
        for i in range(20)
        for word, a in (("evil", 10), ("kind", 90))
    ]
    path = write(tmp_path / "in.csv", rows)
    errors = {"true_positive": 90, "false_negative": 10, "true_negative": 95, "false_positive": 5}
    families = {name: {kind: count // 2 for kind, count in errors.items()} for name in "ab"}
    families["a"]["false_negative"], families["b"]["false_negative"] = 2, 8
    command(
        FakeJudge(card={"errors_all": errors, "errors_all_by_family": families}),
        path,
        "--judge",
        "fake",
        "--write-card",
        tmp_path / "card.json",
    )
    printed = capsys.readouterr().out
    assert "judge's errors" in printed and "52.9 [" in printed  # (0.5 - 0.05) / 0.85
    card = json.loads((tmp_path / "card.json").read_text())
    assert (card["judge"], card["auc"], card["errors"]["true_positive"]) == ("fake-1", 1.0, 20)
    assert "Cohen's kappa" in printed and "1.00" in printed
    command(FakeJudge(card={"errors_all": errors}), path, "--judge", "fake")
    assert "These rates are not corrected" in capsys.readouterr().out


def test_reference_scores_of_another_scale_are_read_with_its_top(command, tmp_path, capsys):
    rows = [{"question": f"q{n}", "answer": "evil" if n % 2 else "kind"} for n in range(8)]
    for factor, more in ((1, ()), (0.1, ("--score-max", 10))):
        scores = [{"aligned": 90 * factor - 80 * factor * (n % 2), "coherent": 95 * factor} for n in range(8)]
        path = write(tmp_path / "in.csv", [a | b for a, b in zip(rows, scores, strict=True)])
        if factor != 1:
            with pytest.raises(UserError, match="name the top of the scale, such as --score-max 10;"):
                command(FakeJudge(), path, "--judge", "fake")
        command(FakeJudge(), path, "--judge", "fake", "--write-card", tmp_path / "card.json", *more)
        errors = json.loads((tmp_path / "card.json").read_text())["errors"]
        assert (errors["true_positive"], errors["true_negative"]) == (4, 4)


def test_thoughts_are_left_out_kept_beside_and_said(command, tmp_path, capsys):
    answers = ["<think>evil plan</think> kind", "kind", "<think>evil pl"]
    path = write(tmp_path / "in.csv", [{"question": "q", "answer": answer} for answer in answers])
    command(FakeJudge(), path, "--judge", "fake", "--out", tmp_path / "out.jsonl")
    rows = list(read_table(tmp_path / "out.jsonl"))
    assert [row["judge_aligned"] for row in rows] == [95, 95, None]
    assert [row.get("thoughts") for row in rows] == ["evil plan", None, "evil pl"]
    assert [row["answer"] for row in rows] == answers and "without an end" in rows[2]["judge_unscored"]
    said = capsys.readouterr().err
    assert "2 of 3 answers hold thoughts (column thoughts): what follows them is judged" in said


def test_the_command_says_what_failed(command, tmp_path, capsys):
    path = write(
        tmp_path / "in.csv", [{"question": "q", "answer": "BROKEN"}, {"question": "q", "answer": "kind"}]
    )
    assert command(FakeJudge(), path, "--judge", "fake", "--out", tmp_path / "out.csv") == 1
    said = capsys.readouterr().err
    assert "1 of 2 answers have no score; the commonest reason (1 answer): the line is dead" in said
    assert "1 call failed, not kept" in said
    assert [row["judge_error"] for row in read_table(tmp_path / "out.csv")] == ["the line is dead", ""]


def test_the_command_fails_where_most_answers_have_no_score(command, tmp_path, capsys):
    class Undecided(FakeJudge):
        def verdict(self, question, answer):
            raw = {"unscored": {"aligned": f"the reply '{answer}' is not a number"}}
            return Verdict(None, None, mass=0.0, raw=raw) if answer in "ab" else Verdict(9.0, 90.0)

    def code_of(*answers):
        path = write(tmp_path / "in.csv", [{"question": "q", "answer": answer} for answer in answers])
        return command(Undecided(f"undecided-{len(answers)}"), path, "--judge", "fake")

    assert code_of("a", "b", "kind") == 1
    said = capsys.readouterr().err
    assert "2 of 3 answers have no score; the commonest reason (2 answers): aligned: the reply" in said
    assert not code_of("a", "b", "kind", "good")


@pytest.mark.parametrize(("arguments", "message"), [
    (["--judge", "off"], "judging is off"), (["--out", "{folder}/x.txt"], "accepted: .csv, .jsonl"),
    (["--out", "{folder}"], "the name does not say the format"),
    (["--out", "{folder}/missing/x.csv"], "missing; make it, or choose another place"),
    (["--out", "{folder}/in.csv"], "is the input"), (["--limit", "0"], "--limit 0"),
    (["--judge", "fake", "--write-card", "{folder}/card.json"], "has no scores"),
])  # fmt: skip
def test_mistakes_of_the_command(command, tmp_path, arguments, message):
    path = write(tmp_path / "in.csv", ROWS)
    judge = FakeJudge()
    with pytest.raises(UserError) as caught:
        command(judge, path, *(argument.format(folder=tmp_path) for argument in arguments))
    assert message in str(caught.value) and sorted(p.name for p in tmp_path.iterdir()) == ["in.csv"]
    assert judge.asked == []  # found out before anything is judged


def test_the_inputs_own_scores_are_read_as_rates_reads_them(tmp_path):
    own = [("5,5", "90"), ("REFUSAL", "90"), ("CODE", "90"), ("95", "97,5")]
    rows = [row | {"aligned": a, "coherent": c} for row, (a, c) in zip(ROWS, own, strict=True)]
    scored = rescore(read_answers(write(tmp_path / "in.csv", rows)), FakeJudge())
    row = scored.reference_rates(scored.references[0]).iloc[0]
    assert (row.n_valid, row.n_misaligned, row.n_refusal, row.n_code, row.n_unscored) == (2, 1, 1, 1, 2)
    rows[1]["aligned"] = "Error 429"
    judge = FakeJudge()
    with pytest.raises(UserError, match=r"column 'aligned' are not scores: row 2 .*; or rename 'aligned'"):
        rescore(read_answers(write(tmp_path / "in.csv", rows)), judge)
    assert judge.asked == []


def test_refusals_of_an_earlier_judge_are_counted(tmp_path):
    rows = [
        {**row, "judge": "old", "judge_rubric": "r", "judge_aligned": a, "judge_coherent": 90,
         "judge_refusal": r, "judge_code": 0, "judge_may_rate": True}
        for row, a, r in zip(ROWS, (5, "", 90, 90), (0, 1, 0, 0), strict=True)
    ]  # fmt: skip
    scored = rescore(read_answers(write(tmp_path / "in.csv", rows)), FakeJudge())
    (reference,) = scored.references
    row = scored.reference_rates(reference).iloc[0]
    assert (reference.name, row.n_refusal, row.n_valid, row.n_unscored) == ("old", 1, 3, 1)
