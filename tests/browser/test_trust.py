"""What a visitor is told of a film that is none, and what the predict panel and counter-evidence show."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser


def test_a_photograph_is_flagged_before_results(app, page: Page) -> None:
    import sklearn

    photo = Path(sklearn.__file__).parent / "datasets" / "images" / "china.jpg"
    page.goto(app.url)
    page.locator("input[type=file]").set_input_files(photo)
    expect(page.get_by_role("heading", name="Look at this film first")).to_be_visible()
    expect(page.get_by_text("This does not look like a chest film")).to_be_visible()
    expect(page.get_by_role("article")).to_have_count(0)
    page.get_by_role("button", name="Show the nearest cases all the same").click()
    expect(page.get_by_role("article")).to_have_count(5)
    expect(page.get_by_text("This does not look like a chest film")).to_be_visible()
    assert "Traceback" not in app.log.read_text("utf-8")


def test_predictions_side_by_side_and_counter_evidence(app, page: Page) -> None:
    page.goto(app.url)
    field = page.get_by_label("Report or description")
    field.fill("enlarged heart")
    field.press("Control+Enter")
    table = page.get_by_role("table").first
    expect(table.get_by_role("columnheader", name="Classifier")).to_be_visible()
    expect(table.get_by_role("columnheader", name="Neighbours")).to_be_visible()
    expect(table.get_by_role("row", name="Cardiomegaly")).to_contain_text(" of 50")
    # A casebook of 64 cases holds too few validation cases; the checkpoint brings those of its training.
    expect(page.get_by_text(re.compile("Calibrated on"))).to_be_visible()

    page.get_by_text("Counter-evidence: cases with a finding").click()
    page.get_by_role("combobox", name="Finding").click()
    page.get_by_role("option", name="Cardiomegaly").click()
    expect(page.get_by_role("heading", name="Nearest with Cardiomegaly")).to_be_visible()
    expect(page.get_by_role("heading", name="Nearest without Cardiomegaly")).to_be_visible()
    expect(page.get_by_text("of cosine similarity")).to_be_visible()
    assert "Traceback" not in app.log.read_text("utf-8")
