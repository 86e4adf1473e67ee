"""How the browser tests wait: each reads again until it finds what it wants, and says what it found when it gives up.

What a click brings is drawn by the browser, the server and the browser again; address, scroll position and files are
set a moment before or after the words of the page. Whatever Playwright's `expect` does not cover waits here.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

#: Milliseconds before a test gives up: the first visitor of an app waits until its system is loaded, on a busy machine.
PATIENCE = 120_000

#: A line of a traceback that is in our code, wherever the checkout and the libraries are.
_OURS = re.compile(r'File "(?![^"]*site-packages)[^"]*/(?:explorer|index_builder|pages)/[^"]*", line')

_T = TypeVar("_T")

#: Kept in each page: when it last changed, how often it told the server something, and whether it heard nothing since.
_WATCH = """
globalThis.cxrWatch = { changed: 0, told: 0, unanswered: false };
globalThis.WebSocket = class extends WebSocket {
  constructor(...given) {
    super(...given);
    this.addEventListener("message", () => { cxrWatch.unanswered = false; });
  }
  send(data) {
    cxrWatch.told += 1;
    cxrWatch.unanswered = true;
    super.send(data);
  }
};
new MutationObserver(() => { cxrWatch.changed = performance.now(); })
  .observe(document, { subtree: true, childList: true, attributes: true, characterData: true });
"""

#: The script has ended and everything it drew is there: no grey stand-in, nothing that moves, nothing that changes.
_STANDS_STILL = """() => {
  const moves = (one) => one.playState === "running" && one.effect?.getComputedTiming().endTime !== Infinity;
  return document.querySelector(".stApp")?.dataset.testScriptState === "notRunning"
    && document.querySelector("footer") && !document.querySelector(".stApp [data-testid=stSkeleton]")
    && !cxrWatch.unanswered && performance.now() - cxrWatch.changed > 200 && !document.getAnimations().some(moves);
}"""


def visit(browser: Browser, **options: Any) -> BrowserContext:
    """A fresh visitor, at a desk unless `options` of Playwright's `new_context` say otherwise."""
    visitor = browser.new_context(**{"viewport": {"width": 1440, "height": 900}} | options)
    visitor.set_default_timeout(PATIENCE)
    visitor.add_init_script(_WATCH)
    expect.set_options(timeout=PATIENCE)
    return visitor


def settle(page: Page) -> None:
    """Wait until a page of the app stands still."""
    page.wait_for_function(_STANDS_STILL)


def answered(page: Page, act: Callable[[], object]) -> None:
    """Do something that a page tells the server in its own time, and wait until it stands still with the answer."""
    before = page.evaluate("cxrWatch.told")
    act()
    page.wait_for_function("before => cxrWatch.told > before", arg=before)
    settle(page)


def expect_soon(page: Page, read: Callable[[], _T], wanted: _T | Callable[[_T], bool], what: str) -> _T:
    """Read until `wanted` is read, or holds for what is read; gives what was read.

    Raises:
        AssertionError: It is not before patience ends. Names what was read last.
    """
    end = time.monotonic() + PATIENCE / 1000
    while True:
        found = read()
        if wanted(found) if callable(wanted) else found == wanted:
            return found
        if time.monotonic() > end:
            asked = "something else" if callable(wanted) else repr(wanted)
            raise AssertionError(f"{what}: wanted {asked:.500}, found {found!r:.2000} at {page.url}")
        page.wait_for_timeout(50)  # between two readings Playwright hears of what happens in the page


def expect_evaluated(page: Page, script: str, wanted: Any) -> Any:
    """Wait until a script in the page gives `wanted`, or something for which `wanted` holds."""
    return expect_soon(page, lambda: page.evaluate(script), wanted, script)


def parameters(page: Page) -> dict[str, list[str]]:
    """What the address of a page asks for, as it is now."""
    return parse_qs(urlsplit(page.url).query)


def expect_address(page: Page, **wanted: str) -> None:
    """Wait until an address has these parameters, each once, and no others."""
    lists = {name: [value] for name, value in wanted.items()}
    expect_soon(page, lambda: parameters(page), lists, "parameters of the address")


def expect_in_address(page: Page, **wanted: str) -> None:
    """Wait until an address has these parameters, each once, whatever others it has."""
    lists = {name: [value] for name, value in wanted.items()}
    expect_soon(
        page,
        lambda: {name: values for name, values in parameters(page).items() if name in lists},
        lists,
        "these parameters of the address",
    )


def labels(place: Locator) -> list[str]:
    """The accessible labels of all that a locator finds now, in their order."""
    return place.evaluate_all("all => all.map((one) => one.getAttribute('aria-label') ?? '')")


def case_ids(page: Page, count: int = 5) -> list[str]:
    """The cases of as many cards, in their order, once the page stands still."""
    cards = page.get_by_role("article")
    expect(cards).to_have_count(count)
    settle(page)
    expect(cards).to_have_count(count)
    return [label.split("case ", 1)[1] for label in labels(cards)]


def expect_fits(page: Page) -> None:
    """Wait until a page is no wider than its screen."""
    expect_soon(
        page,
        lambda: page.evaluate("[document.documentElement.scrollWidth, innerWidth]"),
        lambda widths: widths[0] <= widths[1],
        "widths of page and screen",
    )


def still_box(page: Page, place: Locator) -> dict[str, float]:
    """Where something is drawn, once it has stopped moving: x, y, width and height in pixels of the window."""
    before: Any = None

    def is_still(box: Any) -> bool:
        nonlocal before
        before, same = box, box is not None and box == before
        return same

    return dict(expect_soon(page, place.bounding_box, is_still, "a place that stands still"))


def expect_no_fault(log: Path) -> None:
    """Nothing of ours failed since an app was started.

    Streamlit writes a traceback of its own when a visitor leaves while it greets them; all tests of a run share a log.
    """
    written = log.read_text("utf-8")
    assert not _OURS.search(written), written[-5_000:]


def expect_points(page: Page, maps: int = 1) -> None:
    """Wait until that many maps are drawn. Streamlit keeps a layout beside the next while the page is drawn again."""
    expect(page.locator("canvas.points")).to_have_count(maps)
    expect(page.get_by_text("Loading the map …").filter(visible=True)).to_have_count(0)
    settle(page)
