"""A tooltip's link to the glossary, as a reader follows it."""

from __future__ import annotations

from pathlib import Path

import pytest
from live_app import serving
from playwright.sync_api import Browser, expect
from waiting import visit

pytestmark = pytest.mark.browser


@pytest.mark.timeout(300)
def test_a_tooltip_opens_its_term_beside_the_search(tmp_path: Path, browser: Browser, small_casebook: Path) -> None:
    with serving([small_casebook], tmp_path / "app.log") as url, visit(browser) as visitor:
        page = visitor.new_page()
        page.goto(url)
        page.get_by_text("Options", exact=True).click()
        page.locator(".st-key-rerank").get_by_test_id("stTooltipHoverTarget").hover()
        with visitor.expect_page() as opened:
            page.get_by_role("link", name="Reorders").click()
        term = opened.value.get_by_role("heading", name="Rerank (reorder by shared findings)")
        expect(term).to_be_in_viewport(timeout=60_000)
