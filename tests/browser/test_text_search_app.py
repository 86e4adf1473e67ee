"""Search by a typed text in a real browser: what was understood, words offered, counts, and why cases were found."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import axe_playwright_python
import pytest
from live_app import serving
from playwright.sync_api import Browser, Page, expect
from waiting import case_ids, expect_fits, expect_in_address, expect_no_fault, settle, visit

pytestmark = pytest.mark.browser

_AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text("utf-8")


@dataclass(frozen=True)
class Reports:
    """The app on a casebook of a few reports; `log` is what it wrote."""

    url: str
    log: Path


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory, report_casebook: Path) -> Iterator[Reports]:
    log = tmp_path_factory.mktemp("reports-app") / "app.log"
    with serving([report_casebook], log) as url:
        yield Reports(url, log)


@pytest.fixture(params=[(1440, 900, "dark"), (390, 844, "light")], ids=["desk", "phone"])
def tab(request: pytest.FixtureRequest, browser: Browser) -> Iterator[Page]:
    width, height, scheme = request.param
    with visit(browser, viewport={"width": width, "height": height}, color_scheme=scheme) as visitor:
        yield visitor.new_page()


def _open(page: Page, reports: Reports, text: str) -> None:
    page.goto(f"{reports.url}/?q={quote(text)}")
    expect(page.get_by_role("article")).to_have_count(5)


def test_chips_facets_and_corrections(reports: Reports, tab: Page) -> None:
    page, narrow = tab, tab.viewport_size["width"] < 640
    _open(page, reports, "right upper lobe nodule without cardiomegly asdf")
    # An unknown word is named, a misspelt one is corrected, what is denied is a chip of its own.
    expect(page.get_by_text("has the word “asdf”")).to_be_visible()
    expect(page.get_by_text("Searched for “cardiomegaly” instead of “cardiomegly”.")).to_be_visible()
    nodule = page.get_by_role("button", name="nodule · right · upper lobe", exact=True)
    expect(nodule).to_be_visible()
    _assert_no_barrier(page)
    page.get_by_role("button", name="Search exactly as typed").click()
    expect(page).to_have_url(re.compile("exact_words=yes"))
    page.get_by_role("button", name="Exactly as typed").click()
    denied = page.get_by_role("button", name=re.compile("^Search without: without cardiomegaly"))
    denied.click()
    expect(page.get_by_text(re.compile("^without cardiomegaly"))).to_have_count(0)
    box = page.get_by_label("Report or description")
    expect(box).not_to_have_value(re.compile("cardiom"))
    settle(page)
    expect_in_address(page, q=box.input_value())
    # Another side is another search.
    assert case_ids(page)[0] in ("r-01", "f-01")
    page.get_by_role("button", name="nodule · right · upper lobe", exact=True).click()
    page.get_by_role("combobox", name="Side").click()
    page.get_by_role("option", name="left", exact=True).click()
    expect(page.get_by_role("button", name="nodule · left · upper lobe", exact=True)).to_be_visible()
    expect(page.get_by_role("article").first).to_have_attribute("aria-label", re.compile("case r-02"))
    page.keyboard.press("Escape")
    # A count is a filter, in the address and as a chip.
    if narrow:
        expect(page.get_by_role("radio", name="lung (")).to_have_count(0)
        page.get_by_role("button", name="Narrow down").click()
        settle(page)
    page.get_by_role("radio", name=re.compile(r"^lung \(")).click()
    chip = page.get_by_role("button", name="site lung")
    expect(chip).to_be_visible()
    expect(page).to_have_url(re.compile("filter=site"))
    _assert_no_barrier(page)
    page.go_back()
    expect(chip).to_have_count(0)
    settle(page)
    expect_fits(page)
    expect_no_fault(reports.log)


def test_a_denied_finding_is_searched_for_and_what_is_only_coded_is_marked(reports: Reports, tab: Page) -> None:
    page = tab
    page.goto(f"{reports.url}/?q=no+effusion&k=12")
    expect(page.get_by_role("article")).to_have_count(12)
    expect(page.get_by_role("button", name="without pleural effusion", exact=True)).to_be_visible()
    card = page.get_by_role("article", name=re.compile("case r-07"))
    expect(card.get_by_text("without pleural effusion")).to_be_visible()
    expect(card.get_by_text("as coded")).to_be_visible()
    expect(card.get_by_text("The report denies what is coded. Effusion: “No pleural effusion.”")).to_be_visible()
    expect(card.get_by_text("found by facts")).to_be_visible()


def test_words_are_offered_while_a_text_is_typed(reports: Reports, tab: Page) -> None:
    page = tab
    page.goto(reports.url)
    page.wait_for_function("Symbol.for('cxr-suggestions') in globalThis && Symbol.for('cxr-behaviour') in globalThis")
    box = page.get_by_label("Report or description")
    box.press_sequentially("large eff")
    option = page.get_by_role("option", name="pleural effusion")
    expect(option).to_be_visible()
    _assert_no_barrier(page)
    page.get_by_role("button", name="Search", exact=True).click(trial=True)  # nothing lies over it
    box.press("ArrowDown")
    expect(option).to_have_attribute("aria-selected", "true")
    box.press("Enter")
    expect(box).to_have_value("large pleural effusion")
    expect(page.get_by_role("option")).to_have_count(0)
    expect(page.get_by_role("article")).to_have_count(0)  # the word was taken, nothing is searched for yet
    box.press_sequentially(" wit")
    box.press("Enter")  # whoever has marked nothing searches, whatever is offered
    expect(page.get_by_role("article")).to_have_count(5)
    expect(box).to_have_value("large pleural effusion wit")
    box.fill("nod")
    box.press("End")
    box.press_sequentially("u")
    page.get_by_role("option", name="nodule", exact=True).click()
    expect(box).to_have_value("nodule")
    expect(box).to_be_focused()
    box.press("Enter")
    expect_in_address(page, q="nodule")
    box.press_sequentially(" ca")
    expect(page.get_by_role("option").first).to_be_visible()
    box.press("Escape")
    expect(page.get_by_role("option")).to_have_count(0)


def _assert_no_barrier(page: Page) -> None:
    """In the page itself; the sidebar beside it is every page's."""
    settle(page)
    page.evaluate(_AXE)
    found = page.evaluate("axe.run('.stMain', { resultTypes: ['violations'] })")["violations"]
    grave = [rule for rule in found if rule["impact"] in ("serious", "critical")]
    assert not grave, [(rule["id"], node["html"][:200]) for rule in grave for node in rule["nodes"]]
