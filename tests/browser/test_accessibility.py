"""Every page as axe-core, screen readers and the tab's title see it: light and dark, desk and phone, each casebook."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

import axe_playwright_python
import pytest
from playwright.sync_api import Browser, Page, expect
from waiting import settle, visit

from explorer import Casebook

pytestmark = pytest.mark.browser

_AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text("utf-8")
#: Pages without a query: what is in the address, what the tab's title begins with.
_PAGES = (
    ("", "Search"),
    ("case?case=CASE", "CASE · Case"),
    ("case", "Case"),
    ("case?case=nobody", "Case"),
    ("explain?case=CASE", "CASE · Explain"),
    ("map", "Map"),
    ("evaluation", "Evaluation"),
    ("evaluation?section=Data+quality", "Evaluation"),
    ("about", "About"),
)

#: Colour scheme and width in pixels.
Look = tuple[Literal["light", "dark"], int]

_IS_LIGHT = """light => {
  const [red] = getComputedStyle(document.querySelector(".stApp")).backgroundColor.match(/\\d+/g);
  return light === Number(red) > 128;
}"""


@pytest.mark.timeout(600)
def test_no_page_has_a_serious_barrier(app, browser: Browser) -> None:
    """In the dark at a desk, in the light on a phone; every casebook in both at either: `pytest -m slow`."""
    _assert_no_barriers(app, browser, app.casebook, (("dark", 1440), ("light", 390)))


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("width", [390, 1440])
@pytest.mark.parametrize("number", range(3), ids=["reports", "profiles", "stages"])
def test_no_page_of_any_casebook_has_a_serious_barrier(app, browser: Browser, number: int, width: int) -> None:
    folder = (app.casebook, *app.others)[number]
    _assert_no_barriers(app, browser, folder, (("dark", width), ("light", width)))


def _assert_no_barriers(app, browser: Browser, folder: Path, looks: tuple[Look, ...]) -> None:
    case_id = Casebook.open(folder).case_ids[0]
    found: list[str] = []
    with visit(browser) as visitor:
        page = visitor.new_page()
        for address, title in _PAGES:
            _open(page, app, folder.name, address.replace("CASE", case_id))
            expect(page).to_have_title(f"{title.replace('CASE', case_id)} · CXR Explorer")
            found += [f"{address}: {one}" for one in barriers(page, looks)]
        _open(page, app, folder.name, "")
        page.locator(".st-key-cxr-examples button").first.click()
        expect(page.get_by_role("article")).to_have_count(5)
        found += [f"with results: {one}" for one in barriers(page, looks)]
        page.get_by_role("button", name="More like this").first.click()
        expect(page.get_by_text("Searching with case")).to_be_visible()
        found += [f"like a case: {one}" for one in barriers(page, looks)]
    assert not found, "\n".join(found)


def _open(page: Page, app, casebook: str, address: str) -> None:
    page.goto(f"{app.url}/{address}{'&' if '?' in address else '?'}casebook={casebook}")
    settle(page)


def barriers(page: Page, looks: tuple[Look, ...]) -> list[str]:
    """Serious and critical violations in each look, and headings out of order."""
    page.evaluate(_AXE)
    grave = []
    for scheme, width in looks:
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=scheme)
        page.wait_for_function(_IS_LIGHT, arg=scheme == "light")
        settle(page)
        result: dict[str, Any] = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
        grave += [
            f"{scheme}: {rule['impact']} {rule['id']}: {node['html'][:120]} {node['failureSummary']}"
            for rule in result["violations"]
            if rule["impact"] in ("serious", "critical")
            for node in rule["nodes"]
        ]
    return grave + _headings_out_of_order(page)


def _headings_out_of_order(page: Page) -> list[str]:
    headings = page.evaluate(
        "[...document.querySelectorAll('h1, h2, h3, h4, h5, h6')].filter((one) => one.checkVisibility())"
        ".map((one) => one.tagName + ' ' + one.textContent)"
    )
    levels = [int(re.match(r"H(\d)", heading)[1]) for heading in headings]  # type: ignore[index]
    wrong = [] if levels.count(1) == 1 and levels[0] == 1 else [f"not one first h1: {headings}"]
    return wrong + [
        f"skips to {heading!r}"
        for before, level, heading in zip(levels, levels[1:], headings[1:], strict=False)
        if level > before + 1
    ]
