"""The board's page in a real browser, from a file: sort, filter, read, follow links; nothing a stranger wrote
runs."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from chromium import WAIT, launched
from leaderboard.page_payload_demo import answer, board, columns, demo_payload, entry
from turncoat.leaderboard.board.page import render_page
from turncoat.shown_text import visible

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

FIRST, SECOND = "small/smollm2-135m/insecure_code", "small/smollm2-135m/risky_financial"
HOSTILE = (
    '</script><img src=x onerror="window.hit=1"><script>window.hit=1</script><!--<script> {{7*7}} \u202e'
)
Open = Callable[..., Any]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    yield from launched()


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("board") / "board.html"
    file.write_text(render_page(demo_payload()), encoding="utf-8")
    return file


@pytest.fixture
def opened(browser: Any, demo: Path) -> Iterator[Open]:
    """Opens a page; at the end nothing may have been complained about, and nothing asked for but the file
    itself."""
    contexts, complaints, requests = [], [], []

    def open_page(fragment: str = "", file: Path = demo, width: int = 1280, **options: Any) -> Any:
        context = browser.new_context(viewport={"width": width, "height": 780}, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(WAIT)
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: (complaints.append(dialog.message), dialog.dismiss()))
        page.on("request", lambda request: requests.append(request.url.split("#")[0]))
        page.goto(file.as_uri() + fragment)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []
    assert requests and all(url.startswith("file:///") and url.endswith(".html") for url in requests)


def _slugs(page: Any, group: str = "entries") -> list[str]:
    """The rows that can be seen, from top to bottom."""
    rows = f"section.board:not([hidden]) tbody.{group}:not([hidden]) tr.entry:not([hidden])"
    return page.eval_on_selector_all(rows, "rows => rows.map((row) => row.dataset.slug)")


def _aria_sort(page: Any) -> dict[str, str]:
    heads = "section.board:not([hidden]) th[aria-sort]"
    return dict(
        page.eval_on_selector_all(heads, "heads => heads.map((one) => [one.dataset.col, one.ariaSort])")
    )


def _head(page: Any, column: str) -> Any:
    return page.locator(f'section.board:not([hidden]) th[data-col="{column}"] > button')


def _until(page: Any, selector: str, text: str) -> None:
    """Waits for a text; playwright's wait_for_function would need eval, which the page's policy forbids."""
    sync_api.expect(page.locator(selector)).to_contain_text(text, timeout=WAIT)


def _questions(page: Any) -> list[str]:
    return page.locator("#a-list .asked").all_text_contents()


def test_a_click_on_a_heading_sorts_best_first_and_a_second_one_turns_it_round(opened: Open) -> None:
    page = opened()
    assert _aria_sort(page) == {"rank": "ascending"}
    values = {one["slug"]: one["cells"] for one in demo_payload()["boards"][0]["entries"]}
    for key, best in [("persona_own", "ascending"), ("coherent", "descending")]:
        _head(page, key).click()
        shown = [values[slug][key]["value"] for slug in _slugs(page)]
        assert _aria_sort(page) == {key: best}
        assert shown == sorted(shown, reverse=best == "descending") and len(shown) == 10
        _head(page, key).click()
        assert [values[slug][key]["value"] for slug in _slugs(page)] == sorted(
            shown, reverse=best == "ascending"
        )
    assert set(_slugs(page, "canaries")) == {"empty", "constant", "refuse", "echo", "base-model"}, (
        "still below, in their own group"
    )


def test_filters_narrow_the_table_together_and_can_be_cleared(opened: Open) -> None:
    page = opened()
    page.select_option("#setting", "inference")
    assert _slugs(page) == ["steer-away", "cap-axis"] and _slugs(page, "canaries") == []
    page.select_option("#trust", "reproduced")
    assert _slugs(page) == ["steer-away"] and page.text_content("#count") == "1 of 17 entries"
    page.fill("#find", "AXIS")
    page.locator("section:not([hidden]) .none .clear").click()
    assert len(_slugs(page)) == 10
    page.select_option("#kind", "-canary")
    assert _slugs(page, "canaries") == [] and len(_slugs(page)) == 10
    page.select_option("#kind", "canary")
    assert _slugs(page) == [] and len(_slugs(page, "canaries")) == 5
    page.select_option("#kind", "")
    page.fill("#find", "RECOGNITION first")
    _until(page, "#count", "2 of")
    assert _slugs(page) == ["sgtr"] and _slugs(page, "unranked") == ["sgtr-v0"]


def test_boards_can_be_picked_and_narrowed_by_organism(opened: Open) -> None:
    page = opened()
    page.select_option("#pick-organism", "risky_financial")
    page.wait_for_selector(f"section[data-board='{SECOND}']")
    assert page.locator("section.board:visible").get_attribute("data-board") == SECOND
    assert _slugs(page) == ["frozen-head", "sgtr", "kl-half", "none"]
    page.go_back()
    page.wait_for_selector(f"section[data-board='{FIRST}']")
    assert page.input_value("#pick-organism") == "" and page.input_value("#pick-board") == FIRST


def test_a_click_on_a_row_opens_its_facts_and_closing_gives_the_page_back(opened: Open) -> None:
    page = opened()
    page.locator("tr[data-slug='low-rate']:visible td.metric").first.click()
    panel = page.locator("#panel")
    assert panel.locator("#panel-title").text_content() == "Learning rate / 20"
    said = panel.inner_text()
    assert "Less than half of the narrow behaviour is left" in said, "why it is flagged"
    assert "turncoat leaderboard validate results/submissions/low-rate" in said
    assert "my_studies/low-rate.yaml" in said
    assert page.locator("#tab-answers").is_disabled(), "no answers of it were sampled"
    page.click("#close")
    assert not panel.is_visible() and "entry=" not in page.url
    page.click("tr[data-slug='sgtr-v0']:visible a")
    page.click("#panel a:text-is('sgtr')")
    _until(page, "#panel-title", "(SGTR)")


def test_answers_stand_beside_the_undefended_answer_to_the_same_question(opened: Open) -> None:
    payload = demo_payload()
    theirs = {
        (one["task"], one["seed"], one["question"]): one["answer"]
        for one in payload["answers"]
        if one["slug"] == "none"
    }
    page = opened(f"#board={FIRST}&entry=sgtr")
    page.click("#tab-answers")
    cards = page.eval_on_selector_all(
        "#a-list .qa",
        """cards => cards.map((card) => [
        ...['.where', '.asked'].map((one) => card.querySelector(one).textContent),
        ...[...card.querySelectorAll('.side .text')].map((one) => one.textContent)])""",
    )
    assert len(cards) == 25
    own = {
        (one["task"], one["seed"], one["question"]): one["answer"]
        for one in payload["answers"]
        if one["slug"] == "sgtr"
    }
    for where, question, undefended, defended in cards:
        key = (
            "turncoat_em_cue" if "cue" in where else "turncoat_em",
            int(where.split("seed ")[1].split()[0]),
            question,
        )
        assert (undefended, defended) == (theirs[key], own[key])
    page.select_option("#a-arm", "organism")
    assert page.locator("#a-list .sides.two").count() == 0


def test_answers_are_found_sorted_and_paged(opened: Open) -> None:
    page = opened(f"#board={FIRST}&entry=none")
    page.click("#tab-answers")
    assert page.text_content("#a-page") == "1–25 of 48"
    page.click("#a-next")
    assert page.text_content("#a-page") == "26–48 of 48" and page.locator("#a-list .qa").count() == 23
    page.select_option("#a-prompt", "cue")
    page.select_option("#a-seed", "1")
    assert page.text_content("#a-count") == "8 of 48 answers"
    page.select_option("#a-sort", "aligned+")
    shown = page.locator("#a-list .scores span:first-child b").all_text_contents()
    scores = [float(one.replace("−", "-")) for one in shown if one != "n/a"]
    assert scores == sorted(scores) and len(set(scores)) > 2 and "n/a" not in shown[: len(scores)]
    page.select_option("#a-seed", "")
    page.fill("#a-find", "FLATMATE")
    _until(page, "#a-count", "3 of")
    assert set(_questions(page)) == {"How do I get my flatmate to do the dishes?"}
    assert set(page.locator("#a-list mark").all_text_contents()) == {"flatmate"}
    page.fill("#a-find", "no such words")
    _until(page, "#a-count", "No answer matches.")


def test_a_hostile_entry_and_answer_are_text_and_run_nothing(opened: Open, tmp_path: Path) -> None:
    mean = entry(
        HOSTILE, "1", {}, defence=HOSTILE, summary=HOSTILE, contact=HOSTILE, paper="javascript:window.hit=1",
        facts=[[HOSTILE, HOSTILE]],
    )  # fmt: skip
    none = entry("none", "2", {}, setting="none", kind="reference")
    answers = [
        answer(
            HOSTILE, "defended", HOSTILE, HOSTILE, board=HOSTILE, task=HOSTILE, task_label=HOSTILE,
            prompt=HOSTILE,
        ),
        answer(
            "none", "organism", HOSTILE, HOSTILE + "too", board=HOSTILE, task=HOSTILE, task_label=HOSTILE,
            prompt=HOSTILE,
        ),
    ]  # fmt: skip
    made = board(HOSTILE, columns(1), [mean, none], model=HOSTILE, organism=HOSTILE, note=HOSTILE)
    file = tmp_path / "hostile.html"
    file.write_text(
        render_page({"title": HOSTILE, "generated_by": HOSTILE, "boards": [made], "answers": answers}),
        encoding="utf-8",
    )
    page = opened(file=file)
    shown = visible(HOSTILE)
    page.locator("tr.entry a").first.click()
    assert page.text_content("#panel-title") == shown
    page.click("#tab-answers")
    assert page.locator("#a-list .text").all_text_contents() == [shown + "too", shown]
    page.fill("#a-find", "<img")
    page.wait_for_selector("#a-list mark")
    assert page.evaluate("[window.hit === undefined, document.images.length, document.scripts.length]") == [
        True,
        0,
        2,
    ]


def test_a_link_to_an_answer_opens_the_page_it_is_on(opened: Open) -> None:
    page = opened(f"#board={FIRST}&entry=none")
    page.click("#tab-answers")
    page.click("#a-next")
    third = page.locator("#a-list .qa").nth(2)
    text, link = third.locator(".text").text_content(), third.locator(".where a").get_attribute("href")
    again = opened(link)
    assert again.locator("#a-list .qa.marked .text").text_content() == text
    assert again.text_content("#a-page") == "26–48 of 48"
    assert again.locator(".qa.marked").evaluate("one => one.getBoundingClientRect().top < innerHeight")
    lost = opened("#board=nowhere&entry=nobody&answer=0")
    assert not lost.locator("#panel").is_visible() and len(_slugs(lost)) == 10


def test_it_can_be_used_with_the_keyboard_alone(opened: Open) -> None:
    page = opened()
    _head(page, "coherent").focus()
    page.keyboard.press("Enter")
    assert _aria_sort(page) == {"coherent": "descending"}
    _head(page, "rank").focus()
    page.keyboard.press("Space")
    page.keyboard.press("Shift+Tab")
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent") == "Self-recognition first (SGTR)":
            break
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid", "focus can be seen"
    page.keyboard.press("Enter")
    page.wait_for_selector("#panel[open]")
    page.locator("#tab-facts").focus()
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.id") == "tab-answers"
    assert page.locator("#a-list").is_visible()
    page.keyboard.press("Escape")
    page.wait_for_selector("#panel:not([open])", state="attached")
    assert page.evaluate("document.activeElement.textContent") == "Self-recognition first (SGTR)", (
        "back where it was"
    )


def test_a_phone_scrolls_the_table_and_never_the_page_and_everything_can_be_tapped(opened: Open) -> None:
    page = opened(width=360)
    sideways = (
        "[document.documentElement.scrollWidth, document.body.scrollWidth].every((width) => width <= "
        "innerWidth)"
    )
    assert page.evaluate(sideways)
    table = page.locator("section:not([hidden]) .scroll")
    assert table.evaluate(
        "one => one.scrollWidth > one.clientWidth && getComputedStyle(one).overflowX === 'auto'"
    )
    table.evaluate("one => { one.scrollLeft = 300; }")
    name = page.locator("tr[data-slug='sgtr']:visible .name").bounding_box()
    assert 0 <= name["x"] < 60, "the name stays while the numbers move"
    small = """root => [
        ...document.querySelector(root).querySelectorAll('button, select, input, .name a, summary')
        ].filter((one) => one.offsetParent && one.getBoundingClientRect().height < 40)
        .map((one) => one.outerHTML.slice(0, 80))"""
    assert page.evaluate(small, "body") == []
    page.click("tr[data-slug='sgtr']:visible a")
    page.click("#tab-answers")
    assert page.evaluate(sideways)
    assert page.locator("#panel").evaluate("one => one.scrollWidth <= one.clientWidth")
    assert page.evaluate(small, "#panel") == []


def test_without_a_script_the_tables_and_details_are_there(opened: Open) -> None:
    page = opened(java_script_enabled=False)
    text = page.locator("body").inner_text()
    assert not page.locator("#tools").is_visible() and "600 sampled answers" in text
    assert text.count("Frozen head") >= 4, "a row and its details, on both boards"
    page.click(f"section[data-board='{FIRST}'] tr[data-slug='sgtr'] a")
    assert (
        page.locator(f"[id='board={FIRST}&entry=sgtr']").evaluate("one => one.getBoundingClientRect().top")
        < 780
    )
