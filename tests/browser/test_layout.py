"""How pages lie on screens and on paper, and where a reader stands on them."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, Page, expect
from waiting import case_ids, expect_evaluated, expect_fits, expect_soon, labels, settle, still_box, visit

from explorer import Casebook
from index_builder.imaging import display_png

pytestmark = pytest.mark.browser


def test_enter_searches_and_shift_enter_begins_a_line(app, page: Page) -> None:
    page.goto(app.url)
    box = page.get_by_label("Report or description")
    _wait_for_behaviour(page)
    box.press_sequentially("enlarged heart")
    box.press("Shift+Enter")
    box.press_sequentially("small effusion")
    expect(box).to_have_value("enlarged heart\nsmall effusion")
    expect(page.get_by_role("article")).to_have_count(0)
    box.press("Enter")
    expect(page.get_by_role("article")).to_have_count(5)
    expect(box).to_have_value("enlarged heart\nsmall effusion")
    box.fill("rib fracture")
    box.press("Enter")
    expect(page.get_by_text("cases for “rib fracture”")).to_be_visible()


def test_a_long_report_can_be_pasted_with_its_lines(app, page: Page) -> None:
    page.goto(app.url)
    report = "FINDINGS:\nThe heart is enlarged.\n\nIMPRESSION:\n1. Cardiomegaly.\n" * 8
    box = page.get_by_label("Report or description")
    _wait_for_behaviour(page)
    box.focus()
    page.keyboard.insert_text(report)
    expect(box).to_have_value(report)
    box.press("Enter")
    expect(page.get_by_role("article")).to_have_count(5)


@pytest.mark.parametrize("part", ["film", "id"])
def test_film_and_id_of_a_result_are_links_that_keep_the_uploaded_film(app, page: Page, part: str) -> None:
    _search_film(app, page)
    case_id = case_ids(page)[0]
    name = case_id if part == "id" else f"Film of {case_id}: open the case"
    link = page.get_by_role("link", name=name, exact=True)
    expect(link).to_have_attribute("href", re.compile(rf"^.*case\?.*case={case_id}$"))
    if part == "film":
        film = still_box(page, page.locator(".st-key-cxr-thumb-result-1 img"))
        box = still_box(page, link)
        assert abs(film["width"] - box["width"]) < 3
        assert abs(film["height"] - box["height"]) < 3
    link.focus()
    expect(link).to_have_css("outline-style", "solid")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name=case_id, level=1)).to_be_visible()
    expect(page.get_by_text("1 of 5 for your film")).to_be_visible()
    page.go_back()
    expect(page.get_by_alt_text("The film you search with, as the app sees it")).to_be_visible()
    expect(page.get_by_role("article")).to_have_count(5)


def test_the_film_searched_with_opens_in_the_viewer(app, page: Page) -> None:
    _search_film(app, page)
    page.get_by_role("button", name="View film").click()
    dialog = page.get_by_role("dialog")
    film = dialog.get_by_role("img", name="The film you search with, to look at closely")
    expect(film).to_be_visible()
    expect(dialog.get_by_text("100 %")).to_be_visible()
    box = still_box(page, film)
    assert min(box["width"], box["height"]) > 500
    film.click()
    page.keyboard.press("+")
    expect(dialog.get_by_text("125 %")).to_be_visible()
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(page.get_by_role("article")).to_have_count(5)


@pytest.mark.parametrize(("width", "height", "films"), [(1440, 900, 3), (390, 844, 1)])
@pytest.mark.parametrize("number", [0, 2], ids=["reports", "stages"])
def test_films_found_by_a_text_are_in_sight_below_its_notices(
    app, page: Page, number: int, width: int, height: int, films: int
) -> None:
    folder = (app.casebook, *app.others)[number]
    page.set_viewport_size({"width": width, "height": height})
    page.goto(f"{app.url}/?casebook={folder.name}&q=pneumothorax")
    expect(page.get_by_role("article")).to_have_count(5)
    expect(page.get_by_text("has no label for pneumothorax")).to_be_visible()
    for rank in range(1, films + 1):
        film = page.locator(f".st-key-cxr-thumb-result-{rank} img")
        expect(film).to_be_in_viewport(ratio=1)


def test_another_query_begins_at_the_top_and_back_returns_to_the_place(app, page: Page) -> None:
    page.goto(app.url)
    _search_text(page, "enlarged heart")
    fourth = case_ids(page)[3]
    page.get_by_role("article").nth(4).scroll_into_view_if_needed()
    settle(page)
    place = expect_evaluated(page, _SCROLLED, lambda place: place > 300)
    page.evaluate(_PLACE_IS_KEPT)
    page.get_by_role("link", name=fourth, exact=True).click()
    expect(page.get_by_role("heading", name=fourth, level=1)).to_be_visible()
    expect(page.get_by_role("article")).to_have_count(6)
    expect_evaluated(page, _SCROLLED, 0)
    page.go_back()
    expect(page.get_by_text("5 cases for “enlarged heart”")).to_be_visible()
    settle(page)
    expect_evaluated(page, _SCROLLED, lambda found: abs(found - place) < 3)
    page.get_by_role("button", name="More like this").nth(4).click()
    expect(page.get_by_text("Searching with case")).to_be_visible()
    expect_evaluated(page, _SCROLLED, 0)
    expect(page.get_by_text("Searching with case")).to_be_in_viewport()


def test_neighbours_stand_in_their_order(app, page: Page) -> None:
    page.goto(f"{app.url}/case?case={Casebook.open(app.casebook).case_ids[0]}")
    cards = page.get_by_role("article")
    expect(cards).to_have_count(6)
    settle(page)
    assert [name.split(":")[0] for name in labels(cards)] == [f"Neighbour {rank}" for rank in range(1, 7)]
    for width in (1440, 1024, 768, 390):
        page.set_viewport_size({"width": width, "height": 900})
        settle(page)
        boxes = [still_box(page, page.locator(f".st-key-cxr-card-case-{rank}")) for rank in range(1, 7)]
        read = sorted(range(6), key=lambda one: (round(boxes[one]["y"] / 20), boxes[one]["x"]))
        assert read == list(range(6)), width
        assert min(box["width"] for box in boxes) > 300, width


def test_no_word_of_a_result_is_broken(app, page: Page) -> None:
    page.goto(app.url)
    _search_text(page, "mild cardiomegaly and pulmonary edema")
    for medium in ("screen", "print"):
        page.emulate_media(media=medium)
        for width in (1440, 1100, 1024, 900, 768, 700, 390):
            page.set_viewport_size({"width": width, "height": 900})
            settle(page)
            expect_soon(page, lambda: page.evaluate(_BROKEN_WORDS), [], f"broken words, {medium} at {width} pixels")
            expect_fits(page)


@pytest.mark.parametrize(("width", "scheme"), [(1440, "dark"), (390, "light")])
def test_a_case_is_printed_on_one_page_in_black_on_white(app, browser: Browser, width: int, scheme: str) -> None:
    with visit(browser, viewport={"width": width, "height": 900}, color_scheme=scheme) as visitor:
        page = visitor.new_page()
        casebook = Casebook.open(app.casebook)
        page.goto(f"{app.url}/case?case={casebook.case_ids[0]}")
        expect(page.get_by_role("article")).to_have_count(6)
        settle(page)
        paper = page.pdf(format="A4")
        assert len(re.findall(rb"/Type /Page\b", paper)) == 1
        page.emulate_media(media="print")
        for screen_only in (page.get_by_role("navigation"), page.get_by_role("button"), page.get_by_role("article")):
            expect(screen_only.filter(visible=True)).to_have_count(0)
        expect(page.get_by_role("img", name="Chest film of case").first).to_be_visible()
        report = page.get_by_role("region", name="Report")
        expect(report).to_be_visible()
        expect(report).to_have_css("color", "rgb(0, 0, 0)")
        expect(page.locator(".stApp")).to_have_css("background-color", "rgb(255, 255, 255)")


_SCROLLED = "document.querySelector('.stMain').scrollTop"
#: The app keeps how far a page is scrolled by a timer of 120 milliseconds; a longer one begun later ends later.
_PLACE_IS_KEPT = "new Promise((done) => setTimeout(done, 150))"

#: Words that stand on two lines; those with a hyphen may.
_BROKEN_WORDS = r"""() => {
  const broken = [];
  for (const place of document.querySelectorAll(".cxr-predict, .cxr-card")) {
    const walker = document.createTreeWalker(place, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
      const text = walker.currentNode;
      for (const match of text.data.matchAll(/[^\s-]+/g)) {
        const range = document.createRange();
        range.setStart(text, match.index);
        range.setEnd(text, match.index + match[0].length);
        const lines = new Set([...range.getClientRects()].map((box) => Math.round(box.top)));
        if (lines.size > 1) broken.push(match[0]);
      }
    }
  }
  return broken;
}"""


def _wait_for_behaviour(page: Page) -> None:
    page.wait_for_function("Symbol.for('cxr-behaviour') in globalThis")


def _search_film(app, page: Page) -> None:
    casebook = Casebook.open(app.casebook)
    reference = next(image for image in casebook.table.column("image").to_pylist() if image)
    film = display_png(casebook.film(reference).pixels, None)
    page.goto(app.url)
    page.locator("input[type=file]").set_input_files({"name": "film.png", "mimeType": "image/png", "buffer": film})
    expect(page.get_by_role("article")).to_have_count(5)


def _search_text(page: Page, text: str) -> None:
    page.get_by_label("Report or description").fill(text)
    page.get_by_role("button", name="Search", exact=True).click()
    expect(page.get_by_text(f"5 cases for “{text}”")).to_be_visible()
    expect(page.get_by_role("article")).to_have_count(5)
