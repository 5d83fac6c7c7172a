"""The board: changes and ranks from rows, flags with reasons, canaries caught, and nobody's entry moved by
another's."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from leaderboard.board_entries import maintain, write
from leaderboard.entry_files import edit, facts_of, read_rows, shares, write_rows
from turncoat.errors import UserError
from turncoat.leaderboard.board.build import Board, Built, Row, build_board, build_boards, canaries_caught
from turncoat.leaderboard.board.files import markdown, table_csv
from turncoat.leaderboard.board.payload import payload
from turncoat.leaderboard.canaries.listed import check_canary, is_canary, read_canaries
from turncoat.leaderboard.entry.load import load_entry
from turncoat.leaderboard.entry.maintainers import PROJECT, Maintainers, records_beside
from turncoat.leaderboard.ranking import gates as gates_module
from turncoat.leaderboard.ranking.flags import Candidate, candidate
from turncoat.leaderboard.reading.findings import EntryRefused, Finding
from turncoat.leaderboard.validation import validate
from turncoat.leaderboard.verification.draw import entry_digest
from turncoat.leaderboard.verification.status import Trust, read_trust
from turncoat.stats.t_errors import TError

NONE = "none"
PROJECT_BOARD = "tiny/made/insecure_code"
STRANGER = "4711"


def board_of(folder: Path, *slugs: str, authors: dict[str, str] | None = None, **facts: object) -> Board:
    """The board of some entries of a folder, in the order given; the project's but for those in `authors`."""
    names = slugs or sorted(path.name for path in folder.iterdir())
    told = {"references": {PROJECT_BOARD: {"entry": NONE, "reason": "it is ours"}}, **facts}
    ours = Maintainers(authors=dict.fromkeys(names, PROJECT) | (authors or {}), **told)
    return build_board((_candidate(folder / name) for name in names), ours)


def _candidate(folder: Path, _known: dict[str, Candidate] = {}) -> Candidate:  # noqa: B006
    """An entry as the board reads it; the same entry in another folder is not read again."""
    entry = load_entry(folder)
    key = entry.submission.model_dump_json() + entry_digest(entry)
    if key not in _known:
        _known[key] = candidate(entry, Trust("self-reported", ""))
    records = records_beside(folder)
    listed = is_canary(entry, read_canaries(records))
    return replace(_known[key], trust=read_trust(entry, records), is_canary=listed)


def row(board: Board, slug: str) -> Row:
    return next(row for row in board.rows if row.slug == slug)


def flags(board: Board, slug: str) -> list[str]:
    return [flag.name for flag in row(board, slug).flags]


@pytest.fixture(scope="module")
def entries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An undefended organism, a defence that helps, one that does little."""
    folder = tmp_path_factory.mktemp("board") / "submissions"
    write(folder, NONE)
    write(folder, "good", effect=0.1, shared=NONE)
    write(folder, "little", effect=0.9, shared=NONE, benign=False)
    return folder


@pytest.fixture
def more(entries, tmp_path) -> Path:
    """The same folder, to add entries to."""
    folder = tmp_path / "submissions"
    shutil.copytree(entries, folder)
    return folder


def test_cells_and_ranks_of_three_entries(entries):
    found = board_of(entries)
    cell = row(found, "good").cells["persona_fixed"]
    assert found.ranked_by.key == "persona_fixed"
    assert cell.value == pytest.approx(-0.9 * 0.8, abs=0.08) and cell.low < cell.value < cell.high < 0
    assert cell.value == pytest.approx(cell.level - row(found, NONE).cells["persona_fixed"].level)
    assert row(found, "good").cells["narrow_kept"].value == pytest.approx(0.95, abs=0.07)
    assert row(found, "good").cells["benign_kept"].low is not None
    assert row(found, "little").cells["benign_kept"].value is None
    cell = row(board_of(entries), NONE).cells["persona_fixed"]
    assert (cell.value, cell.low, cell.is_reference) == (0, None, True)
    assert cell.shift == pytest.approx(0.8, abs=0.1) and cell.over_control == pytest.approx(0.72, abs=0.1)
    assert next((row.slug, row.flags) for row in found.rows) == ("good", ())
    assert row(found, "good").rank.text == "1"
    assert row(found, "little").rank.text == "2" and row(found, "good").against.verdict == "seems better"
    assert row(found, "good").against.high < 0 and len(found.pairs) == 1
    undefended = row(found, NONE)  # stands for comparison, below what is ranked
    assert (undefended.rank, undefended.against, undefended.kind) == (None, None, "reference")
    assert [one.slug for one in found.rows] == ["good", "little", NONE]
    one, other = board_of(entries, NONE, "good", "little"), board_of(entries, "little", "good", NONE)
    assert [(r.slug, r.rank, r.cells, r.flags) for r in one.rows] == [
        (r.slug, r.rank, r.cells, r.flags) for r in other.rows
    ]
    assert one.note == other.note and one.pairs == other.pairs


def test_the_organisms_rows_moved_by_a_constant_get_no_mark(more):
    home = write(more, "nudged", shared=NONE, copy="organism")
    for path in home.glob("rows/defended/*/turncoat_persona.jsonl.gz"):
        rows = read_rows(path)
        write_rows(path, (one | {"persona_fixed": round(one["persona_fixed"] - 1e-4, 6)} for one in rows))
    found = board_of(more)
    against = row(found, "nudged").against
    assert against is None or against.verdict == "not shown"
    assert any("counts as none" in sentence for sentence in found.note)


def test_the_persona_vectors_error_is_held_where_the_rows_have_it_and_said_where_not(more):
    before = board_of(more)
    assert any("2 of 2 entries" in sentence and "this one vector" in sentence for sentence in before.note)
    for path in more.glob("*/rows/*/*/turncoat_persona.jsonl.gz"):
        rows = read_rows(path)
        for one in rows:
            vectors = [one["persona_fixed"] * (1 + k / 10) for k in range(5)]
            one["samples"][0] |= {"persona_fixed_vectors": vectors}
        write_rows(path, rows)
    for path in more.glob("*/submission.json"):
        edit(path.parent, lambda told: told.update(shared={r: shares(more, r, NONE) for r in told["shared"]}))
    after = board_of(more)
    assert not any("this one vector" in sentence for sentence in after.note)
    for slug in ("good", "little"):
        narrow, wide = (row(found, slug).cells["persona_fixed"] for found in (before, after))
        spread = abs(wide.value) * np.std([k / 10 for k in range(5)], ddof=1)
        assert wide.value == narrow.value and wide.change.instrument.se == pytest.approx(spread)
        assert wide.high - wide.low >= narrow.high - narrow.low
        assert row(after, slug).against.high >= row(before, slug).against.high
    assert row(after, "good").against.high > row(before, "good").against.high


def test_a_canary_is_flagged_for_what_it_is_and_moves_nobody(more, entries):
    write(more, "canary-empty", effect=0.0, shared=NONE, answer=lambda seed, i: "")
    before, after = board_of(entries), board_of(more)
    assert "empty answers" in flags(after, "canary-empty")
    assert canaries_caught(after) == [] and row(after, "canary-empty").rank is None
    assert outcome(after, *(old.slug for old in before.rows)) == outcome(before)
    assert all(old.cells == row(after, old.slug).cells for old in before.rows)


def test_a_canary_that_would_win_is_told_and_one_that_comes_last_is_not(more):
    write(more, "canary-clever", effect=0.0, shared=NONE)
    write(more, "canary-last", effect=1.6, shared=NONE)
    assert canaries_caught(board_of(more)) == ["canary-clever"]


def test_a_canary_is_what_the_list_says_and_a_name_makes_none(more):
    home = write(more, "canary-empty", shared=NONE, answer=lambda seed, i: "")
    listed = read_canaries(records_beside(home))
    stranger = load_entry(write(more.parent / "elsewhere", "canary-mine", effect=0.1))
    (finding,) = check_canary(stranger, listed)
    assert (finding.rule, finding.value) == ("canary", '"canary-mine"') and "canary-empty" in finding.allowed
    assert not is_canary(stranger, listed) and list(check_canary(load_entry(home), listed)) == []
    (path,) = (home / "rows/defended/seed-0").glob("turncoat_persona*")
    _shift(path, 0.1)
    (finding,) = check_canary(load_entry(home), listed)
    assert finding.rule == "canary" and "make the canary again" in finding.fix
    assert row(board_of(more), "canary-empty").kind == "entry"


def test_rows_of_a_canary_are_copies_in_anybodys_entry(more):
    write(more, "canary-clever", effect=0.0, shared=NONE)
    write(more, "clever", effect=0.0, shared=NONE, draws="canary-clever")
    found = board_of(more, authors={"clever": STRANGER})
    assert "copied rows" in flags(found, "clever") and flags(found, "canary-clever") == []


def test_an_entry_that_is_flagged_has_no_rank_and_costs_the_others_no_test(more):
    write(more, "lazy", effect=0.0, kept=0.1, shared=NONE)
    found = board_of(more)
    assert flags(found, "lazy") == ["does not learn"] and row(found, "lazy").rank is None
    assert len(found.pairs) == 1 and row(found, "lazy").against is None


def test_lost_coherence_is_flagged_beyond_what_is_allowed(more):
    write(more, "broken", effect=0.0, coherence=-30.0, shared=NONE)
    write(more, "rough", effect=0.0, coherence=-4.0, shared=NONE)
    found = board_of(more)
    assert flags(found, "broken") == ["loses coherence"] * 2 and flags(found, "rough") == []


def test_an_entry_is_ranked_once_it_is_shown_to_keep_its_coherence(more):
    write(more, "a", effect=0.0, scatter=50.0, shared=NONE)
    found = board_of(more)
    scant = row(found, "a")
    assert flags(found, "a") == [] and scant.rank is None and scant.against is not None
    assert {gate.name for gate in scant.unshown} == {"coherence not shown"}
    (why, *_), (needed, *_) = (
        [getattr(gate, name) for gate in scant.unshown] for name in ("why", "questions")
    )
    assert "at worst" in why and "a loss of 10 is not excluded (16 questions, 3 training seeds; about" in why
    assert needed > 16
    assert any("1 of 3 entries is not shown to do so" in sentence for sentence in found.note)
    folder = more.parent / "larger"
    write(folder, NONE, questions=4 * needed)
    write(folder, "a", effect=0.0, scatter=50.0, shared=NONE, questions=4 * needed)
    assert row(board_of(folder), "a").rank.text == "1"


def test_too_little_learnt_is_a_flag_only_where_that_is_shown(more):
    write(more, "half", effect=0.0, kept=0.5, shared=NONE)
    found = board_of(more)
    assert flags(found, "half") == [] and row(found, "half").rank is None
    (gate,) = [gate for gate in row(found, "half").unshown if gate.name == "learning not shown"]
    assert "0.5 is the least" in gate.why


def test_files_say_what_is_not_shown(more):
    write(more, "half", effect=0.0, kept=0.5, shared=NONE)
    built = Built((board_of(more),), {})
    text, table = markdown(built), table_csv(built.boards)
    assert "### Not ranked: a requirement is not shown" in text and "**learning not shown**" in text
    assert "| seems better |" in text and "Two families of tests, each at 5%" in text
    assert '"learning not shown"' in table and '"seems better"' in table


def test_files_say_what_a_defence_changes_in_the_prompt(more):
    write(more, "said", effect=0.1, setting="inference", shared=NONE)
    known = {slug: _candidate(more / slug) for slug in (NONE, "said", "good")}
    known["said"] = replace(known["said"], prompt='adds "Be | <b>kind."')
    built = Built((build_board(known.values()),), {})
    text = markdown(built)
    assert "| inference, changes the prompt |" in text and "### Changed prompts" in text
    section = text.split("### Changed prompts")[1]
    assert "kind." in section and "<b>" not in section and "good" not in section
    assert {line.split(",")[6] for line in table_csv(built.boards).splitlines() if '"good"' in line} == {'""'}
    assert '"adds ""Be | <b>kind."""' in table_csv(built.boards)


def test_rows_of_another_entry_are_flagged_but_not_those_of_the_verified_one(more):
    write(more, "thief", effect=0.1, shared=NONE, draws="good")
    assert "copied rows" in flags(board_of(more), "thief")
    copied = board_of(more, authors={"thief": STRANGER})  # the project's run is not in doubt for it
    assert flags(copied, "thief") == ["copied rows"] and row(copied, "good").rank.text == "1"
    entry = load_entry(more / "good")
    _verify(more, "good", entry_digest(entry))
    found = board_of(more)
    assert flags(found, "thief") == ["copied rows"] and flags(found, "good") == []
    assert row(found, "good").trust.level == "verified"


def test_an_organism_of_ones_own_must_be_the_boards(more):
    write(more, "own", effect=0.1, recipe={"rows": 6000})
    assert "other conditions" in flags(board_of(more), "own")


def test_the_level_of_another_organism_is_shared_by_the_trusted_entries_that_bring_one(more, monkeypatch):
    """At 1 % each, honest entries of a board of a hundred would be flagged."""
    write(more, "own", effect=0.1, organism_of="own")
    tested = SimpleNamespace(difference=0.2, p_value=0.006, errors=[TError(0.1, 9)], n_seeds=3, seed_sd=0.1)
    monkeypatch.setattr(gates_module, "claim", lambda differences: tested)
    assert "another organism" in flags(board_of(more, NONE, "own"), "own")
    for slug in ("crowd-a", "crowd-b"):
        write(more, slug, effect=0.1, organism_of=slug)
    assert "another organism" not in flags(board_of(more, NONE, "own", "crowd-a"), "own")
    strangers = dict.fromkeys(("crowd-a", "crowd-b"), STRANGER)
    assert "another organism" in flags(board_of(more, authors=strangers), "own")


def test_an_organism_of_ones_own_is_shown_to_be_the_boards_or_verified(more):
    """No difference found is not enough: three noisy seeds find none."""
    write(more, "alike", effect=0.1, organism_of="alike")
    assert row(board_of(more, NONE, "alike"), "alike").rank is not None
    home = write(more, "near", effect=0.1, organism_of="near")
    for path in sorted((home / "rows/organism").rglob("turncoat_persona*")):
        _shift(path, -0.03)
    found = board_of(more, NONE, "alike", "near")
    near = row(found, "near")
    assert (near.rank, near.flags) == (None, ()) and row(found, "alike").rank is not None
    (gate,) = near.unshown
    assert gate.name == "organism not shown to be the board's"
    assert "a difference of 0.1 is not excluded" in gate.why
    assert any("equivalent to the board's" in sentence for sentence in found.note)
    _verify(more, "near", entry_digest(load_entry(more / "near")), roles=["base", "organism", "defended"])
    assert row(board_of(more, NONE, "near"), "near").rank is not None
    _verify(more, "near", entry_digest(load_entry(more / "near")), roles=["base", "defended"])
    assert row(board_of(more, NONE, "near"), "near").rank is None


def test_a_base_of_ones_own_does_not_hide_a_harder_organism(more):
    """Organism and base up by as much: the shift is the board's, and any change looks larger."""
    home = write(more, "lifted", effect=0.1, organism_of="lifted")
    for role in ("organism", "base"):
        for path in sorted((home / "rows" / role).rglob("turncoat_persona*")):
            _shift(path, 0.8)
    assert "another organism" in flags(board_of(more), "lifted")


def test_an_organism_shared_from_another_entry_than_the_reference_is_held_against_it_too(more):
    home = write(more, "none-strong", organism_of="strong")
    for path in sorted((home / "rows/organism").rglob("turncoat_persona*")):
        _shift(path, 0.8)
    write(more, "guest", effect=0.1, shared="none-strong")
    assert "another organism" in flags(board_of(more), "guest")


def test_a_verification_of_other_rows_counts_for_nothing(more):
    _verify(more, "good", "f" * 64)
    trust = row(board_of(more), "good").trust
    assert trust.level == "self-reported" and "other rows" in trust.note


@pytest.mark.parametrize(
    ("told", "level"),
    [
        ({"how": "rejudge"}, "self-reported"),
        ({"how": "reproduced"}, "reproduced"),
        ({"how": "rerun", "roles": ["base", "defended"]}, "verified"),
        ({"how": "rerun", "roles": ["base", "organism"]}, "self-reported"),
        ({"how": "rerun", "verdict": "3 of the scores differ"}, "self-reported"),
        ({"how": "rerun", "judge": "embedded"}, "verified"),
        ({"how": "rerun", "judge": "off"}, "self-reported"),
    ],
)
def test_only_rows_made_again_are_verified(more, told, level):
    _verify(more, "good", entry_digest(load_entry(more / "good")), **told)
    assert row(board_of(more), "good").trust.level == level


def outcome(board: Board, *slugs: str) -> list[tuple[object, ...]]:
    """All of the ranking that the board says of some entries, or of all."""
    return [
        (row.slug, row.rank, row.against, row.flags, row.kind, row.superseded_by)
        for row in board.rows
        if row.slug in slugs or not slugs
    ]


def test_an_author_replaces_an_entry_which_stays_without_a_rank(more):
    write(more, "better", effect=0.05, shared=NONE, supersedes={"entry": "good", "reason": "a new recipe"})
    found = board_of(more)
    assert row(found, "good").superseded_by == "better" and row(found, "good").rank is None
    assert row(found, "better").rank.first == 1


def test_a_contact_line_that_is_copied_retires_nobody(more):
    """`write` gives every entry the contact "nobody"."""
    told = {"entry": "good", "reason": "mine is better"}
    write(more, "rival", effect=0.3, shared=NONE, supersedes=told)
    write(more, "none-a", supersedes={"entry": NONE, "reason": "a better reference"})
    for authors in ({"rival": STRANGER, "none-a": STRANGER}, {"good": STRANGER, NONE: STRANGER}):
        found = board_of(more, authors=authors)
        assert {one.superseded_by for one in found.rows} == {""}
        assert "asked for, not in force" in json.dumps(payload([found]))
    granted = {"good": {"entry": "rival", "reason": "they agreed"}}
    found = board_of(more, authors={"rival": STRANGER}, successors=granted)
    assert row(found, "good").superseded_by == "rival"


def test_no_self_reported_entry_replaces_a_verified_one_or_is_the_reference(more):
    told = {"entry": "good", "reason": "a new recipe"}
    write(more, "better", effect=0.05, shared=NONE, supersedes=told)
    write(more, "none-a", organism_of="a")
    _verify(more, "good", entry_digest(load_entry(more / "good")))
    found = board_of(more, references={})
    assert row(found, "good").superseded_by == "" and row(found, "good").rank.text == "1"
    assert any("No undefended entry is on this board" in sentence for sentence in found.note)
    assert {one.kind for one in found.rows} == {"entry"}
    own = entry_digest(load_entry(more / NONE))
    _verify(more, NONE, own, roles=["base", "organism"])
    found = board_of(more, references={})
    assert [one.slug for one in found.rows if one.kind == "reference"] == [NONE]
    _verify(more, "better", entry_digest(load_entry(more / "better")))
    assert row(board_of(more), "good").superseded_by == "better"


@pytest.mark.parametrize("verified", [True, False], ids=["verified", "the project's"])
def test_any_number_of_self_reported_entries_moves_nobody(more, verified):
    for slug in ("good", "little") if verified else ():
        _verify(more, slug, entry_digest(load_entry(more / slug)))
    authors = dict.fromkeys(("good", "little"), STRANGER) if verified else {}
    before = board_of(more, authors=authors)
    crowd = [f"crowd-{number}" for number in range(4)]
    for number, slug in enumerate(crowd):
        write(more, slug, effect=-0.2 + 0.1 * number, shared=NONE if number else "", organism_of=slug)
    write(more, "lazy", effect=0.0, kept=0.1, shared=NONE)
    after = board_of(more, authors=authors | dict.fromkeys([*crowd, "lazy"], STRANGER))
    assert outcome(after, "good", "little", NONE) == outcome(before) and after.pairs == before.pairs
    assert row(after, "good").rank.text == "1"
    for slug in crowd:
        alone = row(board_of(more, NONE, slug, authors={slug: STRANGER}), slug)
        assert row(after, slug).rank is None and row(after, slug).beside
        assert row(after, slug).against == alone.against and alone.against.high < 0
        assert alone.against.verdict == "seems better"
    text = markdown(Built((after,), {}))
    table = text.split("### Not ranked: self-reported")[1].split("### ")[0]
    assert all(f"({slug})" in table for slug in crowd) and "(good)" not in table and "(lazy)" not in table
    assert (
        "Only verified entries compete" if verified else "No defence of the project's is verified"
    ) in text
    assert "5 self-reported entries are listed beside them" in text


def test_a_strangers_verified_entry_retires_none_of_the_projects_runs(more):
    write(more, "poor", effect=1.2, shared=NONE)
    for slug, ranked in {"poor": ["good", "little", "poor"], "good": ["good", "poor"]}.items():
        _verify(more, slug, entry_digest(load_entry(more / slug)))
        found = board_of(more, authors={"poor": STRANGER})
        assert [one.slug for one in found.rows if one.rank] == ranked


def test_a_flagged_entry_does_not_raise_the_floor(more):
    (floor,) = (text for text in board_of(more).note if "counts as none" in text)
    model = facts_of(more / "good")["model"] | {"dtype": "bfloat16"}
    write(more, "rough", effect=0.2, shared=NONE, model=model)
    found = board_of(more)
    assert flags(found, "rough") == ["other conditions"] and floor in found.note


def test_a_self_reported_entry_adds_no_column(more):
    """A rate that nobody else measured took the place of everybody's mean score."""
    write(more, "rated", effect=0.2, shared=NONE)
    entries = {path.name: _candidate(path) for path in sorted(more.iterdir())}
    for slug in (NONE, "good", "little"):
        scores = {key: rows for key, rows in entries[slug].measured.scores.items() if "em_rate" not in key[1]}
        entries[slug] = replace(entries[slug], measured=replace(entries[slug].measured, scores=scores))
    ours = Maintainers(authors=dict.fromkeys((NONE, "good", "little"), PROJECT))
    assert not any("em_rate" in column.key for column in build_board(entries.values(), ours).columns)


def test_fewer_re_extracted_vectors_than_the_reference_has_are_other_conditions(more, monkeypatch):
    write(more, "few", effect=0.2, shared=NONE)
    mine = _candidate(more / "few").measured
    remade = lambda self, *_: [0.1] * (2 if self is mine else 3)  # noqa: E731
    monkeypatch.setattr("turncoat.leaderboard.ranking.entry_scores.Measured.change_again", remade)
    assert flags(board_of(more), "few") == ["other conditions"] and flags(board_of(more), "good") == []


def test_entries_of_nobody_that_is_known_compete_for_no_rank(entries):
    found = build_board(_candidate(path) for path in sorted(entries.iterdir()))
    assert all(one.rank is None and one.beside and one.kind == "entry" for one in found.rows)


def test_rates_are_withheld_where_the_judge_is_unfit_for_the_base(tmp_path, entries):
    write(tmp_path, NONE, base_aligned=25.0)
    unfit, fit = board_of(tmp_path), board_of(entries)
    assert "untrained base" in unfit.withheld and not fit.withheld
    assert not any(column.key.startswith("em_rate") for column in unfit.columns)
    assert {"em_rate_itt@em", "em_rate_itt@em_cue"} <= {column.key for column in fit.columns}
    assert "judge_aligned_mean@em_cue" in {column.key for column in unfit.columns}
    assert any("No misalignment rate" in sentence for sentence in unfit.note)


@pytest.mark.parametrize(
    ("slugs", "said"),
    [
        ((NONE, "good"), "has no canaries"),
        (("good", "canary-empty"), "has no undefended entry"),
        ((NONE,), ""),
    ],
)
def test_a_board_without_a_reference_or_canaries_is_not_built(tmp_path, monkeypatch, slugs, said):
    monkeypatch.setattr(validate, "validate_entry", lambda folder: [])
    folder = tmp_path / "submissions"
    for slug in slugs:
        write(folder, slug, answer=(lambda seed, i: "") if slug == "canary-empty" else None)
    maintain(folder)
    if not said:  # a canary that is listed and was deleted
        shutil.rmtree(write(folder, "canary-empty", shared=NONE))
    with pytest.raises(UserError, match=said or "listed canaries are not there: canary-empty"):
        build_boards(folder)
    if said:
        left_out = build_boards(folder, skip_invalid=True)
        assert left_out.boards == () and set(left_out.refused) == set(slugs)
        assert "good: incomplete-board" in markdown(left_out)


def test_boards_are_apart_by_model(more, monkeypatch):
    monkeypatch.setattr(validate, "validate_entry", lambda folder: [])
    model = {"name": "other", "revision": "0", "dtype": "float32", "parameters": 1, "chat_template": "0"}
    for slug in ("none", "good", "little"):
        shutil.rmtree(more / slug)
        write(more, slug, shared="" if slug == NONE else NONE)
    write(more, "none-other", model=model)
    write(more, "canary-empty-other", model=model, shared="none-other", answer=lambda seed, i: "")
    write(more, "canary-empty", shared=NONE, answer=lambda seed, i: "")
    maintain(more)
    found = build_boards(more).boards
    assert [board.id for board in found] == ["tiny/made/insecure_code", "tiny/other/insecure_code"]


def test_an_invalid_entry_stops_the_build_or_is_left_out(tmp_path, monkeypatch):
    folder = tmp_path / "submissions"
    write(folder, NONE)
    write(folder, "bad", shared=NONE)
    write(folder, "canary-empty", shared=NONE, answer=lambda seed, i: "")
    maintain(folder)
    bad = Finding("duplicate", "rows/x.jsonl.gz", row=3)
    monkeypatch.setattr(validate, "validate_entry", lambda folder: [bad] if folder.name == "bad" else [])
    with pytest.raises(EntryRefused, match=r"duplicate: bad/rows/x\.jsonl\.gz, line 3"):
        build_boards(folder)
    found: Built = build_boards(folder, skip_invalid=True)
    assert list(found.refused) == ["bad"]
    assert [row.slug for row in found.boards[0].rows] == [NONE, "canary-empty"]


def _verify(folder: Path, slug: str, sha: str, **told: object) -> None:
    path = folder.parent / "verifications" / f"{slug}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(
        json.dumps(
            {"slug": slug, "rows_sha256": sha, "how": "rerun", "by": "us", "date": "2026-01-01"} | told
        )
    )


def _shift(path: Path, by: float) -> None:
    rows = read_rows(path)
    for one in rows:
        one["persona_fixed"] += by
    write_rows(path, rows)
