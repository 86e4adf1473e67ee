"""What a visitor is told of a film that is none, and what the predict panel and counter-evidence show."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from waiting import expect_evaluated, expect_no_fault, settle, still_box

from explorer import Casebook

pytestmark = pytest.mark.browser


def test_a_photograph_is_flagged_before_results(app, page: Page) -> None:
    import sklearn

    photo = Path(sklearn.__file__).parent / "datasets" / "images" / "china.jpg"
    page.goto(app.url)
    page.locator("input[type=file]").set_input_files(photo)
    expect(page.get_by_role("heading", name="Look at this film first")).to_be_visible()
    expect(page.get_by_text("This does not look like a chest film")).to_be_visible()
    expect(page.get_by_role("article")).to_have_count(0)
    page.get_by_role("button", name="Show results anyway").click()
    expect(page.get_by_role("article")).to_have_count(5)
    expect(page.get_by_text("This does not look like a chest film")).to_be_visible()
    # Scores are below a fold, and nothing is made of them.
    expect(page.get_by_role("table")).to_have_count(0)
    page.get_by_text("Scores, not probabilities").first.click()
    expect(page.get_by_role("table").first).to_contain_text("score 0.")
    expect(page.locator(".cxr-verdict, .cxr-warn")).to_have_count(0)
    expect(page.get_by_text("Coverage of the sets")).to_have_count(0)
    page.get_by_role("link", name="Explain", exact=True).first.click()
    expect(page.get_by_text("This does not look like a chest film")).to_be_visible()
    expect(page.get_by_text("The explained value is a score, not a probability")).to_be_visible()
    expect_no_fault(app.log)


@pytest.mark.parametrize(("width", "height", "films"), [(1440, 900, 3), (390, 844, 1)])
def test_the_films_of_a_typed_text_are_seen_without_scrolling(
    app, page: Page, width: int, height: int, films: int
) -> None:
    page.set_viewport_size({"width": width, "height": height})
    page.goto(app.url)
    for text in ("right upper lobe nodule", "pneumothorax", "asdf qwer zxcv"):
        _type(page, text)
        expect(page.get_by_text(f"cases for “{text}”")).to_be_visible()
        expect(page.get_by_role("article")).to_have_count(5)
        settle(page)
        shown = page.locator("[class*='st-key-cxr-thumb-result'] .cxr-film")
        for number in range(films):
            expect(shown.nth(number)).to_be_in_viewport(ratio=1)
        expect_evaluated(page, "document.querySelector('section.stMain, [data-testid=stMain]').scrollTop", 0)
        # The table is there for who wants it, folded.
        expect(page.get_by_role("table")).to_have_count(0)
        expect(page.get_by_text("What cases like these carry")).to_have_count(1)


def test_what_was_not_understood_is_told_above_the_results(app, page: Page) -> None:
    _search(page, app.url, "asdf qwer zxcv")
    told = page.get_by_text("No report of this casebook has the words “asdf”, “qwer”, “zxcv”.")
    expect(told).to_be_visible()
    first = page.get_by_role("article").first
    expect(first).to_be_visible()
    settle(page)
    assert told.bounding_box()["y"] < first.bounding_box()["y"]
    _search(page, app.url, "right pneumothorax")
    expect(page.get_by_text("This casebook has no label for pneumothorax")).to_be_visible()


def _search(page: Page, url: str, text: str) -> None:
    page.goto(url)
    _type(page, text)


def _type(page: Page, text: str) -> None:
    field = page.get_by_label("Report or description")
    field.fill(text)
    field.press("Control+Enter")


def test_predictions_side_by_side_and_counter_evidence(app, page: Page) -> None:
    casebook = Casebook.open(app.casebook)
    reports = (
        casebook.case(case_id) for case_id in casebook.case_ids if "Cardiomegaly" in casebook.case(case_id).labels
    )
    _search(page, app.url, next(reports).report)
    expect(page.get_by_role("article")).to_have_count(5)
    page.get_by_text("What cases like these carry").click()
    table = page.get_by_role("table").first
    expect(table.get_by_role("columnheader", name="Classifier")).to_be_visible()
    expect(table.get_by_role("columnheader", name="Neighbours")).to_be_visible()
    expect(table.get_by_role("row", name="Cardiomegaly")).to_contain_text(" of 50")
    # A casebook of 64 cases holds too few validation cases; the checkpoint brings those of its training.
    expect(page.get_by_text(re.compile("Calibrated on"))).to_be_visible()

    page.get_by_text("Counter-evidence: cases with a finding").click()
    # The list closes when the page is drawn anew or moves: it is opened once both sides stand and nothing runs.
    expect(page.get_by_text("in cosine similarity")).to_be_visible()
    settle(page)
    finding = page.get_by_role("combobox", name="Finding")
    finding.scroll_into_view_if_needed()
    still_box(page, finding)
    finding.click()
    page.get_by_role("option", name="Cardiomegaly").click()
    expect(page.get_by_role("heading", name="Nearest with Cardiomegaly")).to_be_visible()
    expect(page.get_by_role("heading", name="Nearest without Cardiomegaly")).to_be_visible()
    expect(page.get_by_text("in cosine similarity")).to_be_visible()
    expect_no_fault(app.log)
