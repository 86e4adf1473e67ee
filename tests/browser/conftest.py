"""The real app on a free port, and Chromium."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from live_app import launch, serving
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
from waiting import visit


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What fails in the browser is run once more, and named as RERUN in the summary.

    Of a thousand clicks of a run on two busy cores one may meet a page in the middle of being drawn. What fails twice
    in a row fails; what is named again and again in summaries wants mending, too.
    """
    for item in items:
        if item.get_closest_marker("browser"):
            item.add_marker(pytest.mark.flaky(reruns=1))


@dataclass(frozen=True)
class App:
    """A running app: its address, its first casebook, the file its output goes to, and further casebooks."""

    url: str
    casebook: Path
    log: Path
    others: tuple[Path, ...] = ()


@pytest.fixture(scope="session")
def app(
    tmp_path_factory: pytest.TempPathFactory, phantom_casebook: Path, profile_casebook: Path, stage_casebook: Path
) -> Iterator[App]:
    """The app on three casebooks of phantoms, as `make demo` opens it."""
    log = tmp_path_factory.mktemp("app") / "app.log"
    others = (profile_casebook, stage_casebook)
    with serving([phantom_casebook, *others], log) as url:
        yield App(url, phantom_casebook, log, others)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One Chromium for all tests."""
    with sync_playwright() as playwright:
        chromium = launch(playwright)
        yield chromium
        chromium.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A fresh visitor at a desk, in the dark."""
    with visit(browser, color_scheme="dark") as visitor:
        yield visitor


@pytest.fixture
def page(context: BrowserContext) -> Page:
    """A fresh tab."""
    return context.new_page()
