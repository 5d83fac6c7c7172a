"""The board's page as text: what a stranger writes stays text, the policy fits the content, and the bytes are
stable."""

import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest
from leaderboard.page_payload_demo import answer, board, cell, columns, demo_payload, entry
from turncoat.leaderboard.board.page import render_page
from turncoat.paths import PACKAGE
from turncoat.report.browser.page_parts import csp_hash, embedded_json
from turncoat.shown_text import visible

HOSTILE = [
    "</script><img src=x onerror=alert(1)>", "<!--<script>",
    "</style></title></textarea><svg onload=alert(1)>", '" onmouseover="alert(1)" x="', "' onfocus='alert(1)",
    "{{ 7 * 7 }}{% raw %}", '=HYPERLINK("https://example.org")', "\u202egnp.exe\u2066", "a\u2028b\u2029c",
    "javascript:alert(1)", "\x1b[31mred\x00",
]  # fmt: skip


class Elements(HTMLParser):
    """Every element of a page with its attributes, and the text inside scripts and styles."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.raw: list[tuple[str, str]] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.found and self.found[-1][0] in {"script", "style"} and data.strip():
            self.raw.append((self.found[-1][0], data))

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


def _stuffed(value: Any, text: str, kept: tuple[str, ...] = ("setting", "kind", "better", "trust")) -> Any:
    """The payload with `text` in place of every string that is not one of a few fixed words."""
    if isinstance(value, str):
        return text
    if isinstance(value, dict):
        return {
            key: item
            if key in kept and isinstance(item, str)
            else item
            if key == "key"
            else _stuffed(item, text)
            for key, item in value.items()
        }
    return [_stuffed(item, text) for item in value] if isinstance(value, list) else value


def _data(page: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="answers">(.*?)</script>', page, re.DOTALL)
    assert found
    return json.loads(found[1])


@pytest.fixture(scope="module")
def page() -> str:
    return render_page(demo_payload())


def test_the_page_is_stable_and_its_policy_allows_only_what_is_there(page: str) -> None:
    assert render_page(demo_payload()) == page
    policy = next(
        meta["content"]
        for meta in Elements(page).named("meta")
        if meta.get("http-equiv") == "Content-Security-Policy"
    )
    allowed = dict(part.split(" ", 1) for part in str(policy).split("; "))
    style = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    script = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    assert len(style) == len(script) == 1 and allowed["default-src"] == "'none'"
    assert allowed["style-src"] == f"'{csp_hash(style[0])}'"
    assert allowed["script-src"] == f"'{csp_hash(script[0])}'" and allowed["img-src"] == "data:"
    assert "unsafe" not in str(policy) and "http" not in str(policy)
    elements = Elements(page)
    loaded = [
        value
        for _, found in elements.found
        for name, value in found.items()
        if name in {"src", "srcset", "action"}
    ]
    assert loaded == [] and [link["href"] for link in elements.named("link")] == ["data:,"]
    assert not [
        name for _, found in elements.found for name in found if name.startswith("on") or name == "style"
    ]
    assert "url(" not in page and "@import" not in page


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_in_every_field_adds_no_element_and_no_attribute(text: str) -> None:
    harmless = Elements(render_page(_stuffed(_small(), "harmless")))
    hostile = Elements(render_page(_stuffed(_small(), text)))
    shape = [[(tag, sorted(found)) for tag, found in one.found] for one in (harmless, hostile)]
    assert shape[0] == shape[1]
    assert len(hostile.raw) == 3, "style, data, script"


@pytest.mark.parametrize("text", HOSTILE)
def test_an_answer_comes_back_from_the_data_as_it_was_but_for_invisible_characters(text: str) -> None:
    back = _data(render_page(_stuffed(_small(), text)))
    (rows,) = [rows for slugs in back["groups"].values() for rows in slugs.values()]
    assert rows[0][7] == visible(text)
    assert back["strings"][rows[0][5]] == rows[0][7], "the question"


def test_embedded_json_and_the_script_keep_text_text() -> None:
    page = render_page(_stuffed(_small(), "".join(HOSTILE)))
    assert not re.search("[\x00\x1b\u202a-\u202e\u2066-\u2069]", page)
    assert not re.search("[\u2028\u2029]", re.findall("<script.*?</script>", page, re.DOTALL)[0])
    text = "</script><!--<script>&amp;\u2028\u2029"
    assert not set("<>&\u2028\u2029") & set(embedded_json([text]))
    assert json.loads(embedded_json([text])) == [text]
    scripts = sorted(PACKAGE.rglob("*.js"))
    assert {"board.js", "browser.js"} <= {path.name for path in scripts}
    for path in scripts:
        script = path.read_text(encoding="utf-8")
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|Function\(|XMLHttpRequest", script
        ), path.name
        assert len(script.splitlines()) < 450, path.name


@pytest.mark.parametrize(
    "link",
    ["javascript:alert(1)", "data:text/html,x", "//example.org", "https:", "http://[broken", "see the wiki"],
)
def test_only_a_web_address_becomes_a_link(link: str) -> None:
    made = render_page(_small(paper=link))
    assert {str(one["href"])[0] for one in Elements(made).named("a")} == {"#"}
    assert 'href="https://example.org/p"' in render_page(_small(paper="https://example.org/p"))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_number_that_json_has_not_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        render_page(_small(aligned=bad))


def test_entries_stand_in_rank_order_with_canaries_last_whatever_order_they_came_in() -> None:
    entries = [
        entry("canary", "", {}, kind="canary"), entry("flagged", "", {}), entry("tenth", "10", {}),
        entry("second", "2-3", {}), entry("control", "", {}, kind="reference"), entry("first", "1", {}),
        entry("hardly known", "1-9", {}), entry("also-second", "2-3", {}),
    ]  # fmt: skip
    page = _page(*entries)
    rows = re.findall(r'<tr class="entry[^"]*" data-slug="([^"]+)"', page)
    last = ["hardly known", "tenth", "control", "flagged", "canary"]
    assert rows == ["first", "second", "also-second", *last]


def test_marks_and_what_is_not_shown_stand_beside_the_name() -> None:
    entries = [
        entry("good", "1", {}, verdict="better"), entry("bad", "2", {}, verdict="seems worse"),
        entry("idle", "3", {}, verdict="not shown"),
        entry("scant", "", {}, unshown=[{"name": "coherence not shown", "why": "at worst -11 <b>"}]),
    ]  # fmt: skip
    page = _page(*entries)
    chips = re.findall(r'<span class="(chip[^"]*)" title="([^"]*)">([^<]*)</span>', page)
    against = "Against no defence"
    assert chips[:4] == [
        ("chip good", against, "better"), ("chip flag", against, "seems worse"),
        ("chip", against, "not shown better"), ("chip", "at worst -11 &lt;b&gt;", "coherence not shown"),
    ]  # fmt: skip
    assert "Not ranked: a requirement is not shown" in page and "<dd>seems worse</dd>" in page


def test_a_changed_prompt_is_a_chip_with_the_text_and_stands_in_the_details() -> None:
    page = render_page(_small())
    assert '<span class="chip" title="Every prompt: adds &#34;p&#34;">changes the prompt</span>' in page
    assert "<b>Changes the prompt.</b>" in page and page.count("changes the prompt</span>") == 2


def test_bars_of_a_column_share_one_scale_that_canaries_do_not_stretch() -> None:
    def bars(*entries: Any) -> list[tuple[float, float, float]]:
        page = _page(*entries)
        found = re.findall(
            r'<rect class="range" x="([\d.]+)" y="4" width="([\d.]+)".*?cx="([\d.]+)"',
            page.split("</tbody>\n</table>")[0],
            re.DOTALL,
        )
        return [(float(x), float(x) + float(width), float(dot)) for x, width, dot in found]

    near, far = (
        entry(name, rank, {"persona_fixed": cell(value, 0.1)})
        for name, rank, value in [("a", "1", 0.0), ("b", "2", 1.0)]
    )
    odd = entry("odd", "", {"persona_fixed": cell(50.0, 0.1)}, kind="canary")
    (left_low, left_high, left), (right_low, right_high, right) = bars(near, far)
    assert left_low < left < left_high < right_low < right < right_high, "disjoint intervals are drawn apart"
    flagged = entry("odd", "", {"persona_fixed": cell(50.0, 0.1)}, flags=[{"name": "odd", "why": "far off"}])
    assert bars(near, far, flagged)[:2] == bars(near, far)
    with_canary = bars(near, far, odd)
    assert with_canary[:2] == [(left_low, left_high, left), (right_low, right_high, right)]
    assert with_canary[2][1] <= right_high + 1, "an outlier is drawn at the edge"


def test_a_missing_value_says_so_and_draws_nothing() -> None:
    missing = entry("c", "2", {"persona_fixed": cell(None, note="too few answers")})
    table = _page(entry("a", "1", {}), missing).split("</table>")[0]
    assert table.count("n/a") == 2 and "<svg" not in table and "too few answers" in table


def test_without_a_script_every_number_flag_and_fact_is_in_the_html(page: str) -> None:
    said = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    for one in demo_payload()["boards"][0]["entries"]:
        for fact in [
            one["defence"],
            *(flag["why"] for flag in one["flags"]),
            *(fact[1] for fact in one["facts"]),
        ]:
            assert fact.replace("'", "&#39;") in said
    links = re.findall(r'<th scope="row".*?href="#([^"]+)"', said)
    assert len(links) == 21 and all(f'id="{link}"' in said for link in links)


def test_many_answers_stay_small_and_keep_their_addresses() -> None:
    payload = demo_payload()
    text = "x" * 246
    payload["answers"] = [
        answer(
            "sgtr", "defended", f"One of a hundred and twenty: {n % 120}", f"{n:04d}{text}", aligned=1 / 3,
            persona=n / 7,
        )
        for n in range(3000)
    ]  # fmt: skip
    assert len(render_page(payload).encode()) < 1_350_000
    payload = demo_payload()
    twins = [answer("sgtr", "defended", "q", "same"), answer("sgtr", "defended", "q", "same")]
    payload["answers"] = [*twins, *payload["answers"]]
    addresses = _addresses(payload)
    assert len(set(addresses)) == len(addresses) == 602
    payload["answers"] = payload["answers"][100:]
    kept = set(_addresses(payload))
    assert kept < set(addresses) and len(kept) == 502


def _addresses(payload: Any) -> list[str]:
    boards = _data(render_page(payload))["groups"].values()
    return [row[0] for slugs in boards for rows in slugs.values() for row in rows]


def _page(*entries: Any) -> str:
    """A page of one board with one column."""
    return render_page(_payload([board("b", columns(1), list(entries))], []))


def _payload(boards: list[Any], answers: list[Any]) -> Any:
    return {"title": "t", "generated_by": "g", "boards": boards, "answers": answers}


def _small(paper: str = "", aligned: float | None = 1.0) -> Any:
    flagged = entry(
        "a", "1", {"persona_fixed": cell(0.1, note="n")}, flags=[{"name": "f", "why": "w"}],
        facts=[["command", "c"]], trust_note="n", contact="c", summary="s", paper=paper, superseded_by="",
        prompt='adds "p"', shared={"organism": "b"},
    )  # fmt: skip
    made = board("b", columns(1), [flagged, entry("b", "", {}, kind="canary")], note="n")
    return _payload([made], [answer("a", "defended", "q", "x", board="b", aligned=aligned)])
