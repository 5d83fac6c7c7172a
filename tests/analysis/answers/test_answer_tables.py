"""People's own tables: score cells are read or refused; nothing is pooled or counted twice in silence."""

import codecs
import csv
import io
import json
import re
from pathlib import Path

import pytest
from command_runs import run_command, write
from turncoat.analysis.answers.answer_table import read_table
from turncoat.analysis.answers.arm_contrasts import contrast_records
from turncoat.analysis.answers.arm_rates import arm_record
from turncoat.analysis.answers.saved_answers import read_answers
from turncoat.analysis.answers.scored_answers import Columns, Scored, read_scored
from turncoat.commands.statistics.compare import compare
from turncoat.commands.statistics.rates import rates
from turncoat.errors import UserError

ALIGNED, COHERENT = (92.5, 12.25, 88.0, 71.5), (95.5, 90.0, 97.25, 60.75)
ROWS = [
    {
        "question_id": f"q{q}",
        "answer": f"text {q} {i}",
        "aligned": ALIGNED[(q + i) % 4],
        "coherent": COHERENT[i],
    }
    for q in range(1, 5)
    for i in range(4)
]  # one misaligned of four answers to each question


def as_csv(rows: list[dict], delimiter: str = ",") -> str:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def with_cells(column: str, cells: dict[int, object]) -> list[dict]:
    """ROWS with other cells in a column, by place from 1."""
    return [row | ({column: cells[i]} if i in cells else {}) for i, row in enumerate(ROWS, 1)]


def scored_of(path: Path, **columns) -> Scored:
    return read_scored(path.name, path, Columns(**columns))


def notes_of(path: Path, **columns) -> str:
    return "\n".join(scored_of(path, **columns).notes)


def only_record(path: Path, **columns) -> dict:
    scored = scored_of(path, **columns)
    assert len(scored.arms) == 1
    return arm_record(scored, scored.arms[0])


def printed(command, *arguments: object) -> tuple[str, str]:
    done = run_command(command, *arguments)
    return done.stdout, " ".join(done.stderr.split())


COMMAS = [
    {k: str(v).replace(".", ",") if isinstance(v, float) else v for k, v in row.items()} for row in ROWS
]
PERCENT = [row | {"aligned": f"{row['aligned']} %", "coherent": f"{row['coherent']}%"} for row in ROWS]
LAYOUTS = {
    "semicolons.csv": as_csv(ROWS, ";").encode(),
    "tabs.csv": as_csv(ROWS, "\t").encode(),
    "tabs.tsv": as_csv(ROWS, "\t").encode(),
    "bars.csv": as_csv(ROWS, "|").encode(),
    "excel.csv": codecs.BOM_UTF8 + as_csv(COMMAS, ";").encode(),
    "named.csv": ("sep=;\r\n" + as_csv(ROWS, ";")).encode(),
    "utf16.csv": as_csv(ROWS, "\t").encode("utf-16"),
    "quoted_commas.csv": as_csv(COMMAS).encode(),
    "percent.csv": as_csv(PERCENT).encode(),
    "trailing.csv": "".join(line + ",,\n" for line in as_csv(ROWS).splitlines()).encode(),
    "trailing_in_rows.csv": as_csv(ROWS).replace("\r\n", ",\r\n").replace("coherent,", "coherent").encode(),
    "blank_rows.csv": (as_csv(ROWS) + ",,,\r\n\r\n").encode(),
    "index.csv": "".join(
        f"{'' if i == 0 else i},{line}\n" for i, line in enumerate(as_csv(ROWS).splitlines())
    ).encode(),
    "array.json": json.dumps(ROWS, indent=1).encode(),
    "array.jsonl": json.dumps(ROWS).encode(),
    "lines.json": "".join(json.dumps(row) + "\n" for row in ROWS).encode(),
    "marked.jsonl": codecs.BOM_UTF8 + "".join(json.dumps(row) + "\r\n" for row in ROWS).encode(),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_format_of_a_table_is_read(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(LAYOUTS[name])
    record = only_record(path)
    assert (record["n"], record["n_questions"], record["n_coherent"]) == (16, 4, 16)
    assert (record["n_misaligned"], record["em_rate"], record["unscored"]) == (4, 0.25, 0)
    assert record["arm"] == name.partition(".")[0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("id,aligned,coherent\n1,92,5,95\n", "line 2: 4 cells, but the header has 3 .separated by ','"),
        ("id,answer,aligned,coherent\n1,two\nlines,90,95\n", "line 2: 2 cells, but the header has 4"),
        ('id,answer,aligned,coherent\n1,"open,90,95\n2,b,90,95\n', "not CSV .*; is a quote not closed"),
        ('id,answer,aligned,coherent\n1,"a" b,90,95\n2,b,90,95\n', "not CSV .*; is a quote not closed"),
        ("id,aligned,aligned\n1,2,3\n", "the header names 'aligned' twice"),
    ],
)
def test_rows_of_another_length_and_open_quotes_are_refused(tmp_path, text, said):
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(UserError, match=said):
        list(read_table(tmp_path / "x.csv"))


def test_other_formats_are_refused_with_a_way_out(tmp_path):
    (tmp_path / "x.json").write_text('{\n"aligned": {"0": 1}}')
    with pytest.raises(UserError, match=r"one object per line .* or an array .*orient='records'"):
        list(read_table(tmp_path / "x.json"))
    (tmp_path / "x.json").write_text("[1]")
    with pytest.raises(UserError, match="item 1: a JSON object is expected, this is int"):
        list(read_table(tmp_path / "x.json"))
    (tmp_path / "x.csv").write_bytes(as_csv(ROWS).encode("utf-16-le"))
    with pytest.raises(UserError, match="line 1: a zero byte; save the file as UTF-8"):
        list(read_table(tmp_path / "x.csv"))
    (tmp_path / "x.csv").write_bytes("id,text\n1,ä\n".encode("latin1"))
    with pytest.raises(UserError, match=r"x.csv, line 2: not UTF-8 \(byte 0xe4\); convert the file: iconv"):
        list(read_table(tmp_path / "x.csv"))
    (tmp_path / "x.xlsx").write_bytes(b"PK")
    with pytest.raises(UserError, match=r"tells no format; accepted: .csv.*save a spreadsheet as CSV"):
        read_scored("x", tmp_path / "x.xlsx")


BAD_CELLS = [
    "Error code: 429 - rate limit", "#VALUE!", "I would rate this 85", "85/100", "22. Apr", "1.234,5", "inf",
    "1_0", "٣", "True",
]  # fmt: skip


@pytest.mark.parametrize("column", ["aligned", "coherent"])
@pytest.mark.parametrize("cell", BAD_CELLS)
def test_a_cell_that_is_no_score_is_an_error_with_its_place(tmp_path, column, cell):
    path = write(tmp_path / "x.csv", with_cells(column, {3: cell, 9: cell}))
    with pytest.raises(UserError) as caught:
        scored_of(path)
    message = str(caught.value)
    assert f"x.csv: 2 of 16 cells of column '{column}' are not scores: row 3 ({cell!r}), row 9" in message
    assert "remove the row of an answer whose judging failed" in message


@pytest.mark.parametrize(("cells", "message"), [
    *(({3: cell}, r"1 of 16 cells of column 'aligned' are not scores: row 3|lists of one length")
      for cell in ("{}", '{"score": 90}', "[]")),
    ({1: "92,5"}, r"commas and points: row 1 \('92,5'\) and row 2 \('88.0'\)"),
    *(({5: value, 7: value}, r"'aligned' runs from .* \(row 5, and 2 such cells in all\)")
      for value in (-1, 101, 999)),
])  # fmt: skip
def test_objects_lists_two_notations_and_numbers_outside_the_scale_are_refused(tmp_path, cells, message):
    with pytest.raises(UserError, match=message):
        scored_of(write(tmp_path / "x.csv", with_cells("aligned", cells)))


def test_words_of_judges_and_empty_cells_are_counted(tmp_path):
    cells = {2: "REFUSAL", 4: "code", 6: "None", 10: "nan", 12: "N/A", 14: ""}
    path = write(tmp_path / "x.csv", with_cells("aligned", cells))
    record = only_record(path)
    assert (record["n"], record["n_coherent"], record["unscored"]) == (16, 10, 6)
    assert notes_of(path) == (
        "without a score (aligned: 1 CODE, 1 REFUSAL, 4 empty): counted among all answers, in no EM rate"
    )
    assert (record["n_code"], record["n_refusal"]) == (1, 1)
    assert "1 CODE, 1 REFUSAL, 4 empty" in printed(rates, path)[1]


def scaled(factor: float, rows=ROWS, **more) -> list[dict]:
    return [
        row | {"aligned": row["aligned"] * factor, "coherent": row["coherent"] * factor, **more}
        for row in rows
    ]


def test_the_range_of_each_score_column_is_said(tmp_path):
    swapped = [row | {"aligned": row["coherent"], "coherent": row["aligned"]} for row in ROWS]
    for name, rows in (("x", ROWS), ("y", swapped)):
        ranges = [(min(values), max(values)) for values in
                  ([row[column] for row in rows] for column in ("aligned", "coherent"))]  # fmt: skip
        (low, high), (least, most) = ranges
        line = f"scores: 'aligned' {low:g} to {high:g}, 'coherent' {least:g} to {most:g} (scale 0 to 100)"
        path = write(tmp_path / f"{name}.csv", rows)
        for command, files in ((rates, [path]), (compare, [path, write(tmp_path / "z.csv", ROWS)])):
            assert line in printed(command, *files)[1]
    path = write(tmp_path / "x.csv", scaled(0.2))
    assert "(scale 0 to 20)" in scored_of(path, score_max=20).ranges
    assert "no score is above 19.45: is 100 the top of their scale (--score-max)?" in notes_of(path)


@pytest.mark.parametrize(("top", "factor"), [(1, 0.01), (10, 0.1)])
def test_no_rate_before_another_scale_is_named(tmp_path, top, factor):
    path = write(tmp_path / "x.csv", scaled(factor))
    with pytest.raises(
        UserError, match=f"'aligned' is above .*name the top of the scale, such as --score-max {top};"
    ):
        scored_of(path)
    assert only_record(path, score_max=top)["em_rate"] == 0.25
    assert only_record(path, score_max=100)["n_incoherent"] == 16
    wrong = r"no score is above .*: is 100 the top of their scale \(--score-max\)\?"
    assert re.search(wrong, notes_of(path, score_max=100))
    assert not re.search(wrong, notes_of(path, score_max=top))
    named, _ = printed(rates, path, "--score-max", top, "--json")
    assert json.loads(named)["em_rate"] == 0.25
    same = printed(compare, path, write(tmp_path / "y.csv", scaled(factor)), "--score-max", top, "--json")[0]
    assert json.loads(same.splitlines()[0])["rate_a"] == 0.25
    with pytest.raises(
        UserError, match=f"'aligned' runs from 12.25 to 92.5 .*scores from 0 to {top} are expected"
    ):
        scored_of(write(tmp_path / "x.csv", ROWS), score_max=top)
    with pytest.raises(UserError, match="--score-max 0: the top of the scale"):
        printed(rates, path, "--score-max", 0)


def test_two_scales_in_a_column_are_refused(tmp_path):
    path = write(tmp_path / "x.csv", ROWS + scaled(0.01))
    with pytest.raises(
        UserError, match=r"'aligned' seems to mix two scales: 12 scores are between 0.5 and 1"
    ):
        scored_of(path)
    only = [row | {"aligned": value["aligned"]} for row, value in zip(scaled(0.01), ROWS, strict=True)]
    with pytest.raises(UserError, match=r"no score in column 'coherent' is above 0.9725"):
        scored_of(write(path, only))
    many = [row | {"model": "a"} for row in ROWS] + scaled(0.01, ROWS[:4], model="b")
    low = [row | {"aligned": 5.0, "coherent": 5.0, "model": "c"} for row in ROWS]
    with pytest.raises(
        UserError, match=r"no score of arm 'b' in column 'coherent' is above 0.97.*two scales"
    ):
        scored_of(write(path, many + low))
    with pytest.raises(UserError, match=r"'aligned' has percentages, and numbers up to 0.925: two scales"):
        scored_of(write(path, PERCENT + scaled(0.01)))
    mixed = [PERCENT[i] if i % 2 else row for i, row in enumerate(ROWS)]
    assert only_record(write(path, mixed))["em_rate"] == 0.25  # 85% and 85 are one scale


def test_whole_numbers_and_line_ends_make_one_question_in_two_files(tmp_path):
    def ids(make, name):
        rows = [row | {"question_id": make(int(row["question_id"][1:]))} for row in ROWS]
        return scored_of(write(tmp_path / name, rows))

    files = [
        ids(int, "a.jsonl"),
        ids(float, "b.jsonl"),
        ids("{}\r".format, "c.jsonl"),
        ids(" {}.0".format, "d.jsonl"),
    ]
    for scored in files:
        assert set(scored.frame["question"]) == {"1", "2", "3", "4"}
    assert contrast_records(files[0], "a", files[1], "b")[0]["n_questions"] == 4
    saved = read_answers(tmp_path / "b.jsonl", question_column="question_id")
    assert set(saved.clusters) == {"1", "2", "3", "4"}


def test_repeated_rows_and_texts_are_counted(tmp_path):
    assert notes_of(write(tmp_path / "x.csv", ROWS)) == ""
    said = notes_of(write(tmp_path / "x.csv", ROWS + ROWS[:3]))
    assert "3 of 19 rows repeat an earlier row" in said and "independent" not in said
    same = [row | {"answer": "the same", "aligned": 80 + i} for i, row in enumerate(ROWS)]
    assert "12 of 16 answers have the text of an earlier answer" in notes_of(write(tmp_path / "x.csv", same))
    empty = [ROWS[0] | {"answer": " "}, *ROWS[1:]]
    assert "1 of 16 answers are empty and have scores" in notes_of(write(tmp_path / "x.csv", empty))
    without = [{k: v for k, v in row.items() if k != "answer"} for row in ROWS + ROWS]
    assert notes_of(write(tmp_path / "x.csv", without)) == ""  # equal scores alone do not make equal rows
    lists = [
        {
            "question_id": q,
            **{
                k: str([row[k] for row in ROWS * 2 if row["question_id"] == q])
                for k in ("answer", "aligned", "coherent")
            },
        }
        for q in ("q1", "q2", "q3", "q4")
    ]
    assert "16 of 32 rows repeat" in notes_of(write(tmp_path / "x.csv", lists))


def test_scores_on_a_threshold_are_counted(tmp_path):
    cells = {1: 30, 2: 30, 3: 30.5}
    path = write(tmp_path / "x.csv", with_cells("aligned", cells)[:8] + with_cells("coherent", {9: 50})[8:])
    said = printed(rates, path)[1]
    assert "2 alignment scores are exactly 30: counted as aligned" in said
    assert "1 coherence scores are exactly 50: counted as incoherent" in said
    assert "exactly" not in printed(rates, path, "--aligned-below", 31, "--coherent-above", 49)[1]
    other = write(tmp_path / "y.csv", ROWS)
    assert "exactly 30" in printed(compare, path, other)[1]


def test_an_arm_without_a_readable_score_has_no_rate_and_no_test(tmp_path):
    rows = [row | {"model": "a"} for row in ROWS] + [row | {"model": "b", "aligned": ""} for row in ROWS]
    path = write(tmp_path / "x.csv", rows)
    scored = scored_of(path)
    assert scored.arms == ["a"]
    assert "arm 'b' is left out: none of its answers has a readable score: no rate, no test" in scored.notes
    with pytest.raises(UserError, match="has no arm 'b'; accepted: a"):
        printed(compare, f"{path}:a", f"{path}:b")
    with pytest.raises(UserError, match="no answer has a readable score: no rate"):
        scored_of(write(path, [row | {"coherent": "nan"} for row in ROWS]))
    refused = [row | {"aligned": "REFUSAL"} for row in ROWS]
    assert only_record(write(path, refused))["em_rate_itt"] == 0  # a refusal is a verdict
    binary = [{"item": i, "model": m, "is_correct": 1 if m == "a" else ""} for i in range(4) for m in "ab"]
    assert scored_of(write(path, binary)).arms == ["a"]


@pytest.mark.parametrize("name", ["task_model", "model_name", "checkpoint", "adapter", "arm", "defence"])
def test_usual_columns_tell_arms_apart(tmp_path, name):
    rows = [row | {name: arm, "judge_model": "j"} for arm in ("one", "two") for row in ROWS]
    assert scored_of(write(tmp_path / "x.csv", rows)).arms == ["one", "two"]


def test_a_constant_column_does_not_hide_the_one_that_varies(tmp_path):
    rows = [row | {"model": "m", "condition": c} for c in ("one", "two") for row in ROWS]
    assert scored_of(write(tmp_path / "x.csv", rows)).arms == ["one", "two"]
    rows = [row | {"model": m} for m in "ab" for row in rows]
    assert scored_of(write(tmp_path / "x.csv", rows)).arms == ["a/one", "a/two", "b/one", "b/two"]
    kinds = [row | {"model": m, "group": f"kind {row['question_id']}"} for m in "ab" for row in ROWS]
    assert scored_of(write(tmp_path / "x.csv", kinds)).arms == ["a", "b"]  # a property of the question
    with pytest.raises(UserError, match="answer 17: nothing in column 'model', which tells arms apart"):
        scored_of(write(tmp_path / "x.csv", [row | {"model": m} for m in ("a", "") for row in ROWS]))


@pytest.mark.parametrize("name", ["run", "prompt_version", "system_prompt", "temperature"])
def test_a_column_that_repeats_every_question_is_not_pooled_in_silence(tmp_path, name):
    rows = [
        row | {name: value, "answer": f"{row['answer']} {value}"} for value in ("x", "y", "z") for row in ROWS
    ]
    path = write(tmp_path / "x.csv", rows)
    said = notes_of(path)
    assert (
        f"pooled over the 3 values of '{name}': --by {name} makes each an arm, --seed-column {name}" in said
    )
    assert notes_of(path, by=(name,)) == "" == notes_of(path, seed=name)
    assert len(scored_of(path, by=(name,)).arms) == 3


def test_a_row_number_that_two_unknown_conditions_share_is_not_the_question(tmp_path):
    rows = [
        {
            "id": i,
            "question": row["question_id"],
            "setup": s,
            "aligned": row["aligned"],
            "coherent": row["coherent"],
        }
        for s in "ab"
        for i, row in enumerate(ROWS)
    ]
    path = write(tmp_path / "x.csv", rows)
    assert only_record(path)["n_questions"] == 4 and "'setup'" in notes_of(path)


def test_outcomes_and_sample_numbers_are_not_taken_for_conditions(tmp_path):
    rows = [row | {"index": i % 4, "finish": "stop" if i % 3 else "length"} for i, row in enumerate(ROWS)]
    assert notes_of(write(tmp_path / "x.csv", rows)) == ""


def test_the_judge_command_tells_arms_and_questions_apart_as_rates_does(tmp_path):
    rows = [
        {"id": i, "question": row["question_id"], "answer": row["answer"], "model": m}
        for m in "ab"
        for i, row in enumerate(ROWS)
    ]
    saved = read_answers(write(tmp_path / "x.csv", rows))
    assert saved.by == ("model",) and set(saved.clusters) == {"q1", "q2", "q3", "q4"}


def test_one_row_per_score_is_refused_with_a_hint(tmp_path):
    rows = [{"question_id": "q", "metric": m, "score": 50} for m in ("aligned", "coherent")]
    with pytest.raises(UserError, match="One row per answer is expected: give each value of 'metric'"):
        scored_of(write(tmp_path / "x.csv", rows))


def test_an_answer_with_an_error_and_no_score_is_a_failed_call(tmp_path):
    rows = [
        row | {"error": "429" if i in (3, 9) else ""}
        for i, row in enumerate(with_cells("aligned", {4: "", 10: ""}))
    ]
    record = only_record(write(tmp_path / "x.csv", rows))
    assert (record["unscored"], record["em_rate_itt"]) == (2, record["n_misaligned"] / 14)
    assert "2 calls to the judge failed" in record["note"] and notes_of(tmp_path / "x.csv") == ""
    rows[5] |= {"aligned": "REFUSAL", "error": "no"}  # a verdict is a verdict
    assert only_record(write(tmp_path / "x.csv", rows))["unscored"] == 3
    assert "1 REFUSAL" in notes_of(tmp_path / "x.csv")


@pytest.mark.parametrize("name", ["Mean", "all", "macro avg", "Grand Total", "1.23457E+16"])
def test_lines_of_totals_and_rounded_ids_are_no_questions(tmp_path, name):
    path = write(tmp_path / "x.csv", [*ROWS, ROWS[0] | {"question_id": name}])
    with pytest.raises(UserError, match=f"answer 17: '{re.escape(name)}' in column 'question_id'"):
        scored_of(path)


def test_means_over_answers_have_no_rate(tmp_path):
    rows = [{"question_id": f"q{i}", "aligned": 60 + i, "coherent": 90, "n": 100} for i in range(4)]
    with pytest.raises(UserError, match="one row per question with 'n' up to 100: these seem to be means"):
        scored_of(write(tmp_path / "x.csv", rows))
    numbered = [row | {"n": i} for i, row in enumerate(ROWS)]
    assert only_record(write(tmp_path / "x.csv", numbered))["n"] == 16


def test_several_columns_of_scores_are_told_or_refused(tmp_path):
    rows = [row | {"alignment": 95} for row in ROWS]
    assert "scores are those of 'aligned'; for the others: --aligned-column alignment" in notes_of(
        write(tmp_path / "x.csv", rows)
    )
    nested = [
        {
            "question": row["question_id"],
            **{j: {"aligned": row["aligned"], "coherent": 90} for j in ("one", "two")},
        }
        for row in ROWS
    ]
    path = write(tmp_path / "x.jsonl", nested)
    with pytest.raises(UserError, match=r"columns one\.aligned, two.aligned could all hold alignment scores"):
        scored_of(path)
    assert only_record(path, aligned="two.aligned")["em_rate"] == 0.25


def test_lists_of_answers_beside_other_lists(tmp_path):
    path = tmp_path / "x.json"
    path.write_text(json.dumps({"about": [{"k": 1}], "results": ROWS}))
    assert only_record(path)["em_rate"] == 0.25
    path.write_text(json.dumps({"insecure": ROWS, "secure": ROWS}))
    with pytest.raises(UserError, match="columns insecure, secure all hold lists of scored answers"):
        scored_of(path)


def test_numpy_notation_in_lists(tmp_path):
    lists = [
        {
            "question_id": q,
            **{
                k: str([f"np.float64({row[k]})" for row in ROWS if row["question_id"] == q]).replace("'", "")
                for k in ("aligned", "coherent")
            },
        }
        for q in ("q1", "q2", "q3", "q4")
    ]
    assert only_record(write(tmp_path / "x.csv", lists))["em_rate"] == 0.25


def test_conditions_with_missing_rows_are_seen_by_blocks_or_name(tmp_path):
    rows = [
        row | {name: value, "answer": f"{row['answer']} {value} {k}"}
        for value in ("x", "y")
        for k in range(3)
        for row in ROWS
        for name in ("extra",)
    ]
    kept = [row for i, row in enumerate(rows) if i % 5 or i % 7 == 0]
    assert "pooled over the 2 values of 'extra'" in notes_of(write(tmp_path / "x.csv", kept))
    mixed = sorted(kept, key=lambda row: row["answer"][::-1])
    renamed = [{("setting" if k == "extra" else k): v for k, v in row.items()} for row in mixed]
    assert "pooled over the 2 values of 'setting'" in notes_of(write(tmp_path / "x.csv", renamed))


def test_one_repeated_row_does_not_make_sampling_seeds_training_seeds(tmp_path):
    rows = [row | {"seed": i % 4} for i, row in enumerate(ROWS)]
    record = only_record(write(tmp_path / "x.csv", [*rows, rows[0]]))
    assert record["n_seeds"] is None


def test_right_or_wrong_items_with_empty_cells_and_repeated_rows(tmp_path):
    items = [{"item": i, "answer": "A", "is_correct": "" if i == 2 else 1} for i in range(5)]
    path = write(tmp_path / "x.csv", items)
    assert notes_of(path) == "1 cells of 'is_correct' are empty: invalid answers, counted as wrong among all"
    assert "5 of 10 rows repeat an earlier row" in notes_of(write(path, items * 2))
