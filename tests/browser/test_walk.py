"""A walk over every page of three casebooks: every button, link and fold is pressed, every page drawn in each size."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect
from playwright.sync_api import TimeoutError as PlaywrightTimeout
from waiting import PATIENCE, expect_no_fault, settle, visit

from explorer import Casebook
from index_builder.imaging import display_png

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

_NAMES = ("Search", "Case", "Explain", "Map", "Evaluation", "About")
_SECTIONS = ("Overview", "Findings", "Confidence", "Retrieval", "Systems", "Data quality")
#: What is walked, CASE being a case; each address is a fresh start.
_ADDRESSES = (
    "?",
    "?like=CASE",
    "case?",
    "case?case=CASE",
    "case?case=nobody",
    "explain?",
    "explain?case=CASE",
    "map?",
    "map?case=CASE",
    *(f"evaluation?section={section}" for section in _SECTIONS),
    "about?",
)
#: Casebook and width of what `make test` draws; all twelve take eight minutes.
_QUICK = ((1, 390),)
#: How often a thing is looked for anew before it counts as one that cannot be pressed.
_MARKED_ANEW = 4
#: Streamlit looks for its server below a page that is opened directly, before it finds it at the root.
_PROBES = re.compile(r"/(case|explain|map|evaluation|about)/_stcore/(health|host-config)")

#: Marks everything that can be pressed and stays in the app; one of those that differ by a number alone is enough.
_MARK = r"""() => {
  document.querySelectorAll("[data-walk]").forEach((one) => one.removeAttribute("data-walk"));
  const found = new Map();
  for (const one of document.querySelectorAll(".stApp :is(button, a[href], summary), [role=dialog] button")) {
    if (one.disabled || one.getAttribute("aria-disabled") === "true") continue;
    if (one.closest("[inert]") || !one.checkVisibility({ visibilityProperty: true })) continue;
    if (one.href && (new URL(one.href).origin !== location.origin || one.hash)) continue; // the skip link is for keys
    if (one.closest(".stMainMenu, .stElementToolbar")) continue;
    const box = one.getBoundingClientRect();
    if (!box.width || !box.height) continue;
    const words = (one.getAttribute("aria-label") || one.textContent).trim().replace(/\d+/g, "#");
    const name = `${one.tagName} ${words} ${one.href ? new URL(one.href).pathname : ""}`;
    if (!found.has(name)) found.set(name, one);
  }
  const names = [...found.keys()];
  names.forEach((name, place) => found.get(name).setAttribute("data-walk", place));
  return names;
}"""


def test_what_can_be_pressed_on_a_case_and_among_results_works(app, browser: Browser) -> None:
    """In the casebook of stages; everything, everywhere: `pytest -m slow`."""
    assert len(_press(app, browser, app.others[1:], ("?like=CASE", "case?case=CASE"))) > 25


@pytest.mark.slow
def test_everything_that_can_be_pressed_works(app, browser: Browser) -> None:
    """In the second and third casebook, what the page did not have in those before."""
    assert len(_press(app, browser, (app.casebook, *app.others), _ADDRESSES)) > 100


def _press(app, browser: Browser, folders: Sequence[Path], addresses: Sequence[str]) -> set[tuple[str, str]]:
    """Press everything on pages of casebooks, and with a film uploaded; gives what was pressed."""
    pressed: set[tuple[str, str]] = set()
    faults: list[str] = []
    for folder in folders:
        casebook = Casebook.open(folder)
        film = display_png(casebook.film(next(filter(None, casebook.table.column("image").to_pylist()))).pixels, None)
        with visit(browser, color_scheme="light") as visitor:
            visitor.grant_permissions(["clipboard-read", "clipboard-write"])
            walk = Walk(app, visitor.new_page(), folder.name, pressed)
            for address in addresses:
                walk.press_all(partial(walk.open, address.replace("CASE", casebook.case_ids[0])))
            walk.press_all(partial(walk.upload, film))
        faults += walk.faults
    assert not faults, "\n".join(faults)
    expect_no_fault(app.log)
    return pressed


@pytest.mark.parametrize(
    ("number", "width"),
    [
        pytest.param(number, width, id=f"{name}-{width}", marks=() if (number, width) in _QUICK else pytest.mark.slow)
        for number, name in enumerate(("reports", "profiles", "stages"))
        for width in (390, 768, 1024, 1440)
    ],
)
def test_every_page_is_drawn_in_every_size_light_and_dark(app, browser: Browser, number: int, width: int) -> None:
    folder = (app.casebook, *app.others)[number]
    case_id = Casebook.open(folder).case_ids[0]
    with visit(browser, viewport={"width": width, "height": 900}, color_scheme="light") as visitor:
        walk = Walk(app, visitor.new_page(), folder.name, set())
        for address in (f"?like={case_id}", f"case?case={case_id}", f"explain?case={case_id}"):
            walk.open(address)
            walk.look_in_both(address)
        for name in _NAMES:
            walk.page.get_by_role("link", name=name, exact=True).filter(visible=True).first.click()
            expect(walk.page).to_have_title(re.compile(rf"{name} · CXR Explorer$"))
            settle(walk.page)
            walk.look_in_both(name)
    assert not walk.faults, "\n".join(walk.faults)
    expect_no_fault(app.log)


class Walk:
    """One visitor on their way through one casebook, and the faults met on it."""

    def __init__(self, app, page: Page, casebook: str, pressed: set[tuple[str, str]]) -> None:
        self.url, self.page, self.casebook = app.url, page, casebook
        #: Path of a page and name of what was pressed on it.
        self.pressed = pressed
        self.faults: list[str] = []
        page.on("filechooser", lambda _: None)
        page.on("pageerror", lambda error: self.faults.append(f"{page.url}: {error}"))
        page.on("console", self._hear)

    def open(self, address: str) -> None:
        self.page.goto(f"{self.url}/{address}&casebook={self.casebook}".replace("?&", "?"))
        settle(self.page)

    def upload(self, film: bytes) -> None:
        self.open("?")
        self.page.locator("input[type=file]").set_input_files(
            {"name": "film.png", "mimeType": "image/png", "buffer": film}
        )
        self.page.get_by_role("button", name="View film").wait_for()
        settle(self.page)

    def press_all(self, begin: Callable[[], None]) -> None:
        """Press what was not yet pressed of a page, each from the page as it was when it was opened."""
        begin()
        start, whole = self.page.url, self._marked()
        self.look(start)
        place = urlsplit(start).path
        assert len(whole) > len(_NAMES), whole
        for name in whole:
            if (place, name) in self.pressed:
                continue
            self.pressed.add((place, name))
            if name not in self._marked():
                begin()
            self._press(name)
            settle(self.page)
            self.look(f"{name} of {start}")
            if self.page.get_by_role("dialog").count():
                self.page.keyboard.press("Escape")
                settle(self.page)
            if self.page.url != start:
                self.page.go_back()
                settle(self.page)
            if self.page.url != start:
                begin()

    def _press(self, name: str) -> None:
        """Press what has a name. The page may draw it anew once it is marked; then it is marked again."""
        for _ in range(_MARKED_ANEW):
            place = self._marked().index(name)
            try:
                return self.page.locator(f'[data-walk="{place}"]').click(timeout=PATIENCE / _MARKED_ANEW)
            except PlaywrightTimeout:
                settle(self.page)
        raise AssertionError(f"{name!r} of {self.page.url} is drawn, and cannot be pressed")

    def look_in_both(self, place: str) -> None:
        """Look at the page in the light and in the dark, and leave it in the light."""
        for scheme in ("dark", "light"):
            self.look(f"{place}, not yet {scheme}")
            self.page.emulate_media(color_scheme=scheme)
            settle(self.page)
        self.look(place)

    def look(self, place: str) -> None:
        """Note what is wrong with the page as it stands."""
        said = self.page.locator(".stApp").inner_text()
        wrong = [
            *(["says that something went wrong"] if "Something went wrong" in said else []),
            *(["shows a traceback"] if "Traceback" in said or self.page.locator(".stException").count() else []),
            *(["is wider than the screen"] if self.page.evaluate(_IS_TOO_WIDE) else []),
        ]
        named = parse_qs(urlsplit(self.page.url).query).get("casebook", [])
        if named != [self.casebook]:
            wrong.append(f"its address names casebooks {named}")
        self.faults += [f"{place}: {one} ({self.page.url})" for one in wrong]

    def _marked(self) -> list[str]:
        """Open all folds, and mark what can be pressed."""
        while self.page.evaluate(_OPEN_FOLDS):
            self.page.wait_for_function("!document.querySelector('.stApp details[open] [inert]')")
            settle(self.page)  # an opened fold may be filled by another run, which would draw marked things anew
        return self.page.evaluate(_MARK)

    def _hear(self, message) -> None:
        address = message.location.get("url", "")
        if message.type == "error" and not (
            address.startswith(self.url) and _PROBES.fullmatch(address.removeprefix(self.url))
        ):
            self.faults.append(f"{self.page.url}: {message.text} {address}")


_OPEN_FOLDS = """() => {
  const folds = [...document.querySelectorAll(".stApp details:not([open]) > summary")];
  const shown = folds.filter((one) => !one.closest("[inert]") && one.checkVisibility());
  shown.forEach((one) => one.click());
  return shown.length;
}"""
_IS_TOO_WIDE = "document.documentElement.scrollWidth > window.innerWidth"
